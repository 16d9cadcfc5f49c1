//! An endpoint for Kinesis on a loopback port whose replies a test decides, and which records the requests.

use crate::domain::Stop;
use crate::tasks::{Supervisor, serve_connections};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// The reply to one request.
#[derive(Debug, Clone)]
pub struct ScriptedReply {
    status: u16,
    content_type: &'static str,
    body: Bytes,
}

impl ScriptedReply {
    /// A success with this body.
    #[must_use]
    pub fn ok(body: &Value) -> Self {
        Self { status: 200, content_type: "application/x-amz-json-1.1", body: body.to_string().into() }
    }

    /// An error with this code, such as `ExpiredIteratorException`; 500 for `InternalFailure`, else 400.
    #[must_use]
    pub fn error(code: &str) -> Self {
        let status = if code == "InternalFailure" { 500 } else { 400 };
        Self { status, ..Self::ok(&json!({ "__type": code, "message": "scripted" })) }
    }

    /// A success with an event stream of these bytes.
    #[must_use]
    pub fn events(bytes: impl Into<Bytes>) -> Self {
        Self { status: 200, content_type: "application/vnd.amazon.eventstream", body: bytes.into() }
    }
}

type Script = Box<dyn FnMut(&str, &Value) -> ScriptedReply + Send>;

struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<(String, Value)>>,
}

/// A running endpoint. Dropping it aborts its connections.
pub struct ScriptedKinesis {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Supervisor<()>,
}

impl ScriptedKinesis {
    /// Opens a free loopback port. `script` gets the operation, such as `GetRecords`, and the request.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(script: impl FnMut(&str, &Value) -> ScriptedReply + Send + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { script: Mutex::new(Box::new(script)), requests: Mutex::default() });
        let (mut server, stop) = (Supervisor::new(), Stop::new());
        let served = Arc::clone(&shared);
        server.spawn("scripted-kinesis", async move {
            let handler = |stream| connection(stream, Arc::clone(&served));
            serve_connections(listener, handler, usize::MAX, &stop, Duration::ZERO).await;
        });
        Ok(Self { address, shared, _server: server })
    }

    /// `http://127.0.0.1:<port>`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests of one operation so far, in order.
    #[must_use]
    pub fn requests(&self, operation: &str) -> Vec<Value> {
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|(name, _)| name == operation).map(|(_, request)| request.clone()).collect()
    }
}

impl fmt::Debug for ScriptedKinesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedKinesis").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&shared)));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection to the scripted endpoint ended");
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reply = {
        let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        script(&operation, &request)
    };
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push((operation, request));
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status.try_into().unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(reply.content_type));
    Ok(response)
}
