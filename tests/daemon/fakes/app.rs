//! An app that records its requests and responds as a test sets.

use bindd::settings::AppProtocol;
use bindd::testing::within;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How the app handles the next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Responds with this status.
    Respond(u16),
    /// Responds only once the behaviour changes.
    Hold,
    /// Closes the connection without a response.
    Disconnect,
}

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The path without the leading `/`.
    pub(crate) route: String,
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// Whether the response was 2xx.
    pub(crate) accepted: bool,
}

impl Event {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug)]
struct State {
    events: Mutex<Vec<Event>>,
    probes: Mutex<Vec<String>>,
    seen: watch::Sender<usize>,
    behaviour: watch::Sender<Behaviour>,
    /// Bodies that are answered with 422, whatever the behaviour is.
    refused: Mutex<Vec<Bytes>>,
    /// Body of the responses to events.
    reply: Mutex<Bytes>,
    /// Status for `OPTIONS`.
    probe_status: watch::Sender<u16>,
    /// Status for `GET`.
    health: watch::Sender<u16>,
    /// Path and headers of each `GET`.
    gets: watch::Sender<Vec<(String, HeaderMap)>>,
}

/// The app. It keeps its port and its recorded events when it is stopped and started again.
#[derive(Debug)]
pub(crate) struct RecordingApp {
    address: SocketAddr,
    protocol: AppProtocol,
    /// Reserves the port while the app does not listen.
    _reserved: TcpSocket,
    state: Arc<State>,
    server: JoinSet<()>,
}

impl RecordingApp {
    /// Starts on a free port; accepts everything over HTTP/1.1.
    pub(crate) async fn start() -> Self {
        Self::start_over(AppProtocol::Http).await
    }

    /// Starts with another protocol.
    pub(crate) async fn start_over(protocol: AppProtocol) -> Self {
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reserved.local_addr().unwrap();
        let state = Arc::new(State {
            events: Mutex::default(),
            probes: Mutex::default(),
            seen: watch::Sender::new(0),
            behaviour: watch::Sender::new(Behaviour::Respond(200)),
            refused: Mutex::default(),
            reply: Mutex::default(),
            probe_status: watch::Sender::new(200),
            health: watch::Sender::new(200),
            gets: watch::Sender::new(Vec::new()),
        });
        let mut app = Self { address, protocol, _reserved: reserved, state, server: JoinSet::new() };
        app.start_again().await;
        app
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn protocol(&self) -> AppProtocol {
        self.protocol
    }

    /// Sets the status of responses to `GET`.
    pub(crate) fn answer_gets(&self, status: u16) {
        self.state.health.send_replace(status);
    }

    /// Path and headers of each `GET`, in order.
    pub(crate) fn gets(&self) -> Vec<(String, HeaderMap)> {
        self.state.gets.borrow().clone()
    }

    /// Waits for this many more requests by `GET`.
    pub(crate) async fn until_more_gets(&self, count: usize) {
        let mut gets = self.state.gets.subscribe();
        let enough = gets.borrow().len() + count;
        drop(within("checks of the app", gets.wait_for(|gets| gets.len() >= enough)).await.unwrap());
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state.behaviour.send_replace(behaviour);
    }

    /// Answers events with this body with 422.
    pub(crate) fn refuse(&self, body: &str) {
        lock(&self.state.refused).push(Bytes::copy_from_slice(body.as_bytes()));
    }

    /// Sets the body of the responses to events.
    pub(crate) fn reply_with(&self, body: &str) {
        *lock(&self.state.reply) = Bytes::copy_from_slice(body.as_bytes());
    }

    /// Sets the status of responses to `OPTIONS`.
    pub(crate) fn answer_probes(&self, status: u16) {
        self.state.probe_status.send_replace(status);
    }

    /// Routes of `OPTIONS` requests, in order.
    pub(crate) fn probes(&self) -> Vec<String> {
        lock(&self.state.probes).clone()
    }

    /// Stops serving and closes every connection.
    pub(crate) async fn stop(&mut self) {
        self.server.shutdown().await;
    }

    /// Serves again on the same port.
    pub(crate) async fn start_again(&mut self) {
        self.serve(socket(self.address).listen(1_024).unwrap());
    }

    /// All events so far, in order of arrival.
    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.state.events).clone()
    }

    /// Texts of the accepted events, in order of arrival.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.events().iter().filter(|event| event.accepted).map(Event::text).collect()
    }

    /// Waits until the events so far meet a condition.
    pub(crate) async fn until(&self, what: &str, mut is_met: impl FnMut(&[Event]) -> bool) {
        let mut seen = self.state.seen.subscribe();
        let waiting = seen.wait_for(|_| is_met(&lock(&self.state.events)));
        drop(within(what, waiting).await.unwrap());
    }

    /// Waits until each of these texts was accepted at least once.
    pub(crate) async fn until_accepted(&self, texts: &[String]) {
        let what = format!("{} of {} to be accepted", texts.len(), texts.first().map_or("nothing", String::as_str));
        self.until(&what, |events| {
            texts.iter().all(|text| events.iter().any(|event| event.accepted && event.body == text.as_bytes()))
        })
        .await;
    }

    fn serve(&mut self, listener: TcpListener) {
        let (state, protocol) = (Arc::clone(&self.state), self.protocol);
        let acceptor = (protocol == AppProtocol::Https).then(self_signed);
        self.server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                let service = service_fn(move |request| respond(Arc::clone(&state), request));
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let http1 = hyper::server::conn::http1::Builder::new();
                    // A client may close the connection.
                    match (protocol, acceptor) {
                        (AppProtocol::H2c, _) => {
                            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                            drop(http2.serve_connection(TokioIo::new(stream), service).await);
                        }
                        (_, Some(acceptor)) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            drop(http1.serve_connection(TokioIo::new(stream), service).await);
                        }
                        (_, None) => drop(http1.serve_connection(TokioIo::new(stream), service).await),
                    }
                });
            }
        });
    }
}

