//! How far a shard has been delivered, and where reading begins.

use super::{RecordPosition, SequenceNumber};
use std::fmt;
use std::time::{Duration, SystemTime};

/// The last second of the year 9999.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// A time in milliseconds since the Unix epoch, as AWS services return it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// As HTTP writes dates, in UTC and to the second.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = Duration::from_millis(u64::try_from(self.0).unwrap_or_default());
        // HTTP dates end with the year 9999.
        match SystemTime::UNIX_EPOCH.checked_add(since_epoch.min(LAST_DATE)) {
            Some(moment) => f.write_str(&httpdate::fmt_http_date(moment)),
            None => write!(f, "{} ms since 1970", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a consumer without a lease table begins (`initialPosition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialPosition {
    /// Records put after the table was created.
    #[default]
    Latest,
    /// The oldest record in the stream.
    TrimHorizon,
    /// Records that arrived at this time or later.
    AtTimestamp(Timestamp),
}

impl InitialPosition {
    #[must_use]
    pub const fn sentinel(self) -> SentinelCheckpoint {
        match self {
            Self::Latest => SentinelCheckpoint::Latest,
            Self::TrimHorizon => SentinelCheckpoint::TrimHorizon,
            Self::AtTimestamp(_) => SentinelCheckpoint::AtTimestamp,
        }
    }
}

/// Where a shard is read again from after the stream did not know its stored position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetPosition {
    /// The oldest record.
    TrimHorizon,
    /// Records that arrived at this time or later: it is stored, so that a restart before the first checkpoint starts at the
    /// same record.
    Latest(Timestamp),
}

impl ResetPosition {
    #[must_use]
    pub const fn checkpoint(self) -> Checkpoint {
        Checkpoint::NotStarted(match self {
            Self::TrimHorizon => SentinelCheckpoint::TrimHorizon,
            Self::Latest(_) => SentinelCheckpoint::Latest,
        })
    }

    /// See [`Lease::start_at`](super::Lease::start_at).
    #[must_use]
    pub const fn start_at(self) -> Option<Timestamp> {
        match self {
            Self::TrimHorizon => None,
            Self::Latest(moment) => Some(moment),
        }
    }
}

/// The checkpoint of a lease without progress, as the KCL writes it (its `SentinelCheckpoint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SentinelCheckpoint {
    /// `TRIM_HORIZON`
    TrimHorizon,
    /// `LATEST`
    Latest,
    /// `AT_TIMESTAMP`
    AtTimestamp,
}

/// How far a shard has been delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// No record was accepted yet.
    NotStarted(SentinelCheckpoint),
    /// Every record up to and including this one was accepted.
    After(RecordPosition),
    /// The shard ended and every record in it was accepted.
    Ended,
}

impl Checkpoint {
    /// Whether every record in the shard was accepted.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The last accepted record, in a shard that was begun and has not ended.
    #[must_use]
    pub const fn position(&self) -> Option<&RecordPosition> {
        match self {
            Self::After(position) => Some(position),
            Self::NotStarted(_) | Self::Ended => None,
        }
    }

    /// Whether this is further than `stored`. Only a reset moves a checkpoint back.
    #[must_use]
    pub fn is_beyond(&self, stored: &Self) -> bool {
        match (self, stored) {
            (Self::NotStarted(_), _) | (_, Self::Ended) => false,
            (Self::Ended, _) | (Self::After(_), Self::NotStarted(_)) => true,
            (Self::After(new), Self::After(old)) => new > old,
        }
    }
}

/// Where to open a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record in the shard.
    TrimHorizon,
    /// After the newest record at the time of the call.
    Latest,
    /// The first record that arrived at this time or later.
    AtTimestamp(Timestamp),
    /// This record.
    At(SequenceNumber),
    /// The record after this one.
    After(SequenceNumber),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_as_an_http_date() {
        for (millis, expected) in [
            (1_795_744_454_999, "Fri, 27 Nov 2026 01:54:14 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), expected);
        }
    }
}
