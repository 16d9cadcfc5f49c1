//! What waits, in the order in which it may be sent.
//!
//! ```text
//!  admit ──► Behind ──► Held (until its time) ──► Ready ──► Flying ──► removed
//!              ▲   one of a key at a time           ▲           │
//!              └────────── give_back: in front of its key ◄─────┘
//! ```
//! Without an order of keys there is no `Behind`. Removing a record only voids its ticket; lists drop void tickets when
//! they meet them, or when they are too many.

use super::pending::{Book, Claim, LaneKey, Pending, Stage, Ticket, is_overgrown};
use crate::domain::ShardId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use tokio::time::Instant;

/// The records of one key.
#[derive(Debug, Default)]
struct Lane {
    behind: VecDeque<Ticket>,
    /// How many of it are held, ready or flying.
    active: usize,
}

#[derive(Debug, Clone, Copy)]
struct Ready {
    ticket: Ticket,
    since: Instant,
}

/// Which end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

type Alarms = BinaryHeap<Reverse<(Instant, Ticket)>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) book: Book,
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<Ready>,
    held: Alarms,
    deadlines: Alarms,
    tally: Tally,
}

/// Sums of what is ready, so that nobody has to count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// Shards with as much as closes a batch.
    pub(super) full_shards: usize,
    shards: HashMap<ShardId, usize>,
    most_of_shard: usize,
}

impl Tally {
    fn add(&mut self, size: usize, shard: Option<&ShardId>) {
        self.records += 1;
        self.bytes += size;
        if let Some(shard) = shard {
            let bytes = match self.shards.get_mut(shard) {
                Some(bytes) => bytes,
                None => self.shards.entry(shard.clone()).or_default(),
            };
            let was_full = *bytes >= self.most_of_shard;
            *bytes += size;
            self.full_shards += usize::from(!was_full && *bytes >= self.most_of_shard);
        }
    }

    fn subtract(&mut self, size: usize, shard: Option<&ShardId>) {
        self.records -= 1;
        self.bytes -= size;
        if let Some((shard, bytes)) = shard.and_then(|shard| Some((shard, self.shards.get_mut(shard)?))) {
            let was_full = *bytes >= self.most_of_shard;
            *bytes = bytes.saturating_sub(size);
            self.full_shards -= usize::from(was_full && *bytes < self.most_of_shard);
            if *bytes == 0 {
                self.shards.remove(shard);
            }
        }
    }
}

