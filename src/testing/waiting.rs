//! Waits for conditions instead of sleeping for a fixed time.

use std::time::Duration;

/// Enough for any condition on a busy machine. It is reached only when something is broken.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Between two checks of a condition that sends no notification, such as the state of another process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The output of a future that must be ready within five minutes.
///
/// # Panics
/// When it is not; the message contains `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(TIMEOUT, future).await else { timed_out(what) };
    value
}

/// Polls until there is a value.
///
/// # Panics
/// When there is none within five minutes; the message contains `what`.
pub async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let polling = async {
        loop {
            if let Some(value) = poll().await {
                return value;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    within(what, polling).await
}

#[expect(clippy::panic, reason = "only tests call this")]
fn timed_out(what: &str) -> ! {
    panic!("timed out after {TIMEOUT:?}: {what}")
}
