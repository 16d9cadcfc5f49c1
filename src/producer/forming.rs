//! Forms a batch out of what is ready, packing user records into aggregates where that is asked for.

use super::batch::{Filling, Limits};
use super::pending::{Book, Claim, Packing, Pending, Ticket};
use super::queue::Queue;
use super::settings::{Aggregation, ProducerSettings};
use super::shards::Shards;
use crate::aggregation::{Packer, UserRecord};
use crate::domain::{NewRecord, PartitionKey, ShardId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// The Kinesis Producer Library's `AggregationMaxSize`.
const MOST_PACKED: usize = 51_200;
/// More than the format adds to a user record and its keys; for the first two, more than to both.
const OVERHEAD: usize = 160;

/// What a batch may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) limits: Limits,
    aggregation: Aggregation,
    most_packed: usize,
}

impl Plan {
    pub(super) fn of(settings: &ProducerSettings, limits: Limits) -> Self {
        let most_packed = MOST_PACKED.min(settings.max_record_size);
        Self { limits, aggregation: settings.aggregation, most_packed }
    }

    /// The same for calls that take one record; aggregates count as one.
    pub(super) const fn of_single_records(mut self) -> Self {
        self.limits.records = 1;
        self
    }
}

/// Whose answer one Kinesis record gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Users {
    /// A plain record.
    One(Ticket),
    /// An aggregate; each user's place is its sub-sequence number. At least two.
    Many(Vec<Ticket>),
}

impl Users {
    pub(super) const fn tickets(&self) -> &[Ticket] {
        match self {
            Self::One(ticket) => std::slice::from_ref(ticket),
            Self::Many(tickets) => tickets.as_slice(),
        }
    }

    pub(super) fn of(tickets: Vec<Ticket>) -> Self {
        if let [ticket] = tickets[..] { Self::One(ticket) } else { Self::Many(tickets) }
    }
}

/// What one call takes along: entry i of `records` answers entry i of `units`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) units: Vec<Users>,
    pub(super) records: Vec<NewRecord>,
    pub(super) bytes: usize,
    /// Taken out because their callers went away.
    pub(super) withdrawn: Vec<Pending>,
    /// Those that their shard has no room for before their deadline, and when it would have.
    pub(super) late: Vec<(Ticket, Duration)>,
}

/// Takes from the queue what goes together now. Empty only if nothing is ready, or the first was sent before and is not
/// awaited any more.
pub(super) fn form(queue: &mut Queue, shards: &mut Shards, plan: &Plan, now: Instant) -> Batch {
    let mut forming =
        Forming { plan, now, filling: Filling::new(plan.limits), drafts: Vec::new(), open: HashMap::new() };
    let (mut withdrawn, mut late) = (Vec::new(), Vec::new());
    while let Some((ticket, pending)) = queue.first() {
        if pending.waiter.is_gone() {
            // The next of its key must not take its place in this very batch.
            if pending.leaves_hole() {
                break;
            }
            withdrawn.extend(queue.remove(ticket, now));
        } else if !matches!(pending.claim, Claim::Slot(_)) {
            match shards.pass(pending, now) {
                Ok(slot) => queue.pass_first(slot, now),
                Err(wait) => {
                    let deadline = pending.deadline;
                    late.extend(queue.hold_first(deadline).map(|ticket| (ticket, wait)));
                }
            }
        } else if !forming.take_first(queue) {
            break;
        }
    }
    let batch = forming.finish(&queue.book);
    Batch { withdrawn, late, ..batch }
}

/// Forms a batch of given units anew.
pub(super) fn reform(book: &Book, units: Vec<Users>, aggregation: Aggregation) -> Batch {
    let mut batch = Batch::default();
    for unit in units {
        let users = unit.tickets().iter().filter_map(|ticket| book.get(*ticket));
        let Some(record) = packed(users, aggregation) else { continue };
        batch.bytes += record.size();
        batch.records.push(record);
        batch.units.push(unit);
    }
    batch
}

fn packed<'a>(mut users: impl Iterator<Item = &'a Pending>, aggregation: Aggregation) -> Option<NewRecord> {
    let first = users.next()?;
    let mut packer: Option<Packer> = None;
    for user in users {
        packer.get_or_insert_with(|| begun(first)).push(user_record(&user.record));
    }
    Some(packer.map_or_else(|| first.record.clone(), |packer| aggregate(packer, first, aggregation)))
}

fn begun(first: &Pending) -> Packer {
    let mut packer = Packer::new(usize::MAX);
    packer.push(user_record(&first.record));
    packer
}

/// Where the aggregate goes, its first user goes alone.
fn aggregate(packer: Packer, first: &Pending, aggregation: Aggregation) -> NewRecord {
    let explicit_hash_key = match aggregation {
        // The aggregate keeps the key, so it goes where its users would go.
        Aggregation::None | Aggregation::Key => first.record.explicit_hash_key,
        // Keys differ: a hash key out of the shard's range names the shard.
        Aggregation::Shard => first.hash,
    };
    NewRecord { data: packer.finish(), partition_key: first.record.partition_key.clone(), explicit_hash_key }
}

fn user_record(record: &NewRecord) -> UserRecord {
    UserRecord {
        partition_key: record.partition_key.as_ref().map(|key| key.as_str().to_owned()).unwrap_or_default(),
        explicit_hash_key: record.explicit_hash_key.map(|hash| hash.to_string()),
        data: record.data.clone(),
    }
}

