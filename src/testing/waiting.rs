//! Waiting for facts, never for time.

use std::time::Duration;

/// How long any fact may take on a busy machine. Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at a fact that nobody announces, such as the state of another process.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a future gives, if it does so within five minutes.
///
/// # Panics
/// When it does not; the text names what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else { in_vain(what) };
    value
}

/// Asks again and again until the answer is there.
///
/// # Panics
/// When it is not there within five minutes.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    within(what, asking).await
}

#[expect(clippy::panic, reason = "how a test says that something is broken")]
fn in_vain(what: &str) -> ! {
    panic!("waited {PATIENCE:?} in vain: {what}")
}
