//! A server that does to each connection exactly what its script says, also what no HTTP server would do.

use crate::tasks::Supervisor;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One step of a connection. After the last one it is closed; where the client's bytes were not all read, that resets
/// it.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Reads the head of a request and whatever comes with it.
    ReadHead,
    /// Reads a whole request.
    ReadAll,
    Write(Vec<u8>),
    /// Closes by a reset.
    Reset,
    Stall,
}

/// Reads a request and answers it.
pub(super) fn answering(answer: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::ReadAll, Step::Write(answer.into())]
}

/// The n-th connection follows the n-th script, further ones the last.
pub(super) struct RawServer {
    pub(super) port: u16,
    /// For each request that was read: the number of its connection, and its head.
    pub(super) seen: UnboundedReceiver<(usize, String)>,
    _tasks: Supervisor<()>,
}

impl RawServer {
    pub(super) async fn start(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let scripts: Vec<Vec<Step>> = scripts.into_iter().collect();
        let socket = TcpSocket::new_v4().unwrap();
        // So that a large request does not fit into the buffers of the sockets.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen_by, seen) = unbounded_channel();
        let mut tasks = Supervisor::new();
        tasks.spawn("server", async move {
            let mut connections = Supervisor::new();
            for number in 0_usize.. {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts[number.min(scripts.len() - 1)].clone();
                connections.spawn("connection", follow(script, stream, number, seen_by.clone()));
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    /// The numbers of the connections whose requests were read so far.
    pub(super) fn connections(&mut self) -> Vec<usize> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).map(|(number, _)| number).collect()
    }
}

async fn follow(script: Vec<Step>, mut stream: TcpStream, number: usize, seen: UnboundedSender<(usize, String)>) {
    for step in script {
        match step {
            Step::ReadHead | Step::ReadAll => {
                let is_all = matches!(step, Step::ReadAll);
                let Some(head) = read(&mut stream, is_all).await else { return };
                // A test may be over before its server.
                seen.send((number, head)).ok();
            }
            Step::Write(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
            Step::Stall => std::future::pending().await,
        }
    }
}

/// The head of a request; `None` when the client is gone.
async fn read(stream: &mut TcpStream, is_all: bool) -> Option<String> {
    let mut read = Vec::new();
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..head_end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    while is_all && read.len() < head_end + length {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A time that no test reaches.
pub(super) const FAR: Duration = Duration::from_secs(3_600);
