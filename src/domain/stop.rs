//! The signal that stops long-running work. It is here because the port `InputBinding::read` takes it.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Cancellation tokens: finish the work in progress, finish it soon, or drop it. Cheap to clone; each implies those before.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    finish: CancellationToken,
    urgent: CancellationToken,
    now: CancellationToken,
}

/// How long work in progress may take to finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainLimits {
    /// After [`Stop::finish`], since a shutdown is limited.
    pub urgent: Duration,
    /// After [`Stop::retire`], since the process goes on.
    pub retire: Duration,
}

impl Stop {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// New tokens that are cancelled together with these, and can also be cancelled separately.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { finish: self.finish.child_token(), urgent: self.urgent.child_token(), now: self.now.child_token() }
    }

    /// Requests that work in progress is finished and no more is begun. It may take its time, since only this work ends.
    pub fn retire(&self) {
        self.finish.cancel();
    }

    /// Requests that work in progress is finished soon and no more is begun.
    pub fn finish(&self) {
        // First, so that who sees the request sees how urgent it is.
        self.urgent.cancel();
        self.finish.cancel();
    }

    /// Requests that work in progress is dropped.
    pub fn now(&self) {
        self.finish();
        self.now.cancel();
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.finish.is_cancelled()
    }

    /// Whether work must be finished soon.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.urgent.is_cancelled()
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

    /// Resolves once work must be finished soon. Cancel-safe.
    pub async fn urgent(&self) {
        self.urgent.cancelled().await;
    }

    /// Resolves when work that is being finished has taken longer than `limits`. A retirement that becomes urgent has the
    /// limit of an urgent stop from then on.
    pub async fn overdue(&self, limits: DrainLimits) {
        self.finishing().await;
        tokio::select! {
            // Biased: a stop that was urgent from the beginning has only that limit.
            biased;
            () = self.urgent() => tokio::time::sleep(limits.urgent).await,
            () = tokio::time::sleep(limits.retire) => {}
        }
    }

    /// Resolves once work must be dropped. Cancel-safe.
    pub async fn forced(&self) {
        self.now.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const LIMITS: DrainLimits = DrainLimits { urgent: Duration::from_secs(3), retire: Duration::from_secs(60) };

    #[tokio::test(start_paused = true)]
    async fn a_retirement_has_its_own_limit_until_it_becomes_urgent() {
        let (all, begun) = (Stop::new(), Instant::now());
        let (one, other, third) = (all.child(), all.child(), all.child());
        one.retire();
        other.finish();
        assert!(one.is_finishing() && !one.is_urgent() && other.is_urgent() && !third.is_finishing());
        other.overdue(LIMITS).await;
        assert_eq!(begun.elapsed(), LIMITS.urgent);
        one.overdue(LIMITS).await;
        assert_eq!(begun.elapsed(), LIMITS.urgent + LIMITS.retire);
        third.retire();
        let (begun, overdue) = (Instant::now(), third.overdue(LIMITS));
        tokio::pin!(overdue);
        assert!(tokio::time::timeout(Duration::from_secs(10), &mut overdue).await.is_err());
        all.finish();
        overdue.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(13));
    }
}