/// Records of one such group may be packed together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Group {
    Key(PartitionKey, Option<u128>),
    Shard(ShardId),
}

fn group(pending: &Pending, aggregation: Aggregation) -> Option<Group> {
    if pending.packing == Packing::Alone || pending.after.is_some() {
        return None;
    }
    let key = pending.record.partition_key.clone()?;
    match aggregation {
        Aggregation::None => None,
        Aggregation::Key => Some(Group::Key(key, pending.record.explicit_hash_key)),
        Aggregation::Shard => pending.hash.and(pending.shard.clone()).map(Group::Shard),
    }
}

/// A Kinesis record that may still grow.
#[derive(Debug)]
struct Draft {
    tickets: Vec<Ticket>,
    /// Holds its users, where others may join the first.
    packer: Option<Packer>,
    /// What it weighs now, partition key included.
    size: usize,
    /// The length of its partition key.
    key: usize,
}

struct Forming<'a> {
    plan: &'a Plan,
    now: Instant,
    filling: Filling,
    drafts: Vec<Draft>,
    open: HashMap<Group, usize>,
}

impl Forming<'_> {
    /// Takes the first ready record in; false if it has no room in this batch.
    fn take_first(&mut self, queue: &mut Queue) -> bool {
        let Some((_, pending)) = queue.first() else { return false };
        let group = group(pending, self.plan.aggregation);
        let place = group.as_ref().and_then(|group| self.open.get(group).copied());
        if let Some((place, user)) = place.and_then(|place| Some((place, self.admitted(place, pending)?))) {
            if let Some(ticket) = queue.take_first() {
                self.pack(place, ticket, user, &queue.book);
                self.follow(place, ticket, queue);
            }
            return true;
        }
        // PutRecords has no number to follow, so such a record is a call of its own.
        let is_solo = pending.after.is_some();
        if !self.filling.takes(pending.size) || (is_solo && !self.drafts.is_empty()) {
            return false;
        }
        self.begin(group, queue);
        if is_solo {
            self.filling.close();
        }
        true
    }

    fn begin(&mut self, group: Option<Group>, queue: &mut Queue) {
        let Some(ticket) = queue.take_first() else { return };
        let Some(pending) = queue.book.get(ticket) else { return };
        self.filling.add(pending.size, pending.shard.as_ref());
        let key = pending.record.partition_key.as_ref().map_or(0, |key| key.as_str().len());
        let packer = group.as_ref().map(|_| {
            let mut packer = Packer::new(self.plan.most_packed.saturating_sub(key));
            packer.push(user_record(&pending.record));
            packer
        });
        let place = self.drafts.len();
        self.drafts.push(Draft { tickets: vec![ticket], packer, size: pending.size, key });
        if let Some(group) = group {
            self.open.insert(group, place);
            self.follow(place, ticket, queue);
        }
    }

    /// The record as a user of an open aggregate, if it has room there.
    fn admitted(&self, place: usize, pending: &Pending) -> Option<UserRecord> {
        let packer = self.drafts.get(place)?.packer.as_ref()?;
        // The payload alone rules most out, before any key is copied.
        if !self.filling.grows(pending.size + OVERHEAD) || packer.size() + pending.record.data.len() > MOST_PACKED {
            return None;
        }
        let user = user_record(&pending.record);
        packer.fits(&user).then_some(user)
    }

    fn pack(&mut self, place: usize, ticket: Ticket, user: UserRecord, book: &Book) {
        let Some(draft) = self.drafts.get_mut(place) else { return };
        let Some(packer) = draft.packer.as_mut() else { return };
        packer.push(user);
        let size = packer.size() + draft.key;
        let growth = size.saturating_sub(draft.size);
        draft.size = size;
        draft.tickets.push(ticket);
        self.filling.grow(growth, book.get(ticket).and_then(|pending| pending.shard.as_ref()));
    }

    /// Those behind a record in its key may go in the same aggregate, and in no other.
    fn follow(&mut self, place: usize, ticket: Ticket, queue: &mut Queue) {
        let Some(lane) = queue.book.get(ticket).and_then(|pending| pending.lane.clone()) else { return };
        while let Some(next) = queue.next_behind(&lane, self.now) {
            let group = group(next, self.plan.aggregation).filter(|_| !next.waiter.is_gone());
            let is_same = group.is_some_and(|group| self.open.get(&group) == Some(&place));
            let Some(user) = self.admitted(place, next).filter(|_| is_same) else { return };
            let Some(ticket) = queue.take_behind(&lane) else { return };
            self.pack(place, ticket, user, &queue.book);
        }
    }

    fn finish(self, book: &Book) -> Batch {
        let mut batch = Batch { bytes: self.filling.bytes(), ..Batch::default() };
        for draft in self.drafts {
            let Some(first) = draft.tickets.first().and_then(|ticket| book.get(*ticket)) else { continue };
            let record = match draft.packer.filter(|packer| packer.len() > 1) {
                Some(packer) => aggregate(packer, first, self.plan.aggregation),
                None => first.record.clone(),
            };
            batch.records.push(record);
            batch.units.push(Users::of(draft.tickets));
        }
        batch
    }
}
