//! How far a shard has been delivered, and where reading begins.

use super::{RecordPosition, SequenceNumber};
use std::fmt;
use std::time::{Duration, SystemTime};

/// The last second of the year 9999.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// A moment in milliseconds since the Unix epoch, as AWS services tell it. Never read from a clock on this floor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
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

/// Where a consumer without any lease table yet begins (`initialPosition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialPosition {
    /// Records put after the table was created.
    #[default]
    Latest,
    /// The oldest record held.
    TrimHorizon,
    /// Records that arrived at this moment or later.
    AtTimestamp(Timestamp),
}

impl InitialPosition {
    /// The word that the lease table keeps for it.
    #[must_use]
    pub const fn word(self) -> StartWord {
        match self {
            Self::Latest => StartWord::Latest,
            Self::TrimHorizon => StartWord::TrimHorizon,
            Self::AtTimestamp(_) => StartWord::AtTimestamp,
        }
    }
}

/// The start position of a lease that has no progress yet, as the KCL's table spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartWord {
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
    /// Nothing was accepted yet.
    NotStarted(StartWord),
    /// Everything up to and including this record was accepted.
    After(RecordPosition),
    /// The shard ended and everything in it was accepted.
    Ended,
}

impl Checkpoint {
    /// Whether everything in the shard was accepted.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The last record that was accepted, in a shard that was begun and has not ended.
    #[must_use]
    pub const fn position(&self) -> Option<&RecordPosition> {
        match self {
            Self::After(position) => Some(position),
            Self::NotStarted(_) | Self::Ended => None,
        }
    }

    /// Whether storing this after `stored` moves forward. Progress never goes back.
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
    /// The oldest record held.
    TrimHorizon,
    /// After the newest record at the moment of the call.
    Latest,
    /// The first record that arrived at this moment or later.
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
    fn a_moment_is_shown_as_a_date() {
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
