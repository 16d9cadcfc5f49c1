//! A server on real sockets, and a client that sees every byte.

use super::super::{ApiState, Drained, HttpSettings, bind, serve};
use super::fake_binding::{Fake, state_with_buffer};
use crate::domain::Stop;
use crate::tasks::Supervisor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const LONG: Duration = Duration::from_secs(60);

/// A server on real sockets.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<ApiState>,
    pub(super) fake: Arc<Fake>,
    pub(super) stop: Stop,
    pub(super) tasks: Supervisor<Drained>,
}

impl Running {
    pub(super) async fn start(settings: HttpSettings, drain: Duration) -> Self {
        Self::start_with_buffer(settings, drain, None).await
    }

    pub(super) async fn start_with_buffer(settings: HttpSettings, drain: Duration, max_buffer: Option<usize>) -> Self {
        let (state, fake) = state_with_buffer(settings, max_buffer);
        let listeners = bind(&["127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]).await.unwrap();
        // The second one, to see that not only the first is served.
        let address = listeners.addresses()[1];
        let stop = Stop::new();
        let mut tasks = Supervisor::new();
        tasks.spawn("http", serve(listeners, Arc::clone(&state), stop.clone(), drain));
        Self { address, state, fake, stop, tasks }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) async fn end(mut self) -> Drained {
        self.tasks.next().await.unwrap().result.unwrap()
    }
}

pub(super) fn call(operation: &str) -> String {
    let body = format!(r#"{{"operation":"{operation}","data":1}}"#);
    format!("POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Reads one answer that has no body.
pub(super) async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

pub(super) async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Writes a request and reads the whole answer, until the server closes.
pub(super) async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(stream).await
}
