//! Until when a drained shard may do what. Pure.

use super::settings::ConsumerSettings;
use crate::domain::DrainLimits;
use std::time::Duration;
use tokio::time::Instant;

/// The limits of drains.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drains {
    limits: DrainLimits,
    handoff: Duration,
}

/// Until when what may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DrainTimes {
    /// Requests to the app may begin.
    pub(super) begin: Instant,
    /// They are waited for.
    pub(super) deliver: Instant,
    /// The lease may be released. After that it is left to expire.
    pub(super) release: Instant,
}

impl Drains {
    pub(super) const fn new(settings: &ConsumerSettings) -> Self {
        Self { limits: settings.drain_limits, handoff: settings.handoff_limit }
    }

    /// After a stop that is urgent, or that follows a failure.
    pub(super) fn urgent(&self, now: Instant) -> DrainTimes {
        DrainTimes::within(self.limits.urgent, now)
    }

    /// After another worker requested the lease.
    pub(super) fn handoff(&self, now: Instant) -> DrainTimes {
        DrainTimes::within(self.handoff, now)
    }

    /// As an urgent drain, but requests to the app may end later.
    pub(super) fn retirement(&self, now: Instant) -> DrainTimes {
        let DrainLimits { urgent, retire } = self.limits;
        let deliver = now + retire;
        DrainTimes { begin: now + (urgent / 4).min(retire), deliver, release: deliver + urgent / 4 }
    }
}

impl DrainTimes {
    /// Three quarters of the limit are for requests to the app, the last of which begin in the first quarter. The rest is
    /// for the last writes of the lease.
    fn within(limit: Duration, now: Instant) -> Self {
        Self { begin: now + limit / 4, deliver: now + limit / 4 * 3, release: now + limit }
    }

    pub(super) fn min(self, other: Self) -> Self {
        let (begin, deliver) = (self.begin.min(other.begin), self.deliver.min(other.deliver));
        Self { begin, deliver, release: self.release.min(other.release) }
    }
}
