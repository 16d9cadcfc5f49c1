//! An app that remembers what it was sent and answers as it is told.

use bindd::testing::within;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the app treats the next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers with this status at once.
    Answer(u16),
    /// Takes the event and answers only once the behaviour is another.
    Hold,
    /// Takes the event and closes the connection without an answer.
    Disconnect,
}

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The path without the leading `/`.
    pub(crate) route: String,
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// Whether it was answered with 2xx.
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
struct Memory {
    events: Mutex<Vec<Event>>,
    probes: Mutex<Vec<String>>,
    seen: watch::Sender<usize>,
    behaviour: watch::Sender<Behaviour>,
    /// Status for `OPTIONS`.
    wanted: watch::Sender<u16>,
}

/// The app. Keeps its port and its memory when it is stopped and started again.
#[derive(Debug)]
pub(crate) struct RecordingApp {
    address: SocketAddr,
    /// Keeps others from the port while the app does not listen.
    _reserved: TcpSocket,
    memory: Arc<Memory>,
    server: JoinSet<()>,
}

impl RecordingApp {
    /// Starts on a free port; accepts everything.
    pub(crate) async fn start() -> Self {
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reserved.local_addr().unwrap();
        let memory = Arc::new(Memory {
            events: Mutex::default(),
            probes: Mutex::default(),
            seen: watch::Sender::new(0),
            behaviour: watch::Sender::new(Behaviour::Answer(200)),
            wanted: watch::Sender::new(200),
        });
        let mut app = Self { address, _reserved: reserved, memory, server: JoinSet::new() };
        app.start_again().await;
        app
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.memory.behaviour.send_replace(behaviour);
    }

    /// Answers `OPTIONS` with this status from now on.
    pub(crate) fn answer_probes(&self, status: u16) {
        self.memory.wanted.send_replace(status);
    }

    /// Routes asked for by `OPTIONS`, in order.
    pub(crate) fn probes(&self) -> Vec<String> {
        lock(&self.memory.probes).clone()
    }

    /// Stops serving and cuts every connection.
    pub(crate) async fn stop(&mut self) {
        self.server.shutdown().await;
    }

    /// Serves again on the same port.
    pub(crate) async fn start_again(&mut self) {
        self.serve(socket(self.address).listen(1_024).unwrap());
    }

    /// Everything that was delivered so far, in order of arrival.
    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.memory.events).clone()
    }

    /// Texts of the accepted events, in order of arrival.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.events().iter().filter(|event| event.accepted).map(Event::text).collect()
    }

    /// Waits until the events so far fulfil a condition.
    pub(crate) async fn until(&self, what: &str, mut fulfilled: impl FnMut(&[Event]) -> bool) {
        let mut seen = self.memory.seen.subscribe();
        let waiting = seen.wait_for(|_| fulfilled(&lock(&self.memory.events)));
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
        let memory = Arc::clone(&self.memory);
        self.server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let memory = Arc::clone(&memory);
                let service = service_fn(move |request| answer(Arc::clone(&memory), request));
                connections.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // A client that leaves is no failure of the app.
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
    }
}

async fn answer(memory: Arc<Memory>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let route = parts.uri.path().trim_start_matches('/').to_owned();
    if parts.method == Method::OPTIONS {
        lock(&memory.probes).push(route);
        let wanted = *memory.wanted.borrow();
        return Ok(empty(wanted));
    }
    // A body that breaks off is a delivery that never was.
    let Ok(body) = body.collect().await else { return Ok(empty(400)) };
    let place = {
        let mut events = lock(&memory.events);
        events.push(Event { route, body: body.to_bytes(), headers: parts.headers, accepted: false });
        events.len() - 1
    };
    memory.seen.send_modify(|seen| *seen += 1);
    let mut behaviour = memory.behaviour.subscribe();
    let decided = *behaviour.wait_for(|behaviour| *behaviour != Behaviour::Hold).await.unwrap();
    let status = match decided {
        Behaviour::Answer(status) => status,
        Behaviour::Disconnect => return Err(io::ErrorKind::ConnectionAborted.into()),
        Behaviour::Hold => unreachable!("waited for its end"),
    };
    lock(&memory.events)[place].accepted = (200..300).contains(&status);
    memory.seen.send_modify(|seen| *seen += 1);
    Ok(empty(status))
}

/// A socket bound to an address that others of this app may share.
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