async fn respond(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let route = parts.uri.path().trim_start_matches('/').to_owned();
    if parts.method == Method::OPTIONS {
        lock(&state.probes).push(route);
        let status = *state.probe_status.borrow();
        return Ok(empty(status));
    }
    if parts.method == Method::GET {
        state.gets.send_modify(|gets| gets.push((route, parts.headers)));
        let status = *state.health.borrow();
        return Ok(empty(status));
    }
    // An incomplete body is not a delivery.
    let Ok(body) = body.collect().await else { return Ok(empty(400)) };
    let body = body.to_bytes();
    let is_refused = lock(&state.refused).contains(&body);
    let index = {
        let mut events = lock(&state.events);
        events.push(Event { route, body, headers: parts.headers, accepted: false });
        events.len() - 1
    };
    state.seen.send_modify(|seen| *seen += 1);
    let mut changes = state.behaviour.subscribe();
    let behaviour = *changes.wait_for(|behaviour| *behaviour != Behaviour::Hold).await.unwrap();
    let status = match behaviour {
        Behaviour::Respond(_) if is_refused => 422,
        Behaviour::Respond(status) => status,
        Behaviour::Disconnect => return Err(io::ErrorKind::ConnectionAborted.into()),
        Behaviour::Hold => unreachable!("`wait_for` skips it"),
    };
    let accepted = (200..300).contains(&status);
    lock(&state.events)[index].accepted = accepted;
    state.seen.send_modify(|seen| *seen += 1);
    let mut response = empty(status);
    *response.body_mut() = Full::new(lock(&state.reply).clone());
    Ok(response)
}

/// TLS with a self-signed certificate.
fn self_signed() -> TlsAcceptor {
    let identity = rcgen::generate_simple_self_signed(vec!["app.example".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![identity.cert.der().clone()], key.into()).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A socket bound to an address that other sockets of this app may share.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

fn empty(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
