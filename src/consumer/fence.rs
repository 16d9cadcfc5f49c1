//! The moment at which the lease of a shard may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Set by the renewer of the lease, read before each request. Clones share the moment.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    begun: Instant,
    /// In nanoseconds since `begun`.
    nanos: Arc<AtomicU64>,
}

impl Fence {
    /// `begun` is a moment before `fence`.
    pub(super) fn new(begun: Instant, fence: Instant) -> Self {
        let new = Self { begun, nanos: Arc::default() };
        new.set(fence);
        new
    }

    /// Nothing may begin at this moment or later.
    pub(super) fn get(&self) -> Instant {
        self.begun + Duration::from_nanos(self.nanos.load(Ordering::Acquire))
    }

    pub(super) fn set(&self, fence: Instant) {
        let nanos = fence.saturating_duration_since(self.begun).as_nanos();
        self.nanos.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }
}
