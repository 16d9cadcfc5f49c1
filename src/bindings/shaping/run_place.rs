//! Chooses the thread on which filters and programs run.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A larger record is shaped on a thread for blocking work. Programs read and write about 100 MB in a second, so a
/// smaller one is done in a fraction of a millisecond, which is less than the change of the thread is worth.
pub(in crate::bindings) const MAX_INLINE: usize = 32 << 10;
/// After a run that took longer, the next ones are done on a thread for blocking work, too: a program may loop.
const MAX_RUN: Duration = Duration::from_millis(1);

/// As many runs at the same time as there are processors, since more would only take more memory.
static RUNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Where the records of one side of a component are shaped: on the calling thread if that is fast.
#[derive(Debug, Default)]
pub(in crate::bindings) struct RunPlace {
    /// The last run took longer than [`MAX_RUN`].
    is_slow: AtomicBool,
}

impl RunPlace {
    /// Whether a record of so many bytes is shaped by [`Self::here`], else by [`Self::elsewhere`].
    pub(in crate::bindings) fn is_here(&self, bytes: usize) -> bool {
        bytes <= MAX_INLINE && !self.is_slow.load(Ordering::Relaxed)
    }

    /// Runs on this thread.
    pub(in crate::bindings) fn here<T>(&self, run: impl FnOnce() -> T) -> T {
        self.ended(timed(run))
    }

    /// Runs on a thread for blocking work. The run goes on if the caller is dropped.
    pub(in crate::bindings) async fn elsewhere<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed. The run holds the permit, since it may outlive its caller.
        let permit = RUNS.acquire().await.ok();
        let run = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            timed(run)
        });
        match run.await {
            Ok(run) => self.ended(run),
            Err(error) => match error.try_into_panic() {
                // As a panic on this thread would go on.
                Ok(panic) => std::panic::resume_unwind(panic),
                // It is aborted only at the end of the process, and then the caller ends too.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn ended<T>(&self, (result, took): (T, Duration)) -> T {
        self.is_slow.store(took > MAX_RUN, Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
impl RunPlace {
    /// As after a run that took long, or did not.
    pub(in crate::bindings) fn set_slow(&self, is_slow: bool) {
        self.is_slow.store(is_slow, Ordering::Relaxed);
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = run();
    (result, begun.elapsed())
}
