//! What follows from the time for which a stream keeps its records. Pure: the caller passes the time.

use crate::domain::{ShardId, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// How wrong a time may be. It is that of Kinesis, but of a response that may be a minute old, and from any of its hosts.
const CLOCK_MARGIN: Duration = Duration::from_secs(600);

/// The time of Kinesis, and how long the stream keeps its records; `None` if that is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamTime {
    pub(super) now: Timestamp,
    pub(super) retention: Option<Duration>,
}

impl StreamTime {
    /// Whether records that were not read yet can have aged out, if everything that arrived before `read_until` was read.
    /// Also true where that cannot be known.
    pub(super) fn may_have_aged_out(self, read_until: Option<Timestamp>) -> bool {
        let Some((read_until, retention)) = read_until.zip(self.retention) else { return true };
        let age = self.now.as_millis().saturating_sub(read_until.as_millis());
        let (margin, retention) = (millis(CLOCK_MARGIN), millis(retention));
        age < -margin || age.saturating_add(margin) >= retention
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// How much of the retention period the lag of a shard has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AgeLevel {
    /// At most half.
    Safe,
    /// More than half.
    Warning,
    /// More than four fifths.
    Danger,
}

impl AgeLevel {
    fn of(lag: Duration, retention: Duration) -> Self {
        if lag > retention / 5 * 4 {
            Self::Danger
        } else if lag > retention / 2 {
            Self::Warning
        } else {
            Self::Safe
        }
    }
}

/// The shards that came to a level since the last check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AgeChange {
    pub(super) level: AgeLevel,
    pub(super) shards: Vec<ShardId>,
    /// The largest of their lags.
    pub(super) lag: Duration,
}

/// Notices when the unread records of a shard are about to age out, and when that is over.
#[derive(Debug, Default)]
pub(super) struct AgeAlarm {
    /// The shards that are not safe.
    levels: BTreeMap<ShardId, AgeLevel>,
}

impl AgeAlarm {
    /// Compares the lags of all shards that are held with those of the last check. One change for each level, so that many
    /// shards give few lines of log. A shard that is not held any more is forgotten.
    pub(super) fn check(&mut self, lags: &[(ShardId, Duration)], retention: Duration) -> Vec<AgeChange> {
        let mut changes: BTreeMap<AgeLevel, AgeChange> = BTreeMap::new();
        let mut levels = BTreeMap::new();
        for (shard, lag) in lags {
            let level = AgeLevel::of(*lag, retention);
            if level != AgeLevel::Safe {
                levels.insert(shard.clone(), level);
            }
            if level != self.levels.get(shard).copied().unwrap_or(AgeLevel::Safe) {
                let change =
                    changes.entry(level).or_insert(AgeChange { level, shards: Vec::new(), lag: Duration::ZERO });
                change.shards.push(shard.clone());
                change.lag = change.lag.max(*lag);
            }
        }
        self.levels = levels;
        changes.into_values().collect()
    }
}

/// Shards that one line of the log names.
const MAX_NAMED: usize = 10;

impl AgeChange {
    pub(super) fn log(&self, retention: Duration) {
        let shards: Vec<&str> = self.shards.iter().take(MAX_NAMED).map(ShardId::as_str).collect();
        let (shards, count) = (shards.join(" "), self.shards.len());
        let (lag_seconds, retention_seconds) = (self.lag.as_secs(), retention.as_secs());
        match self.level {
            AgeLevel::Safe => {
                tracing::info!(shards, count, lag_seconds, retention_seconds, "lag below half of the retention period");
            }
            AgeLevel::Warning => {
                tracing::warn!(shards, count, lag_seconds, retention_seconds, "lag above half of the retention period");
            }
            AgeLevel::Danger => tracing::error!(
                shards,
                count,
                lag_seconds,
                retention_seconds,
                remedy = "make the app faster, or increase the retention period of the stream",
                "lag above four fifths of the retention period; records will age out unread"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::tests::shard;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;
    const DAY: Duration = Duration::from_secs(86_400);

    fn time(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn unread_records_age_out_after_the_retention_period() {
        let day = |now| StreamTime { now: time(now), retention: Some(DAY) };
        for (now, read_until, may_have) in [
            (100 * HOUR, Some(99 * HOUR), false),
            (100 * HOUR, Some(77 * HOUR), false),
            (100 * HOUR, Some(76 * HOUR), true),
            // Times may be inexact, but not so much.
            (100 * HOUR, Some(100 * HOUR + 60_000), false),
            (100 * HOUR, Some(101 * HOUR), true),
            (100 * HOUR, None, true),
        ] {
            assert_eq!(day(now).may_have_aged_out(read_until.map(time)), may_have, "{read_until:?}");
        }
        let unknown = StreamTime { now: time(100 * HOUR), retention: None };
        assert!(unknown.may_have_aged_out(Some(time(100 * HOUR))));
    }

    proptest! {
        #[test]
        fn nothing_that_can_have_aged_out_is_overlooked(
            read_until: i32, idle in 0_u32..400_000, skew in -600_i64..=600,
        ) {
            let age = i64::from(idle);
            let now = time((i64::from(read_until) + age + skew) * 1_000);
            let at = StreamTime { now, retention: Some(DAY) };
            let is_aged = age >= 86_400;
            prop_assert!(!is_aged || at.may_have_aged_out(Some(time(i64::from(read_until) * 1_000))));
        }
    }

    fn lags(lags: &[u64]) -> Vec<(ShardId, Duration)> {
        (0..).zip(lags).map(|(number, hours)| (shard(number), Duration::from_secs(hours * 3_600))).collect()
    }

    fn change(level: AgeLevel, shards: &[u32], hours: u64) -> AgeChange {
        let shards = shards.iter().map(|number| shard(*number)).collect();
        AgeChange { level, shards, lag: Duration::from_secs(hours * 3_600) }
    }

    #[test]
    fn an_alarm_is_raised_once_for_each_level_and_when_it_is_over() {
        use AgeLevel::{Danger, Safe, Warning};
        let mut alarm = AgeAlarm::default();
        assert_eq!(alarm.check(&lags(&[12, 0, 1]), DAY), []);
        assert_eq!(alarm.check(&lags(&[13, 15, 1]), DAY), [change(Warning, &[0, 1], 15)]);
        assert_eq!(alarm.check(&lags(&[14, 16, 1]), DAY), []);
        assert_eq!(
            alarm.check(&lags(&[0, 23, 14]), DAY),
            [change(Safe, &[0], 0), change(Warning, &[2], 14), change(Danger, &[1], 23)]
        );
        assert_eq!(alarm.check(&lags(&[0]), DAY), [], "a shard that is not held any more");
        assert_eq!(alarm.check(&lags(&[0, 13]), DAY), [change(Warning, &[1], 13)]);
    }
}
