//! What a reply means for each record of its call.

use super::engine::{Engine, Flight, Reply};
use super::forming::Users;
use super::handle::Written;
use super::pending::{Packing, Ticket};
use super::refusals;
use super::settings::{Aggregation, Ordering};
use super::settle::{Bounds, Verdict, is_poisoned, judge, wait};
use crate::domain::{BindingError, FailureKind, Outcome, Receipt, ShardId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// What some regions and all older APIs take in one `PutRecords`.
const OLD_MOST_BYTES: usize = 5 << 20;

/// How records that failed together come back together.
#[derive(Debug, Clone, Copy)]
struct Pause {
    fraction: f64,
    at_least: Duration,
}

/// One reply while it is gone through.
struct Settling {
    now: Instant,
    /// To be given back to the queue at the end, in this order.
    again: Vec<Ticket>,
    /// The jitter that all records of a shard share.
    fractions: HashMap<Option<ShardId>, f64>,
    /// Those that throttled; each counts once.
    throttled: HashSet<Option<ShardId>>,
}

impl Settling {
    fn at(now: Instant) -> Self {
        Self { now, again: Vec::new(), fractions: HashMap::new(), throttled: HashSet::new() }
    }
}

impl Engine {
    /// Settles a call.
    pub(super) fn returned(&mut self, flight: Flight, reply: Reply, now: Instant) {
        let sent = flight.units.len();
        let reply = reply.and_then(|answers| match answers.len() == sent {
            true => Ok(answers),
            false => Err(refusals::miscounted(answers.len(), sent)),
        });
        let took = now.saturating_duration_since(flight.begun);
        self.call_time.saw(took);
        self.metrics.called(flight.operation, outcome(&reply), took);
        self.note_permission(sent, &reply, now);
        match reply {
            Ok(answers) => self.settle(&flight.units, answers, now),
            Err(error) if sent > 1 && error.lacks_permission() => self.batch_not_allowed(&flight.units, error, now),
            // A record alone has one shard and is its own culprit, so it fails as an entry would.
            Err(error) if sent == 1 => self.settle(&flight.units, vec![Err(error)], now),
            Err(error) if is_poisoned(error.kind()) => self.halve(flight, &error),
            Err(error) => self.fail_whole(&flight.units, &error, now),
        }
    }

    /// Entry i answers unit i.
    fn settle(&mut self, units: &[Users], answers: Vec<Result<Receipt, BindingError>>, now: Instant) {
        let mut settling = Settling::at(now);
        for (unit, answer) in units.iter().zip(answers) {
            match answer {
                Ok(receipt) => self.stored(unit, &receipt, &mut settling),
                Err(error) => self.refused(unit, &error, &mut settling),
            }
        }
        self.queue.give_back(&settling.again, now);
    }

    fn stored(&mut self, unit: &Users, receipt: &Receipt, settling: &mut Settling) {
        let now = settling.now;
        let users = unit.tickets();
        let first = users.first().and_then(|ticket| self.queue.book.get(*ticket));
        let predicted = first.and_then(|pending| pending.shard.as_ref());
        let is_predicted = predicted == Some(&receipt.shard);
        self.shards.landed(predicted, &receipt.shard, now);
        let is_packed = matches!(unit, Users::Many(_));
        for (ticket, index) in users.iter().zip(0_u64..) {
            let Some(pending) = self.queue.book.get_mut(*ticket) else { continue };
            // Consumers skip a packed record whose hash key is not of the shard.
            let must_fit = is_packed && self.settings.aggregation == Aggregation::Shard && !is_predicted;
            if must_fit && !self.shards.covers(&receipt.shard, pending.hash) {
                pending.packing = Packing::Alone;
                let pause = Pause { fraction: 0.0, at_least: Duration::ZERO };
                self.attempt_failed(*ticket, &refusals::misplaced(), pause, settling);
                continue;
            }
            let attempts = pending.trial.attempts;
            if let Some(lane) = pending.lane.clone().filter(|_| self.settings.ordering == Ordering::Strict) {
                self.numbers.put(lane, receipt.sequence.clone());
            }
            let sub_sequence = is_packed.then_some(index);
            self.finish(*ticket, Ok(Written { receipt: receipt.clone(), sub_sequence, attempts }), now);
        }
    }

    fn refused(&mut self, unit: &Users, error: &BindingError, settling: &mut Settling) {
        if is_poisoned(error.kind()) && matches!(unit, Users::Many(_)) {
            return self.unpack(unit, error, settling);
        }
        let first = unit.tickets().first().and_then(|ticket| self.queue.book.get(*ticket));
        let shard = first.and_then(|pending| pending.shard.clone()).or_else(|| told_shard(error));
        if error.kind() == FailureKind::Throttled && settling.throttled.insert(shard.clone()) {
            self.shards.throttled(shard.as_ref(), settling.now);
        }
        let fraction = *settling.fractions.entry(shard).or_insert_with(|| self.random.f64());
        for ticket in unit.tickets() {
            let may_retry = error.kind().may_retry();
            let at_least = if may_retry { self.entry_budget.take(settling.now) } else { Duration::ZERO };
            let before = settling.again.len();
            self.attempt_failed(*ticket, error, Pause { fraction, at_least }, settling);
            if may_retry && settling.again.len() == before {
                self.entry_budget.give_back();
            }
        }
    }

    /// Some user of the aggregate is bad, and the others must not suffer: each goes on as a plain record. Back in the
    /// queue, and not as calls at once, since those of one key must follow each other.
    fn unpack(&mut self, unit: &Users, error: &BindingError, settling: &mut Settling) {
        self.note_refusal(unit, error);
        for ticket in unit.tickets() {
            if let Some(pending) = self.queue.book.get_mut(*ticket) {
                pending.packing = Packing::Alone;
                self.again(*ticket, settling.now, error, settling);
            }
        }
    }

    /// The call failed for all its records, through no fault of one of them.
    pub(super) fn fail_whole(&mut self, units: &[Users], error: &BindingError, now: Instant) {
        if error.kind() == FailureKind::Throttled {
            self.shards.throttled(None, now);
        }
        let may_retry = error.kind().may_retry();
        let at_least = if may_retry { self.call_budget.take(now) } else { Duration::ZERO };
        let pause = Pause { fraction: self.random.f64(), at_least };
        let mut settling = Settling::at(now);
        for ticket in units.iter().flat_map(Users::tickets) {
            self.attempt_failed(*ticket, error, pause, &mut settling);
        }
        if may_retry && settling.again.is_empty() {
            self.call_budget.give_back();
        }
        self.queue.give_back(&settling.again, now);
    }

    /// Some record in the call is bad, and the others must not suffer: each half goes as a call of its own.
    fn halve(&mut self, mut flight: Flight, error: &BindingError) {
        let is_too_large = error.kind() == FailureKind::TooLarge;
        if is_too_large && flight.bytes > OLD_MOST_BYTES && self.plan.limits.bytes > OLD_MOST_BYTES {
            let bytes = flight.bytes;
            tracing::info!(bytes, limit = OLD_MOST_BYTES, "large call was refused, later ones are kept smaller");
            self.plan.limits.bytes = OLD_MOST_BYTES;
        }
        flight.units.iter().for_each(|unit| self.note_refusal(unit, error));
        self.queue.part(flight.units.iter().flat_map(Users::tickets));
        let second = flight.units.split_off(flight.units.len() / 2);
        self.parts.extend([flight.units, second]);
    }

    pub(super) fn note_refusal(&mut self, unit: &Users, error: &BindingError) {
        for ticket in unit.tickets() {
            if let Some(pending) = self.queue.book.get_mut(*ticket) {
                pending.note(error);
                pending.trial.parted += 1;
            }
        }
    }

    /// Decides whether a record is sent again; if so it will be given back to the queue.
    fn attempt_failed(&mut self, ticket: Ticket, error: &BindingError, pause: Pause, settling: &mut Settling) {
        let now = settling.now;
        let Some(pending) = self.queue.book.get_mut(ticket) else { return };
        pending.note(error);
        let policy = self.settings.retry;
        let bounds = Bounds { policy, deadline: pending.deadline, fail_if_throttled: pending.fail_if_throttled };
        let wait = wait(&policy, pending.trial.own_attempts(), pause.fraction, error).max(pause.at_least);
        match judge(error, &pending.trial, &bounds, wait, now) {
            Verdict::Again(at) => self.again(ticket, at, error, settling),
            Verdict::GiveUp => self.fail(ticket, error.clone(), now),
        }
    }

    /// Sends a record again, unless nobody waits for it or its key was stopped while it was under way.
    fn again(&mut self, ticket: Ticket, due: Instant, error: &BindingError, settling: &mut Settling) {
        let now = settling.now;
        let Some(pending) = self.queue.book.get_mut(ticket) else { return };
        if pending.waiter.is_gone() {
            return self.fail(ticket, error.clone(), now);
        }
        if let Some(until) = pending.lane.as_ref().and_then(|lane| self.stopped.get(lane)).filter(|until| **until > now)
        {
            let refusal = refusals::stopped(*until - now);
            return self.refuse(ticket, refusal, now);
        }
        pending.due = due;
        // While it was under way it may have got another shard.
        (pending.shard, pending.claim) = self.shards.settle(pending, now);
        // What was wrong with an aggregate says nothing of each of its users.
        if error.kind().may_retry() {
            pending.trial.last = Some(error.clone());
        }
        settling.again.push(ticket);
    }
}

impl super::pending::Pending {
    /// What a failed attempt tells of the record.
    fn note(&mut self, error: &BindingError) {
        if error.outcome() == Outcome::Unknown {
            self.trial.outcome = Outcome::Unknown;
        }
        self.waiter.note(self.trial.outcome);
    }
}

/// The shard that the service named.
fn told_shard(error: &BindingError) -> Option<ShardId> {
    let named = error.details().iter().find(|(key, _)| *key == "shardId");
    named.map(|(_, shard)| ShardId::new(shard.as_str()))
}

fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Ok(answers) if answers.iter().all(Result::is_ok) => "ok",
        Ok(_) => "partial",
        Err(error) => error.kind().word(),
    }
}
