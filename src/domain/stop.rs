//! The signal that stops long-running work. It is here because the port `InputBinding::read` takes it.

use tokio_util::sync::CancellationToken;

/// Two cancellation tokens: finish the work in progress, or drop it. Cheap to clone; the second implies the first.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    finish: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new pair that is cancelled together with this one, and can also be cancelled separately.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { finish: self.finish.child_token(), now: self.now.child_token() }
    }

    /// Requests that work in progress is finished and no more is begun.
    pub fn finish(&self) {
        self.finish.cancel();
    }

    /// Requests that work in progress is dropped.
    pub fn now(&self) {
        self.finish.cancel();
        self.now.cancel();
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.finish.is_cancelled()
    }

    /// Whether work must be dropped.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.now.is_cancelled()
    }

    /// Resolves once a stop was requested. Cancel-safe.
    pub async fn finishing(&self) {
        self.finish.cancelled().await;
    }

    /// Resolves once work must be dropped. Cancel-safe.
    pub async fn forced(&self) {
        self.now.cancelled().await;
    }
}
