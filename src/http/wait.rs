//! `bindd --wait`: waits until the outputs of a running sidecar are ready, as daprd's flag does.

use crate::domain::{BoxError, Stop};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

const PATH: &str = "/v1.0/healthz/outbound";
/// How long a sidecar may take to become ready; daprd's value.
const LIMIT: Duration = Duration::from_secs(60);
/// How long one response may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two attempts; daprd's value.
const PAUSE: Duration = Duration::from_millis(100);

/// Polls the outbound health of the sidecar at this address until it is ready, for at most 60 s. Starts nothing.
///
/// # Errors
/// With the address and the last response in the text, when it is not ready in time or `stop` comes first.
pub async fn wait_until_outbound_ready(address: SocketAddr, stop: &Stop) -> Result<(), String> {
    tokio::select! {
        biased;
        () = stop.finishing() => Err(format!("stopped while waiting for the sidecar at {address}")),
        ready = until_ready(async || check(address).await) => ready.map_err(|error| {
            format!("the sidecar at {address} was not ready after {LIMIT:?}: {error}; check that it runs and its --dapr-http-port")
        }),
    }
}

/// Repeats the attempt until it succeeds; the last error when the time is over.
async fn until_ready(attempt: impl AsyncFn() -> Result<(), BoxError>) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let error = match tokio::time::timeout(ATTEMPT_TIMEOUT, attempt()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {ATTEMPT_TIMEOUT:?}"),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn check(address: SocketAddr) -> Result<(), BoxError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(PATH).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = tokio::select! {
        // Biased: a complete head is a response, even if the connection ends with it.
        biased;
        response = sender.send_request(request) => response?,
        ended = connection => {
            ended?;
            return Err("the connection was closed without an answer".into());
        }
    };
    if response.status().is_success() { Ok(()) } else { Err(format!("it answered {}", response.status()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn attempts_are_repeated_until_one_succeeds() {
        let attempts = Cell::new(0);
        let third = async || {
            attempts.set(attempts.get() + 1);
            match attempts.get() {
                1 => Err("refused".into()),
                2 => std::future::pending().await,
                _ => Ok(()),
            }
        };
        assert_eq!(until_ready(third).await, Ok(()));
        assert_eq!(attempts.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_is_returned_when_the_time_is_over() {
        let begun = Instant::now();
        assert_eq!(until_ready(async || Err("refused".into())).await, Err("refused".to_owned()));
        assert!(begun.elapsed() <= LIMIT && begun.elapsed() > LIMIT - 2 * PAUSE, "{:?}", begun.elapsed());
        let hanging = until_ready(async || std::future::pending().await).await.unwrap_err();
        assert!(hanging.contains("no answer"), "{hanging}");
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait() {
        let stop = Stop::new();
        stop.finish();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        assert!(wait_until_outbound_ready(address, &stop).await.unwrap_err().contains("stopped"));
    }
}
