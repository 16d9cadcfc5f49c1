//! An app that receives events over gRPC.

use super::{client, request};
use crate::environment::{Environment, Sidecar};
use bindd::daemon::Shutdown;
use bindd::protocol::runtime::app_callback_health_check_server::{
    AppCallbackHealthCheck, AppCallbackHealthCheckServer,
};
use bindd::protocol::runtime::app_callback_server::{AppCallback, AppCallbackServer};
use bindd::protocol::runtime::binding_event_response::BindingEventConcurrency;
use bindd::protocol::runtime::{
    BindingEventRequest, BindingEventResponse, HealthCheckResponse, ListInputBindingsResponse,
};
use bindd::settings::{AppEndpoint, AppHealthSettings, AppProtocol, Settings};
use bindd::testing::until;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// How the app handles events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// The error of `ListInputBindings`, or its names.
    names: Option<Vec<String>>,
    /// Refuses events with this code and text.
    refusal: Option<(tonic::Code, String)>,
    response: BindingEventResponse,
    /// Health checks fail.
    is_unhealthy: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) request: BindingEventRequest,
    pub(crate) metadata: MetadataMap,
    accepted: bool,
}

/// Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct App {
    behaviour: Arc<Mutex<Behaviour>>,
    events: Arc<Mutex<Vec<Event>>>,
    lists: Arc<Mutex<usize>>,
    checks: Arc<Mutex<usize>>,
}

#[tonic::async_trait]
impl AppCallback for App {
    async fn list_input_bindings(&self, _: Request<()>) -> Result<Response<ListInputBindingsResponse>, Status> {
        *self.lists.lock().unwrap() += 1;
        let bindings = self.behaviour.lock().unwrap().names.clone().ok_or_else(|| Status::internal("not ready"))?;
        Ok(Response::new(ListInputBindingsResponse { bindings }))
    }

    async fn on_binding_event(
        &self,
        request: Request<BindingEventRequest>,
    ) -> Result<Response<BindingEventResponse>, Status> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        let (metadata, _, request) = request.into_parts();
        let accepted = behaviour.refusal.is_none();
        self.events.lock().unwrap().push(Event { request, metadata, accepted });
        match behaviour.refusal {
            Some((code, text)) => Err(Status::new(code, text)),
            None => Ok(Response::new(behaviour.response)),
        }
    }
}

#[tonic::async_trait]
impl AppCallbackHealthCheck for App {
    async fn health_check(&self, _: Request<()>) -> Result<Response<HealthCheckResponse>, Status> {
        *self.checks.lock().unwrap() += 1;
        if self.behaviour.lock().unwrap().is_unhealthy {
            return Err(Status::internal("not now"));
        }
        Ok(Response::new(HealthCheckResponse {}))
    }
}

impl App {
    pub(crate) fn with(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// The names that the app answers to `ListInputBindings`.
    pub(crate) fn accept(&self, names: &[&str]) {
        self.with(|behaviour| behaviour.names = Some(names.iter().map(|name| (*name).to_owned()).collect()));
    }

    /// The response to events from now on.
    pub(crate) fn respond(&self, response: BindingEventResponse) {
        self.with(|behaviour| behaviour.response = response);
    }

    /// Serves until the set is dropped.
    fn serve(&self, listener: TcpListener) -> JoinSet<()> {
        let (callback, health) =
            (AppCallbackServer::new(self.clone()), AppCallbackHealthCheckServer::new(self.clone()));
        let server = Server::builder().add_service(callback).add_service(health);
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
        serving
    }

    pub(crate) async fn start(&self) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), self.serve(listener))
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until every text was accepted.
    pub(crate) async fn until_accepted(&self, texts: &[String]) {
        until("all records to be accepted", async || {
            let events = self.events();
            let is_accepted = |text: &String| events.iter().any(|event| event.accepted && event.request.data == text);
            texts.iter().all(is_accepted).then_some(())
        })
        .await;
    }
}

pub(crate) fn settings(env: &Environment, app: SocketAddr) -> Settings {
    let endpoint = AppEndpoint { address: app.ip().to_string(), port: app.port(), protocol: AppProtocol::Grpc };
    Settings { app: Some(endpoint), ..env.settings(None) }
}

/// A stream, and an input that reads it from its beginning.
pub(crate) async fn start_with_input() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    env
}

