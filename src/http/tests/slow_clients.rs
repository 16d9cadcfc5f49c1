//! Clients that do not read their responses, over real sockets.

use super::super::HttpSettings;
use super::super::response_body::WRITE_TIMEOUT;
use super::running::{LONG, Running, rest};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// Larger than all that the system buffers for a client that does not read.
const LARGE: usize = 32 << 20;

fn echo() -> String {
    let body = format!(r#"{{"operation":"echo","data":"{}"}}"#, "x".repeat(LARGE));
    format!("POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(start_paused = true)]
async fn a_response_counts_as_memory_until_it_is_read_or_its_time_is_over() {
    let settings = HttpSettings { max_body_size: None, ..HttpSettings::default() };
    let running = Running::start_with_buffer(settings, LONG, Some(5 * LARGE / 2)).await;
    let mut slow = running.connect().await;
    slow.write_all(echo().as_bytes()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(slow.read_u8().await.unwrap(), b'H');
    // Its memory is that of the first response and of this request.
    let mut second = running.connect().await;
    second.write_all(echo().as_bytes()).await.unwrap();
    let mut start = [0; 12];
    second.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 503");
    drop(second);
    // The first client reads nothing, so it loses its connection.
    let free = async {
        while running.state.body_memory.reservation().grow(5 * LARGE / 2).is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    free.await;
    assert!(begun.elapsed() >= WRITE_TIMEOUT, "{:?}", begun.elapsed());
    let mut third = running.connect().await;
    third.write_all(echo().replace("1.1\r\n", "1.1\r\nconnection: close\r\n").as_bytes()).await.unwrap();
    assert!(rest(&mut third).await.len() > LARGE, "a client that reads gets all");
}
