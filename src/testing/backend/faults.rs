//! Which faults the backend injects, and how often.

use std::time::Duration;

/// Faults to inject; none by default. Shares run from 0 (never) to 1 (always), drawn from the seed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Time between the execution of a call and its response.
    pub latency: Duration,
    /// Share of records answered with `ProvisionedThroughputExceededException` in their entry.
    pub entry_throttled: f64,
    /// Share of records answered with `InternalFailure` in their entry.
    pub entry_failed: f64,
    /// Share of calls answered with 500, not executed.
    pub call_failed: f64,
    /// Share of calls answered with 503, not executed.
    pub call_unavailable: f64,
    /// Share of calls answered with 400 `LimitExceededException`, not executed.
    pub call_throttled: f64,
    /// Share of calls that are executed, but whose connection closes without a response.
    pub reply_lost: f64,
    /// Share of calls that are not executed and whose connection closes without a response.
    pub call_lost: f64,
    /// Share of entries of `BatchWriteItem` that come back unprocessed.
    pub unprocessed: f64,
    /// The rate limit of each shard; `None` for no limit.
    pub shard_rate: Option<ShardRate>,
    /// Operations answered with `AccessDeniedException`, such as `PutRecords`.
    pub denied: Vec<&'static str>,
    /// Operations answered with `UnknownOperationException`.
    pub unknown: Vec<&'static str>,
    /// A record whose payload contains this text makes its whole call fail with `ValidationException`.
    pub poison: Option<String>,
}

/// The rate limit of a shard, with a burst of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRate {
    pub records: u32,
    /// Bytes a second, keys included.
    pub bytes: u32,
}

impl ShardRate {
    /// The limit in AWS: 1,000 records and 1 MiB a second (Developer Guide, "Quotas and limits").
    pub const AWS: Self = Self { records: 1_000, bytes: 1 << 20 };
}

/// The outcome of a whole call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// Executed, with a response.
    Served,
    /// 500, not executed.
    Failed,
    /// 503, not executed.
    Unavailable,
    /// 400, not executed.
    Throttled,
    /// Executed, without a response.
    ReplyLost,
    /// Not executed, without a response.
    CallLost,
}

impl Faults {
    pub(super) fn draw_outcome(&self, rng: &mut fastrand::Rng) -> CallOutcome {
        let shares = [
            (self.call_failed, CallOutcome::Failed),
            (self.call_unavailable, CallOutcome::Unavailable),
            (self.call_throttled, CallOutcome::Throttled),
            (self.reply_lost, CallOutcome::ReplyLost),
            (self.call_lost, CallOutcome::CallLost),
        ];
        let mut draw = rng.f64();
        for (share, outcome) in shares {
            if draw < share {
                return outcome;
            }
            draw -= share;
        }
        CallOutcome::Served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_drawn_in_their_shares() {
        let faults = Faults { call_failed: 0.25, reply_lost: 0.5, ..Faults::default() };
        let mut rng = fastrand::Rng::with_seed(7);
        let outcomes: Vec<CallOutcome> = (0..10_000).map(|_| faults.draw_outcome(&mut rng)).collect();
        let share = |outcome| outcomes.iter().filter(|drawn| **drawn == outcome).count();
        assert!((2_300..2_700).contains(&share(CallOutcome::Failed)));
        assert!((4_700..5_300).contains(&share(CallOutcome::ReplyLost)));
        assert_eq!(share(CallOutcome::Failed) + share(CallOutcome::ReplyLost) + share(CallOutcome::Served), 10_000);
    }

    #[test]
    fn without_faults_every_call_is_served() {
        let mut rng = fastrand::Rng::with_seed(7);
        assert!((0..1_000).all(|_| Faults::default().draw_outcome(&mut rng) == CallOutcome::Served));
    }
}
