//! How long-running work is told to end. Lives on this floor because the port `InputBinding::read` takes it.

use tokio_util::sync::CancellationToken;

/// Two tokens: "please finish" and "now". Cheap to clone; the second implies the first.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    finish: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// A fresh pair; nothing is asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A pair that follows this one but can also be stopped alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { finish: self.finish.child_token(), now: self.now.child_token() }
    }

    /// Asks to finish the work in hand and end.
    pub fn finish(&self) {
        self.finish.cancel();
    }

    /// Asks to drop the work in hand.
    pub fn now(&self) {
        self.finish.cancel();
        self.now.cancel();
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.finish.is_cancelled()
    }

    /// Whether work must be dropped.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.now.is_cancelled()
    }

    /// Resolves once an end was asked for. Cancel-safe.
    pub async fn asked(&self) {
        self.finish.cancelled().await;
    }

    /// Resolves once work must be dropped. Cancel-safe.
    pub async fn forced(&self) {
        self.now.cancelled().await;
    }
}
