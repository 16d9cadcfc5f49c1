//! How far a shard has been delivered, and where reading begins.

use super::{RecordPosition, SequenceNumber};
use std::fmt;

/// A moment in milliseconds since the Unix epoch, as AWS services tell it. Never read from a clock on this floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
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
