//! What goes wrong, and how often.

use std::time::Duration;

/// How the backend misbehaves; the default does not. Shares run from 0 (never) to 1 (always), drawn from the seed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Time between carrying out a call and answering it.
    pub latency: Duration,
    /// Share of records answered with `ProvisionedThroughputExceededException` in their entry.
    pub entry_throttled: f64,
    /// Share of records answered with `InternalFailure` in their entry.
    pub entry_failed: f64,
    /// Share of calls answered with 500, nothing done.
    pub call_failed: f64,
    /// Share of calls answered with 503, nothing done.
    pub call_unavailable: f64,
    /// Share of calls answered with 400 `LimitExceededException`, nothing done.
    pub call_throttled: f64,
    /// Share of calls carried out whose connection then closes without an answer.
    pub reply_lost: f64,
    /// Share of calls not carried out whose connection closes without an answer.
    pub call_lost: f64,
    /// Share of entries of `BatchWriteItem` that come back unprocessed.
    pub unprocessed: f64,
    /// What each shard takes; `None` takes everything.
    pub shard_rate: Option<ShardRate>,
    /// Operations answered with `AccessDeniedException`, such as `PutRecords`.
    pub denied: Vec<&'static str>,
    /// Operations answered with `UnknownOperationException`.
    pub unknown: Vec<&'static str>,
    /// A record whose payload holds this text makes its whole call fail with `ValidationException`.
    pub poison: Option<String>,
}

/// What a shard takes in a second; unused room of one second may be spent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRate {
    /// Records a second.
    pub records: u32,
    /// Bytes a second, keys included.
    pub bytes: u32,
}

impl ShardRate {
    /// What AWS gives a shard: 1,000 records and 1 MiB a second (Developer Guide, "Quotas and limits").
    pub const AWS: Self = Self { records: 1_000, bytes: 1 << 20 };
}

/// What becomes of a call as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out and answered.
    Served,
    /// 500, nothing done.
    Failed,
    /// 503, nothing done.
    Unavailable,
    /// 400, nothing done.
    Throttled,
    /// Carried out, never answered.
    ReplyLost,
    /// Not carried out, never answered.
    CallLost,
}

impl Faults {
    /// Draws the fate of a call.
    pub(super) fn fate(&self, dice: &mut fastrand::Rng) -> Fate {
        let shares = [
            (self.call_failed, Fate::Failed),
            (self.call_unavailable, Fate::Unavailable),
            (self.call_throttled, Fate::Throttled),
            (self.reply_lost, Fate::ReplyLost),
            (self.call_lost, Fate::CallLost),
        ];
        let mut draw = dice.f64();
        for (share, fate) in shares {
            if draw < share {
                return fate;
            }
            draw -= share;
        }
        Fate::Served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_come_in_their_shares() {
        let faults = Faults { call_failed: 0.25, reply_lost: 0.5, ..Faults::default() };
        let mut dice = fastrand::Rng::with_seed(7);
        let fates: Vec<Fate> = (0..10_000).map(|_| faults.fate(&mut dice)).collect();
        let share = |fate| fates.iter().filter(|drawn| **drawn == fate).count();
        assert!((2_300..2_700).contains(&share(Fate::Failed)));
        assert!((4_700..5_300).contains(&share(Fate::ReplyLost)));
        assert_eq!(share(Fate::Failed) + share(Fate::ReplyLost) + share(Fate::Served), 10_000);
    }

    #[test]
    fn without_faults_every_call_is_served() {
        let mut dice = fastrand::Rng::with_seed(7);
        assert!((0..1_000).all(|_| Faults::default().fate(&mut dice) == Fate::Served));
    }
}
