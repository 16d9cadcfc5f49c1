//! How the reading of a shard stands, and what remains to be written once it has come to its end.

use super::shard_events::LeaseCall;
use crate::domain::{Checkpoint, ShardId};
use std::time::Duration;

/// The fetch side of one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// To be opened after a pause.
    Closed { after: Duration },
    /// A call is under way.
    Busy,
    /// The next records may be asked for, after a pause.
    Open { after: Duration },
    /// The end was signalled without children; the shards are being listed.
    Unconfirmed,
    /// The position was refused, as it also is when the stream was replaced; the stream is being checked.
    Refused,
    /// The shard was read to its end; its children, and whether the store knows them.
    Finished { children: Vec<ShardId>, noted: bool },
}

impl Reading {
    /// The next records may be asked for at once.
    pub(super) const OPEN: Self = Self::Open { after: Duration::ZERO };

    /// The steps after the last record of an ended shard was accepted: children, checkpoint "ended", release.
    pub(super) fn last_steps(&self, all_accepted: bool, stored: &Checkpoint) -> Option<LeaseCall> {
        let Self::Finished { children, noted } = self else { return None };
        if !all_accepted {
            return None;
        }
        Some(match (stored.is_ended(), *noted || children.is_empty()) {
            (true, _) => LeaseCall::Release,
            (false, false) => LeaseCall::NoteChildren(children.clone()),
            (false, true) => LeaseCall::Checkpoint(Checkpoint::Ended),
        })
    }
}