#[tokio::test]
async fn records_are_delivered_with_what_http_sends_as_headers() {
    let env = start_with_input().await;
    let texts = env.put("orders", "record ", 3).await;
    let app = App::default();
    let (address, _server) = app.start().await;
    let mut settings = settings(&env, address);
    settings.app_api_token = Some("of-the-app".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until_accepted(&texts).await;
    let event = app.events().into_iter().find(|event| event.request.data == texts[1]).unwrap();
    assert_eq!(event.request.name, "orders-in");
    assert_eq!(event.request.metadata["bindd-partition-key"], "key-1");
    assert_eq!(event.request.metadata["bindd-attempt"], "1");
    assert!(event.request.metadata.contains_key("bindd-sequence-number"), "{:?}", event.request.metadata);
    let of_call = |key| event.metadata.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!((of_call("dapr-api-token").as_str(), of_call("traceparent").len()), ("of-the-app", 55));
    assert_eq!(*app.lists.lock().unwrap(), 0, "the direction is stated, so the app is not asked");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_refused_record_is_sent_again() {
    let env = start_with_input().await;
    let texts = env.put("orders", "record ", 1).await;
    let app = App::default();
    app.with(|behaviour| behaviour.refusal = Some((tonic::Code::FailedPrecondition, "not now".to_owned())));
    let (address, _server) = app.start().await;
    let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
    until("a refusal", async || (!app.events().is_empty()).then_some(())).await;
    app.with(|behaviour| behaviour.refusal = None);
    app.until_accepted(&texts).await;
    let attempts: Vec<_> = app.events().iter().map(|event| event.request.metadata["bindd-attempt"].clone()).collect();
    assert!(attempts.len() >= 2 && attempts[0] == "1" && attempts[1] == "2", "{attempts:?}");
    sidecar.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_app_restarts() {
    let env = start_with_input().await;
    let first = env.put("orders", "first ", 2).await;
    let app = App::default();
    let (address, mut server) = app.start().await;
    let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
    app.until_accepted(&first).await;
    server.shutdown().await;
    let second = env.put("orders", "second ", 2).await;
    // Connections of the server that ended may still be closing.
    let listener = until("the port to be free", async || TcpListener::bind(address).await.ok()).await;
    let _server = app.serve(listener);
    app.until_accepted(&second).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn only_inputs_that_the_app_names_are_read_and_a_failure_is_no_answer() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.stream("other", 1).await;
    for (name, stream) in [("orders-in", "orders"), ("other-in", "other")] {
        let fields = [("streamName", stream), ("consumerName", name), ("initialPosition", "trim_horizon")];
        env.kinesis_component(name, &fields);
    }
    env.put("other", "unwanted ", 1).await;
    let texts = env.put("orders", "record ", 2).await;
    let app = App::default();
    let (address, _server) = app.start().await;
    let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
    until("both inputs to be asked for", async || (*app.lists.lock().unwrap() >= 2).then_some(())).await;
    app.with(|behaviour| behaviour.names = Some(vec!["orders-in".to_owned(), "Other-in".to_owned()]));
    app.until_accepted(&texts).await;
    assert!(app.events().iter().all(|event| event.request.name == "orders-in"));
    sidecar.stop().await;
}

#[tokio::test]
async fn outputs_that_a_response_names_get_its_data() {
    for concurrency in [BindingEventConcurrency::Sequential, BindingEventConcurrency::Parallel] {
        let env = start_with_input().await;
        env.stream("results", 1).await;
        env.kinesis_component("results-out", &[("streamName", "results"), ("direction", "output")]);
        let texts = env.put("orders", "record ", 1).await;
        let app = App::default();
        app.with(|behaviour| {
            behaviour.response = BindingEventResponse {
                to: vec!["results-out".to_owned(), "absent".to_owned()],
                data: Bytes::from_static(b"{\"b\":1, \"a\":2}"),
                concurrency: concurrency.into(),
            };
        });
        let (address, _server) = app.start().await;
        let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
        app.until_accepted(&texts).await;
        let results = until("the result", async || Some(env.records("results").await).filter(|r| !r.is_empty())).await;
        assert_eq!(results[0].data.as_ref(), b"{\"b\":1, \"a\":2}");
        // An unknown output does not fail the event, so there is no second delivery.
        assert_eq!((sidecar.stop().await, app.events().len()), (Shutdown::Clean, 1));
    }
}

#[tokio::test]
async fn an_app_calls_outputs_while_it_handles_an_event() {
    let env = start_with_input().await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    let app = App::default();
    let (address, _server) = app.start().await;
    let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
    client(&sidecar).await.invoke_binding(request("orders-out", "create", b"by gRPC", &[])).await.unwrap();
    app.until_accepted(&["by gRPC".to_owned()]).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn records_wait_until_health_checks_succeed() {
    let env = start_with_input().await;
    let texts = env.put("orders", "record ", 2).await;
    let app = App::default();
    app.with(|behaviour| behaviour.is_unhealthy = true);
    let (address, _server) = app.start().await;
    let mut settings = settings(&env, address);
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_secs(60));
    settings.app_health = Some(AppHealthSettings { path: "/unused".to_owned(), interval, timeout, threshold: 2 });
    let sidecar = Sidecar::start(&settings).await.unwrap();
    until("some checks", async || (*app.checks.lock().unwrap() >= 3).then_some(())).await;
    assert!(app.events().is_empty(), "the app is unhealthy");
    app.with(|behaviour| behaviour.is_unhealthy = false);
    app.until_accepted(&texts).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_slow_handshake_is_waited_for() {
    let env = start_with_input().await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    let key = rcgen::generate_simple_self_signed(["app.example".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![key.cert.into()], private).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&env, listener.local_addr().unwrap());
    settings.app.as_mut().unwrap().protocol = AppProtocol::Grpcs;
    let app = App::default();
    let (plain, _server) = app.start().await;
    let (may_go_on, gate) = tokio::sync::watch::channel(false);
    let mut proxy = JoinSet::new();
    proxy.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let (stream, acceptor, mut gate) = (listener.accept().await.unwrap().0, acceptor.clone(), gate.clone());
            connections.spawn(async move {
                // The first connection only shows that the app is up. The others must wait.
                if number > 0 {
                    gate.wait_for(|may_go_on| *may_go_on).await.unwrap();
                }
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut app = TcpStream::connect(plain).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut app).await);
                }
            });
        }
    });
    let sidecar = Sidecar::start(&settings).await.unwrap();
    // Meanwhile the sidecar serves.
    client(&sidecar).await.invoke_binding(request("orders-out", "create", b"late", &[])).await.unwrap();
    may_go_on.send(true).unwrap();
    app.until_accepted(&["late".to_owned()]).await;
    sidecar.stop().await;
    proxy.shutdown().await;
}
