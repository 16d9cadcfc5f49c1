//! The accept loop of every server in bindd: one supervised task for each connection.
//!
//! Every connection that is accepted before the stop, or waits in the queue of the system at that moment, is handled. No
//! connection outlives [`serve_connections`].

use super::{Ended, Supervisor};
use crate::domain::Stop;
use futures_util::FutureExt;
use std::io;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Pause after a failed accept: without file descriptors the next one would fail at once, and the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often [`ConnectionHandler::at_limit`] is called while the limit is reached.
const LIMIT_INTERVAL: Duration = Duration::from_millis(250);

/// A source of connections.
pub trait Accept: Send {
    type Stream: Send;

    /// The next connection and the name of its client, for the log. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, String)>> + Send;
}

/// What is done with connections. A closure that takes the stream is one.
pub trait ConnectionHandler<S>: Send {
    /// Serves one connection until it ends.
    fn handle(&mut self, stream: S) -> impl Future<Output = ()> + Send + 'static;

    /// Called when no more connections are accepted, and repeatedly until one of them ends.
    fn at_limit(&mut self) {}
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        Self::accept(self).await.map(|(stream, client)| (stream, client.to_string()))
    }
}

impl<S, H: FnMut(S) -> F + Send, F: Future<Output = ()> + Send + 'static> ConnectionHandler<S> for H {
    fn handle(&mut self, stream: S) -> impl Future<Output = ()> + Send + 'static {
        self(stream)
    }
}

/// Accepts connections until `stop` asks to finish, at most `max_connections` at a time; further clients wait in the
/// queue of the system. Then closes the listener and waits for the open connections, for at most `drain_limit` and until
/// the stop is forced. Returns how many were aborted after that. Dropping the future aborts all.
pub async fn serve_connections<A: Accept>(
    mut listener: A,
    mut handler: impl ConnectionHandler<A::Stream>,
    max_connections: usize,
    stop: &Stop,
    drain_limit: Duration,
) -> usize {
    let mut connections = Supervisor::new();
    accept_until_stopped(&mut listener, &mut handler, max_connections, stop, &mut connections).await;
    // Clients may have sent requests over connections that are not accepted yet. The runtime learns about the last of them
    // only after it has polled its sockets once more.
    tokio::task::yield_now().await;
    while connections.len() < max_connections
        && let Some(Ok((stream, client))) = listener.accept().now_or_never()
    {
        connections.spawn(client, handler.handle(stream));
    }
    drop(listener);
    drain(connections, stop, drain_limit).await
}

async fn accept_until_stopped<A: Accept>(
    listener: &mut A,
    handler: &mut impl ConnectionHandler<A::Stream>,
    max_connections: usize,
    stop: &Stop,
    connections: &mut Supervisor<()>,
) {
    // A time, not a duration: connections that end during the pause must not restart it.
    let mut paused_until: Option<Instant> = None;
    loop {
        let is_full = connections.len() >= max_connections;
        if is_full {
            handler.at_limit();
        }
        let next = async {
            if let Some(end) = paused_until {
                tokio::time::sleep_until(end).await;
            }
            listener.accept().await
        };
        tokio::select! {
            // Biased: a stop outranks new connections, and ended ones are counted before them.
            biased;
            () = stop.finishing() => return,
            Some(ended) = connections.next() => log_failure(&ended),
            () = tokio::time::sleep(LIMIT_INTERVAL), if is_full => {}
            accepted = next, if !is_full => match accepted {
                Ok((stream, client)) => {
                    paused_until = None;
                    connections.spawn(client, handler.handle(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "connection could not be accepted");
                    paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                }
            }
        }
    }
}

async fn drain(mut connections: Supervisor<()>, stop: &Stop, limit: Duration) -> usize {
    let all_ended = async {
        while let Some(ended) = connections.next().await {
            log_failure(&ended);
        }
    };
    tokio::select! {
        () = all_ended => {}
        () = tokio::time::sleep(limit) => {}
        () = stop.forced() => {}
    }
    connections.abort_and_join().await.len()
}

fn log_failure(ended: &Ended<()>) {
    if let Err(error) = &ended.result {
        tracing::error!(client = %ended.name, %error, "connection task failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::sync::Semaphore;

    /// Accepts `before` connections, fails `times` times, then accepts again.
    struct Failing {
        before: u32,
        times: u32,
        listener: TcpListener,
    }

    impl Accept for Failing {
        type Stream = TcpStream;

        async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
            if self.before == 0 && self.times > 0 {
                self.times -= 1;
                return Err(io::Error::other("no file descriptors left"));
            }
            let accepted = Accept::accept(&mut self.listener).await;
            self.before = self.before.saturating_sub(1);
            accepted
        }
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_continues_after_a_pause_when_it_failed() {
        let (listener, address) = listener().await;
        let (stop, begun) = (Stop::new(), Instant::now());
        let handled = stop.clone();
        let handler = move |_: TcpStream| {
            handled.finish();
            std::future::ready(())
        };
        let failing = Failing { before: 0, times: 3, listener };
        let serving = serve_connections(failing, handler, 8, &stop, Duration::from_secs(60));
        let (aborted, client) = tokio::join!(serving, TcpStream::connect(address));
        assert_eq!((aborted, client.is_ok()), (0, true));
        assert!(begun.elapsed() >= 3 * ACCEPT_PAUSE, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_end_do_not_prolong_the_pause_after_a_failed_accept() {
        const OPEN: u32 = 6;
        let (listener, address) = listener().await;
        let mut clients = Vec::new();
        for _ in 0..=OPEN {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (stop, begun) = (Stop::new(), Instant::now());
        let (last, mut number) = (stop.clone(), 0);
        let handler = move |_: TcpStream| {
            number += 1;
            if number > OPEN {
                last.finish();
                assert!(begun.elapsed() < 2 * ACCEPT_PAUSE, "{:?}", begun.elapsed());
            }
            // One connection ends in each half of the pause.
            tokio::time::sleep(number * ACCEPT_PAUSE / 2)
        };
        let failing = Failing { before: OPEN, times: 1, listener };
        assert_eq!(serve_connections(failing, handler, 16, &stop, Duration::from_secs(60)).await, 0);
    }

    #[tokio::test]
    async fn a_forced_stop_aborts_open_connections() {
        let (listener, address) = listener().await;
        let (stop, accepted) = (Stop::new(), Arc::new(Semaphore::new(0)));
        let begun = Arc::clone(&accepted);
        let handler = move |stream: TcpStream| {
            begun.add_permits(1);
            async move {
                std::future::pending::<()>().await;
                drop(stream);
            }
        };
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            accepted.acquire().await.unwrap().forget();
            stop.now();
            stream.read(&mut [0]).await
        };
        let (aborted, read) = tokio::join!(serve_connections(listener, handler, 8, &stop, Duration::MAX), client);
        assert_eq!((aborted, read.unwrap()), (1, 0));
    }
}