impl Queue {
    /// An empty queue. A shard with `most_of_shard` bytes ready counts as full.
    pub(super) fn new(most_of_shard: usize) -> Self {
        Self {
            book: Book::default(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            held: BinaryHeap::new(),
            deadlines: BinaryHeap::new(),
            tally: Tally { most_of_shard, ..Tally::default() },
        }
    }

    /// What is ready.
    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes a record in, behind those of its key.
    pub(super) fn admit(&mut self, pending: Pending, now: Instant) {
        let (lane, deadline) = (pending.lane.clone(), pending.deadline);
        let ticket = self.book.insert(pending);
        push_alarm(&mut self.deadlines, (deadline, ticket), &self.book);
        let Some(key) = lane else { return self.schedule(ticket, End::Back, now) };
        let lane = self.lanes.entry(key).or_default();
        if lane.active == 0 {
            lane.active = 1;
            self.schedule(ticket, End::Back, now);
        } else {
            lane.behind.push_back(ticket);
            if is_overgrown(lane.behind.len(), self.book.len()) {
                lane.behind.retain(|ticket| self.book.has(*ticket));
            }
        }
    }

    /// Makes ready what was held until now.
    pub(super) fn ripen(&mut self, now: Instant) {
        let mut again = Vec::new();
        while let Some(Reverse((at, ticket))) = self.held.peek().copied() {
            let Some(pending) = self.book.get(ticket).filter(|pending| pending.stage == Stage::Held) else {
                self.held.pop();
                continue;
            };
            if at > now {
                break;
            }
            let is_repeated = pending.trial.attempts > 0;
            self.held.pop();
            if is_repeated {
                again.push(ticket);
            } else {
                self.make_ready(ticket, End::Back, now);
            }
        }
        for ticket in again.into_iter().rev() {
            self.make_ready(ticket, End::Front, now);
        }
    }

    /// The first record that may be sent.
    pub(super) fn first(&mut self) -> Option<(Ticket, &Pending)> {
        while let Some(Ready { ticket, .. }) = self.ready.front() {
            if self.book.get(*ticket).is_some_and(|pending| pending.stage == Stage::Ready) {
                break;
            }
            self.ready.pop_front();
        }
        let ticket = self.ready.front()?.ticket;
        self.book.get(ticket).map(|pending| (ticket, pending))
    }

    /// Since when the first record may be sent.
    pub(super) fn first_since(&mut self) -> Option<Instant> {
        self.first()?;
        self.ready.front().map(|first| first.since)
    }

    /// Takes the first record off the line.
    pub(super) fn take_first(&mut self) -> Option<Ticket> {
        let (ticket, pending) = self.first()?;
        let (size, shard) = (pending.size, pending.shard.clone());
        self.ready.pop_front();
        self.tally.subtract(size, shard.as_ref());
        self.fly(ticket);
        Some(ticket)
    }

    /// Lets the first record go if its moment has come, else holds it until then.
    pub(super) fn pass_first(&mut self, slot: Instant, now: Instant) {
        let Some((ticket, _)) = self.first() else { return };
        if let Some(pending) = self.book.get_mut(ticket) {
            pending.claim = Claim::Slot(slot);
        }
        if slot > now {
            self.hold_first(slot);
        }
    }

    /// Takes the first record off the line until then.
    pub(super) fn hold_first(&mut self, until: Instant) -> Option<Ticket> {
        let (ticket, pending) = self.first()?;
        let (size, shard) = (pending.size, pending.shard.clone());
        self.ready.pop_front();
        self.tally.subtract(size, shard.as_ref());
        let pending = self.book.get_mut(ticket)?;
        (pending.due, pending.stage) = (until, Stage::Held);
        push_alarm(&mut self.held, (until, ticket), &self.book);
        Some(ticket)
    }

    /// The next record of a key behind the one under way, if it may be sent.
    pub(super) fn next_behind(&mut self, key: &LaneKey, now: Instant) -> Option<&Pending> {
        let lane = self.lanes.get_mut(key)?;
        while lane.behind.front().is_some_and(|ticket| !self.book.has(*ticket)) {
            lane.behind.pop_front();
        }
        self.book.get(*lane.behind.front()?).filter(|pending| pending.due <= now)
    }

    /// Takes that record along with the one before it.
    pub(super) fn take_behind(&mut self, key: &LaneKey) -> Option<Ticket> {
        let lane = self.lanes.get_mut(key)?;
        let ticket = lane.behind.pop_front()?;
        lane.active += 1;
        self.fly(ticket);
        Some(ticket)
    }

    /// Takes a record out for good and lets the next of its key go on.
    pub(super) fn remove(&mut self, ticket: Ticket, now: Instant) -> Option<Pending> {
        let pending = self.book.remove(ticket)?;
        match pending.stage {
            Stage::Ready => self.tally.subtract(pending.size, pending.shard.as_ref()),
            Stage::Behind | Stage::Held | Stage::Flying | Stage::Parted => {}
        }
        if let Some(key) = pending.lane.as_ref().filter(|_| pending.stage != Stage::Behind) {
            self.leave(key, now);
        }
        Some(pending)
    }

    /// Records to be sent again, in the order in which they were sent; each goes before all others of its key and waits
    /// for its `due`.
    pub(super) fn give_back(&mut self, tickets: &[Ticket], now: Instant) {
        let keys: Vec<_> = tickets.iter().map(|ticket| self.book.get(*ticket)?.lane.clone()).collect();
        for (ticket, key) in tickets.iter().zip(&keys).rev() {
            match key.as_ref().and_then(|key| self.lanes.get_mut(key)) {
                Some(lane) => {
                    lane.behind.push_front(*ticket);
                    self.set_stage(*ticket, Stage::Behind);
                }
                None => self.schedule(*ticket, End::Front, now),
            }
        }
        for key in keys.iter().flatten() {
            self.leave(key, now);
        }
    }

    /// Those that wait behind another of their key.
    pub(super) fn behind(&self, key: &LaneKey) -> Vec<Ticket> {
        let lane = self.lanes.get(key);
        lane.map_or_else(Vec::new, |lane| lane.behind.iter().copied().collect())
    }

    /// Takes those whose deadline has come off the list of deadlines.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Ticket> {
        let mut expired = Vec::new();
        while let Some(Reverse((at, ticket))) = self.deadlines.peek().copied() {
            let is_pending = self.book.has(ticket);
            if is_pending && at > now {
                break;
            }
            self.deadlines.pop();
            if is_pending {
                expired.push(ticket);
            }
        }
        expired
    }

