//! The records that wait or are under way, each in its place.

use super::gate::Permit;
use super::settings::Ordering;
use super::waiter::Waiter;
use crate::domain::{BindingError, NewRecord, Outcome, PartitionKey, SequenceNumber, ShardId};
use tokio::time::Instant;

/// Places that stay allocated when nothing is pending.
const KEPT: usize = 1_024;

/// What an order is kept for: the explicit hash key where there is one, else the partition key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum LaneKey {
    /// By partition key.
    Key(PartitionKey),
    /// By explicit hash key.
    Hash(u128),
}

impl LaneKey {
    /// The lane of a record; `None` where no order is kept, or the stream places records by itself.
    pub(super) fn of(record: &NewRecord, ordering: Ordering) -> Option<Self> {
        match ordering {
            Ordering::None => None,
            Ordering::Key | Ordering::Strict => {
                let explicit = record.explicit_hash_key.map(Self::Hash);
                explicit.or_else(|| record.partition_key.clone().map(Self::Key))
            }
        }
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Behind another record of its key.
    Behind,
    /// Until its time comes: a limit or a repetition.
    Held,
    /// May be sent now.
    Ready,
    /// In a call.
    Flying,
    /// In a part of a call that was refused whole; the part waits to be a call of its own.
    Parted,
}

impl Stage {
    /// Whether it is bound to the others of its call, and cannot leave alone.
    pub(super) const fn is_bound(self) -> bool {
        matches!(self, Self::Flying | Self::Parted)
    }
}

/// What a record has of its shard's limit; each attempt takes a new slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing.
    None,
    /// It waits for a slot.
    InLine,
    /// It may be sent from then on.
    Slot(Instant),
}

/// Whether a record may be packed with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// With others, if the settings say so.
    Free,
    /// Only as a plain record.
    Alone,
}

/// What its attempts told so far.
#[derive(Debug)]
pub(super) struct Trial {
    /// Attempts made, the one under way included.
    pub(super) attempts: u32,
    /// Those of them that ended because another record of the call was bad.
    pub(super) parted: u32,
    /// When the first was made.
    pub(super) first: Option<Instant>,
    /// Unknown once any attempt was.
    pub(super) outcome: Outcome,
    /// The failure of the last attempt.
    pub(super) last: Option<BindingError>,
}

impl Trial {
    /// Attempts that count for the record itself.
    pub(super) const fn own_attempts(&self) -> u32 {
        self.attempts.saturating_sub(self.parted)
    }
}

/// A record with its caller.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: NewRecord,
    /// What counts towards limits, in bytes.
    pub(super) size: usize,
    /// Where it lies among the hash keys, if somebody asked.
    pub(super) hash: Option<u128>,
    /// The shard that it should go to, if the shards are known.
    pub(super) shard: Option<ShardId>,
    pub(super) lane: Option<LaneKey>,
    pub(super) after: Option<SequenceNumber>,
    pub(super) fail_if_throttled: bool,
    pub(super) packing: Packing,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    /// No limit may hold it longer: a call that begins later would hardly end in time.
    pub(super) begin_by: Instant,
    /// Not to be sent before: the limiter's, later that of a repetition.
    pub(super) due: Instant,
    /// Whether a limit was kept for it when it came.
    pub(super) is_limited: bool,
    pub(super) claim: Claim,
    pub(super) trial: Trial,
    pub(super) stage: Stage,
    pub(super) waiter: Waiter,
    pub(super) permit: Permit,
}

impl Pending {
    /// Whether its key misses it if it is not sent again: it was sent before those behind it.
    pub(super) const fn leaves_hole(&self) -> bool {
        self.trial.attempts > 0 && self.lane.is_some()
    }
}

/// Names a record for as long as it is pending, and never another one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket {
    serial: u32,
    place: u32,
}

#[derive(Debug)]
struct Place {
    serial: u32,
    pending: Option<Pending>,
}

/// Every pending record, found in no time by its ticket.
#[derive(Debug, Default)]
pub(super) struct Book {
    places: Vec<Place>,
    free: Vec<u32>,
    serial: u32,
    len: usize,
}

impl Book {
    /// How many are pending.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, pending: Pending) -> Ticket {
        self.serial = self.serial.wrapping_add(1);
        self.len += 1;
        let entry = Place { serial: self.serial, pending: Some(pending) };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = entry;
                place
            }
            None => {
                self.places.push(entry);
                // The queue's bounds are far below 2³².
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        Ticket { serial: self.serial, place }
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&Pending> {
        let place = self.places.get(ticket.place as usize).filter(|place| place.serial == ticket.serial);
        place.and_then(|place| place.pending.as_ref())
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Pending> {
        let place = self.places.get_mut(ticket.place as usize).filter(|place| place.serial == ticket.serial);
        place.and_then(|place| place.pending.as_mut())
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Pending> {
        let place = self.places.get_mut(ticket.place as usize).filter(|place| place.serial == ticket.serial);
        let pending = place.and_then(|place| place.pending.take())?;
        self.len -= 1;
        self.free.push(ticket.place);
        if self.len == 0 && self.places.len() > KEPT {
            // A burst must not hold its memory for ever. Serials go on, so old tickets stay void.
            self.places = Vec::new();
            self.free = Vec::new();
        }
        Some(pending)
    }

    /// Whether the ticket still names a pending record.
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.get(ticket).is_some()
    }

    /// All tickets, in no special order.
    pub(super) fn tickets(&self) -> Vec<Ticket> {
        let filled = self.places.iter().enumerate().filter(|(_, place)| place.pending.is_some());
        filled.filter_map(|(at, place)| Some(Ticket { serial: place.serial, place: u32::try_from(at).ok()? })).collect()
    }
}

/// Drops void tickets from a list once they are more than the pending ones: constant work for each one added.
pub(super) const fn is_overgrown(len: usize, pending: usize) -> bool {
    len > 2 * pending + 1_024
}
