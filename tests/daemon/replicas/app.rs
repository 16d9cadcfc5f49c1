//! An app that records the beginning and the end of each call.

use super::facts::{Call, Entry};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How the app handles calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// How long a call takes.
    pub(crate) time: Duration,
    /// Rejects every call: one with 503, the next by closing the connection.
    pub(crate) is_down: bool,
    /// Rejects the records of this key with 500.
    pub(crate) poison: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Mutex<Behaviour>,
    journal: Mutex<Journal>,
}

#[derive(Debug, Default)]
struct Journal {
    entries: Vec<Entry>,
    calls: usize,
    by_worker: BTreeMap<usize, usize>,
    /// The first number of each key that was not accepted yet, with those accepted beyond it.
    next: BTreeMap<String, usize>,
    rejected: BTreeMap<String, usize>,
}

/// The app, with a port for each worker.
#[derive(Debug)]
pub(crate) struct App {
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
    _servers: JoinSet<()>,
}

impl App {
    pub(crate) async fn start(workers: usize) -> Self {
        let (state, mut servers, mut addresses) = (Arc::<State>::default(), JoinSet::new(), Vec::new());
        for worker in 0..workers {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            servers.spawn(serve(listener, worker, Arc::clone(&state)));
        }
        Self { addresses, state, _servers: servers }
    }

    pub(crate) fn address(&self, worker: usize) -> SocketAddr {
        self.addresses[worker]
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.state.behaviour));
    }

    /// The first number of a key that was never accepted.
    pub(crate) fn next(&self, key: &str) -> usize {
        lock(&self.state.journal).next.get(key).copied().unwrap_or_default()
    }

    /// The records accepted at least once, if all came in order.
    pub(crate) fn accepted(&self) -> usize {
        lock(&self.state.journal).next.values().sum()
    }

    /// Calls of a worker so far.
    pub(crate) fn calls_of(&self, worker: usize) -> usize {
        lock(&self.state.journal).by_worker.get(&worker).copied().unwrap_or_default()
    }

    /// Calls rejected so far, of one key.
    pub(crate) fn rejected(&self, key: &str) -> usize {
        lock(&self.state.journal).rejected.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn journal(&self) -> Vec<Entry> {
        lock(&self.state.journal).entries.clone()
    }
}

async fn serve(listener: TcpListener, worker: usize, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| respond(Arc::clone(&state), worker, request));
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // A worker may close the connection, or be killed.
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(state: Arc<State>, worker: usize, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        return Ok(Response::default());
    }
    // An incomplete body is not a delivery.
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let behaviour = lock(&state.behaviour).clone();
    let call = call(worker, &parts.headers, &body);
    let is_poison = behaviour.poison.as_ref() == Some(&call.key);
    let running = Running::begin(&state, call);
    tokio::time::sleep(behaviour.time).await;
    let status = match (behaviour.is_down, is_poison) {
        (true, _) if running.call.is_multiple_of(2) => return Err(io::ErrorKind::ConnectionAborted.into()),
        (true, _) => StatusCode::SERVICE_UNAVAILABLE,
        (false, true) => StatusCode::INTERNAL_SERVER_ERROR,
        (false, false) => StatusCode::OK,
    };
    running.end(status.is_success());
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

/// A record's text is its key and its number, such as `key-3 17`.
fn call(worker: usize, headers: &HeaderMap, body: &Bytes) -> Call {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let text = std::str::from_utf8(body).unwrap();
    let (key, number) = text.split_once(' ').unwrap();
    Call {
        worker,
        key: key.to_owned(),
        number: number.parse().unwrap(),
        shard: header("bindd-shard-id").unwrap_or_default().to_owned(),
        epoch: header("bindd-lease-epoch").map(|epoch| epoch.parse().unwrap()),
    }
}

/// A call between its begin and its end. It ends without success if its connection closes.
struct Running<'a> {
    state: &'a State,
    call: usize,
    key: String,
    number: usize,
    is_accepted: bool,
}

impl<'a> Running<'a> {
    fn begin(state: &'a State, call: Call) -> Self {
        let (key, number) = (call.key.clone(), call.number);
        let mut journal = lock(&state.journal);
        *journal.by_worker.entry(call.worker).or_default() += 1;
        journal.entries.push(Entry::Began(call));
        journal.calls += 1;
        Self { state, call: journal.calls - 1, key, number, is_accepted: false }
    }

    fn end(mut self, is_accepted: bool) {
        self.is_accepted = is_accepted;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut journal = lock(&self.state.journal);
        journal.entries.push(Entry::Ended { call: self.call, accepted: self.is_accepted, at: Instant::now() });
        let counts = if self.is_accepted { &mut journal.next } else { &mut journal.rejected };
        let count = counts.entry(std::mem::take(&mut self.key)).or_default();
        if !self.is_accepted || *count == self.number {
            *count += 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
