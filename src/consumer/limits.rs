//! What all inputs of a process share: memory for records, and the limits of requests to the app.

use super::budget::MemoryBudget;
use super::delivery::AppAdmission;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Requests to the app at the same time unless the caller sets another limit. More would exceed its connections.
const DEFAULT_MAX_CALLBACKS: usize = 1_024;
const DEFAULT_MAX_BUFFERED_BYTES: usize = 64 << 20;

/// Clones share the limits.
#[derive(Debug, Clone)]
pub struct SharedLimits {
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) admission: Arc<AppAdmission>,
}

impl SharedLimits {
    /// `max_buffered_bytes`: memory for records that were fetched and are not accepted yet, 64 KiB to 4 GiB.
    /// `max_callbacks`: requests to the app at the same time (`--app-max-concurrency`); 1,024 without it. `seed`: of the
    /// pauses while the app is down.
    #[must_use]
    pub fn new(max_buffered_bytes: usize, max_callbacks: Option<NonZeroUsize>, seed: u64) -> Self {
        let max_callbacks = max_callbacks.map_or(DEFAULT_MAX_CALLBACKS, NonZeroUsize::get);
        Self {
            memory: Arc::new(MemoryBudget::new(max_buffered_bytes)),
            admission: Arc::new(AppAdmission::new(max_callbacks, seed)),
        }
    }

    /// Waits for memory for an event of this size in bytes, within `--max-buffered-bytes`; hold the permit as long as the event.
    /// One that is larger than all of it takes all. `None` never happens. Cancel-safe.
    pub async fn memory(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.memory.reserve(bytes).await
    }
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_BUFFERED_BYTES, None, 0)
    }
}
