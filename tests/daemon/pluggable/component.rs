//! A program that serves a pluggable component at a Unix socket.

use bindd::protocol::DESCRIPTORS;
use bindd::protocol::components::input_binding_server::{InputBinding, InputBindingServer};
use bindd::protocol::components::output_binding_server::{OutputBinding, OutputBindingServer};
use bindd::protocol::components::{
    InputBindingInitRequest, InputBindingInitResponse, InvokeRequest, InvokeResponse, ListOperationsRequest,
    ListOperationsResponse, OutputBindingInitRequest, OutputBindingInitResponse, PingRequest, PingResponse,
    ReadRequest, ReadResponse,
};
use bindd::testing::until;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

type Events = BoxStream<'static, Result<ReadResponse, Status>>;

/// Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Component(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The instance and the fields of each `Init`.
    inits: Mutex<Vec<(String, HashMap<String, String>)>>,
    /// A file that the next `Init` of an output writes.
    edit: Mutex<Option<(PathBuf, String)>>,
    invoked: Mutex<Vec<(String, InvokeRequest)>>,
    refusal: Mutex<Option<Status>>,
    reply: Mutex<InvokeResponse>,
    answers: Mutex<Vec<ReadRequest>>,
    /// Events for the stream that was opened last.
    events: Mutex<Option<mpsc::UnboundedSender<ReadResponse>>>,
    /// Read the answers of the streams.
    readers: Mutex<JoinSet<()>>,
}

fn instance<T>(request: &Request<T>) -> String {
    request.metadata().get("x-component-instance").unwrap().to_str().unwrap().to_owned()
}

impl Component {
    pub(super) fn inits(&self) -> Vec<(String, HashMap<String, String>)> {
        self.0.inits.lock().unwrap().clone()
    }

    pub(super) fn invoked(&self) -> Vec<(String, InvokeRequest)> {
        self.0.invoked.lock().unwrap().clone()
    }

    /// The next `Init` of an output writes this file.
    pub(super) fn edit_at_init(&self, path: PathBuf, text: &str) {
        *self.0.edit.lock().unwrap() = Some((path, text.to_owned()));
    }

    pub(super) fn refuse(&self, status: Option<Status>) {
        *self.0.refusal.lock().unwrap() = status;
    }

    pub(super) fn reply_with(&self, reply: InvokeResponse) {
        *self.0.reply.lock().unwrap() = reply;
    }

    /// Sends an event over the open stream, once there is one.
    pub(super) async fn send(&self, id: &str, data: &'static str) {
        let metadata = HashMap::from([("Origin".to_owned(), "unit".to_owned())]);
        let event = ReadResponse { data: data.into(), metadata, message_id: id.to_owned(), ..ReadResponse::default() };
        until("the stream of events", async || {
            let events = self.0.events.lock().unwrap();
            events.as_ref().and_then(|events| events.send(event.clone()).ok())
        })
        .await;
    }

    /// The answer to an event, once it is there, as text and error.
    pub(super) async fn answer(&self, id: &str) -> (String, Option<String>) {
        let answer = until("the answer", async || {
            self.0.answers.lock().unwrap().iter().find(|answer| answer.message_id == id).cloned()
        })
        .await;
        let text = String::from_utf8(answer.response_data.to_vec()).unwrap();
        (text, answer.response_error.map(|error| error.message))
    }
}

#[tonic::async_trait]
impl OutputBinding for Component {
    async fn init(
        &self,
        request: Request<OutputBindingInitRequest>,
    ) -> Result<Response<OutputBindingInitResponse>, Status> {
        let instance = instance(&request);
        let properties = request.into_inner().metadata.unwrap().properties;
        if properties.get("mode").is_some_and(|mode| mode == "wrong") {
            return Err(Status::invalid_argument("this mode is wrong"));
        }
        if let Some((path, text)) = self.0.edit.lock().unwrap().take() {
            std::fs::write(path, text).unwrap();
        }
        self.0.inits.lock().unwrap().push((instance, properties));
        Ok(Response::new(OutputBindingInitResponse {}))
    }

    async fn invoke(&self, request: Request<InvokeRequest>) -> Result<Response<InvokeResponse>, Status> {
        let instance = instance(&request);
        self.0.invoked.lock().unwrap().push((instance, request.into_inner()));
        match &*self.0.refusal.lock().unwrap() {
            Some(status) => Err(status.clone()),
            None => Ok(Response::new(self.0.reply.lock().unwrap().clone())),
        }
    }

    async fn list_operations(
        &self,
        _: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        Ok(Response::new(ListOperationsResponse { operations: vec!["send".to_owned(), "drop".to_owned()] }))
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        Ok(Response::new(PingResponse {}))
    }
}

#[tonic::async_trait]
impl InputBinding for Component {
    async fn init(
        &self,
        request: Request<InputBindingInitRequest>,
    ) -> Result<Response<InputBindingInitResponse>, Status> {
        let instance = instance(&request);
        self.0.inits.lock().unwrap().push((instance, request.into_inner().metadata.unwrap().properties));
        Ok(Response::new(InputBindingInitResponse {}))
    }

    /// Ends the events when the other side ends the answers.
    async fn read(&self, request: Request<Streaming<ReadRequest>>) -> Result<Response<Events>, Status> {
        assert_eq!(instance(&request), "events");
        let (sender, mut events) = mpsc::unbounded_channel();
        *self.0.events.lock().unwrap() = Some(sender);
        let (component, mut answers) = (self.clone(), request.into_inner());
        self.0.readers.lock().unwrap().spawn(async move {
            while let Ok(Some(answer)) = answers.message().await {
                component.0.answers.lock().unwrap().push(answer);
            }
            component.0.events.lock().unwrap().take();
        });
        Ok(Response::new(stream::poll_fn(move |context| events.poll_recv(context)).map(Ok).boxed()))
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        Ok(Response::new(PingResponse {}))
    }
}

/// The program: its own runtime, so that it can die with all its connections.
#[derive(Debug)]
pub(super) struct Program {
    socket: PathBuf,
    component: Component,
    runtime: Option<Runtime>,
}

impl Program {
    /// Serves a component at a socket of this name in the folder.
    pub(super) fn start(folder: &Path, name: &str, component: &Component) -> Self {
        let mut program = Self { socket: folder.join(name), component: component.clone(), runtime: None };
        program.start_again();
        program
    }

    pub(super) fn start_again(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        drop(std::fs::remove_file(&self.socket));
        let guard = runtime.enter();
        let listener = UnixListener::bind(&self.socket).unwrap();
        drop(guard);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .with_service_name("dapr.proto.components.v1.InputBinding")
            .with_service_name("dapr.proto.components.v1.OutputBinding")
            .build_v1alpha()
            .unwrap();
        let connections = stream::unfold(listener, |listener| async {
            let accepted = listener.accept().await.map(|(connection, _)| connection);
            Some((accepted, listener))
        });
        let server = Server::builder()
            .add_service(reflection)
            .add_service(InputBindingServer::new(self.component.clone()))
            .add_service(OutputBindingServer::new(self.component.clone()));
        runtime.spawn(async move { server.serve_with_incoming(connections.boxed()).await.unwrap() });
        self.runtime = Some(runtime);
    }

    /// Dies as a killed process does; the file of its socket stays.
    pub(super) fn kill(&mut self) {
        self.component.0.events.lock().unwrap().take();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A runtime must not wait for its tasks on a thread of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