    /// Waiting records whose caller went away.
    pub(super) fn abandoned(&self) -> Vec<Ticket> {
        let is_abandoned = |pending: &Pending| !pending.stage.is_bound() && pending.waiter.is_gone();
        let mut tickets = self.book.tickets();
        tickets.retain(|ticket| self.book.get(*ticket).is_some_and(is_abandoned));
        tickets
    }

    /// When the next held record may go, or a deadline comes.
    pub(super) fn wake_at(&mut self) -> Option<Instant> {
        while self.deadlines.peek().is_some_and(|Reverse((_, ticket))| !self.book.has(*ticket)) {
            self.deadlines.pop();
        }
        let alarms = [self.deadlines.peek(), self.held.peek()];
        alarms.into_iter().flatten().map(|Reverse((at, _))| *at).min()
    }

    /// Settles all records anew, but those in a call: where each goes, and its claim there. One that was held for the limit
    /// of another shard waits no longer for that.
    pub(super) fn resettle(&mut self, now: Instant, mut settle: impl FnMut(&Pending) -> (Option<ShardId>, Claim)) {
        let mut tickets = self.book.tickets();
        // In the order in which they came, so that those who are let go keep it.
        tickets.sort_unstable();
        for ticket in tickets {
            let Some(pending) = self.book.get_mut(ticket).filter(|pending| !pending.stage.is_bound()) else {
                continue;
            };
            let (shard, claim) = settle(pending);
            pending.claim = claim;
            if shard == pending.shard {
                continue;
            }
            if pending.stage == Stage::Ready {
                self.tally.subtract(pending.size, pending.shard.as_ref());
                self.tally.add(pending.size, shard.as_ref());
            }
            pending.shard = shard;
            if pending.trial.attempts == 0 {
                pending.due = pending.due.min(now);
                if pending.stage == Stage::Held {
                    self.make_ready(ticket, End::Back, now);
                }
            }
        }
    }

    /// The records of a call that was refused whole, until its parts are calls.
    pub(super) fn part<'a>(&mut self, tickets: impl Iterator<Item = &'a Ticket>) {
        tickets.for_each(|ticket| self.set_stage(*ticket, Stage::Parted));
    }

    /// A part becomes a call.
    pub(super) fn refly<'a>(&mut self, tickets: impl Iterator<Item = &'a Ticket>) {
        tickets.for_each(|ticket| self.fly(*ticket));
    }

    /// One record of a key is no longer under way; if it was the last, the next one's turn has come.
    fn leave(&mut self, key: &LaneKey, now: Instant) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.active = lane.active.saturating_sub(1);
        if lane.active > 0 {
            return;
        }
        while let Some(ticket) = lane.behind.pop_front() {
            if let Some(pending) = self.book.get(ticket) {
                lane.active = 1;
                let end = if pending.trial.attempts > 0 { End::Front } else { End::Back };
                return self.schedule(ticket, end, now);
            }
        }
        self.lanes.remove(key);
    }

    fn schedule(&mut self, ticket: Ticket, end: End, now: Instant) {
        let Some(pending) = self.book.get(ticket) else { return };
        if pending.due <= now {
            return self.make_ready(ticket, end, now);
        }
        let due = pending.due;
        self.set_stage(ticket, Stage::Held);
        push_alarm(&mut self.held, (due, ticket), &self.book);
    }

    fn make_ready(&mut self, ticket: Ticket, end: End, now: Instant) {
        let Some(pending) = self.book.get_mut(ticket) else { return };
        pending.stage = Stage::Ready;
        self.tally.add(pending.size, pending.shard.as_ref());
        match end {
            End::Back => self.ready.push_back(Ready { ticket, since: now }),
            End::Front => {
                // The first in line tells how long the line waits, so it must not seem younger than the second.
                let since = self.ready.front().map_or(now, |first| first.since);
                self.ready.push_front(Ready { ticket, since });
            }
        }
        if is_overgrown(self.ready.len(), self.book.len()) {
            self.ready.retain(|ready| self.book.has(ready.ticket));
        }
    }

    fn fly(&mut self, ticket: Ticket) {
        self.set_stage(ticket, Stage::Flying);
    }

    fn set_stage(&mut self, ticket: Ticket, stage: Stage) {
        if let Some(pending) = self.book.get_mut(ticket) {
            pending.stage = stage;
        }
    }
}

fn push_alarm(alarms: &mut Alarms, alarm: (Instant, Ticket), book: &Book) {
    alarms.push(Reverse(alarm));
    if is_overgrown(alarms.len(), book.len()) {
        alarms.retain(|Reverse((_, ticket))| book.has(*ticket));
    }
}
