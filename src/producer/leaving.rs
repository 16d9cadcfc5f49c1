//! How records leave the engine: each by exactly one answer.

use super::engine::Engine;
use super::forming::Users;
use super::pending::{LaneKey, Pending, Stage, Ticket};
use super::refusals;
use super::settings::OrderingOnFailure;
use super::waiter::{Answer, Waiter};
use crate::domain::{BindingError, FailureKind, Outcome};
use crate::telemetry::RecordState;
use std::time::Duration;
use tokio::time::Instant;

/// The queue is searched for abandoned records once they may be one in so many.
const ABANDONED_PART: usize = 4;

impl Engine {
    /// Answers a record and lets the next of its key go on.
    pub(super) fn finish(&mut self, ticket: Ticket, answer: Answer, now: Instant) {
        if let Some(pending) = self.queue.remove(ticket, now) {
            self.conclude(pending, answer);
        }
    }

    /// A record failed for good.
    pub(super) fn fail(&mut self, ticket: Ticket, error: BindingError, now: Instant) {
        let Some(pending) = self.queue.book.get(ticket) else { return };
        let error = told(pending, error);
        // One that was answered stopped its key then; what came since may be its caller's next try.
        let is_missed = !pending.waiter.is_answered() && (pending.leaves_hole() || !pending.waiter.is_gone());
        let lane = pending.lane.clone().filter(|_| is_missed);
        self.stop(lane, now);
        self.finish(ticket, Err(error), now);
    }

    /// An earlier record of its key failed while it was under way. The key's stop is not prolonged.
    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: BindingError, now: Instant) {
        let Some(pending) = self.queue.book.get(ticket) else { return };
        let error = told(pending, refusal);
        self.finish(ticket, Err(error), now);
    }

    /// Its caller went away before it was sent, or before it was sent again: then its key has a hole.
    pub(super) fn withdraw(&mut self, ticket: Ticket, now: Instant) {
        let Some(pending) = self.queue.book.get(ticket) else { return };
        let error = refusals::closed(pending.trial.outcome);
        // One that was answered stopped its key then.
        let lane = pending.lane.clone().filter(|_| pending.leaves_hole() && !pending.waiter.is_answered());
        // Before it leaves, since then the next of its key is no longer behind.
        self.stop(lane, now);
        self.finish(ticket, Err(error), now);
    }

    /// Takes out what is first in line and not awaited.
    pub(super) fn skip_gone(&mut self, now: Instant) {
        while let Some((ticket, _)) = self.queue.first().filter(|(_, pending)| pending.waiter.is_gone()) {
            self.withdraw(ticket, now);
        }
    }

    /// Answers those whose deadline has come. One in a call keeps its place until the call ends, but gets its answer.
    pub(super) fn expire(&mut self, now: Instant) {
        for ticket in self.queue.expired(now) {
            let Some(pending) = self.queue.book.get(ticket) else { continue };
            match pending.stage {
                Stage::Flying | Stage::Parted => self.cut(ticket, now),
                Stage::Behind | Stage::Held | Stage::Ready => {
                    let error = overdue(pending);
                    self.fail(ticket, error, now);
                }
            }
        }
    }

    /// Takes out waiting records whose callers went away, when enough did to be worth the search.
    pub(super) fn sweep(&mut self, now: Instant) {
        let gone = self.gate.cancelled();
        if gone == 0 || gone.saturating_mul(ABANDONED_PART) < self.queue.book.len() {
            return;
        }
        self.gate.swept(gone);
        for ticket in self.queue.abandoned() {
            self.withdraw(ticket, now);
        }
    }

    /// What of a unit of a refused batch is sent again: nothing if nobody waits for it any more, and never a user who was
    /// told meanwhile that it was not stored.
    pub(super) fn still_awaited(&mut self, unit: &Users, now: Instant) -> Option<Users> {
        let book = &self.queue.book;
        let waiter = |ticket: &Ticket| book.get(*ticket).map(|pending| &pending.waiter);
        let is_awaited = unit.tickets().iter().filter_map(waiter).any(|waiter| !waiter.is_gone());
        let is_over = |ticket: &Ticket| !is_awaited || waiter(ticket).is_none_or(Waiter::is_answered);
        let (over, left): (Vec<Ticket>, Vec<Ticket>) = unit.tickets().iter().partition(|ticket| is_over(ticket));
        for ticket in over {
            self.withdraw(ticket, now);
        }
        (!left.is_empty()).then(|| Users::of(left))
    }

    fn cut(&mut self, ticket: Ticket, now: Instant) {
        // Without its caller nobody needs an answer now, and how its call ends decides about its key.
        let Some(pending) = self.queue.book.get_mut(ticket).filter(|pending| !pending.waiter.is_gone()) else {
            return;
        };
        let error = match pending.stage {
            Stage::Parted => told(pending, overdue(pending)),
            Stage::Flying | Stage::Behind | Stage::Held | Stage::Ready => {
                told(pending, refusals::cut()).with_outcome(Outcome::Unknown)
            }
        };
        let is_ambiguous = error.outcome() == Outcome::Unknown;
        let lane = pending.lane.clone();
        let attempts = pending.trial.attempts;
        if pending.waiter.answer(Err(error)) {
            self.metrics.ended(RecordState::Failed, attempts);
            if is_ambiguous {
                self.metrics.ambiguous();
            }
        } else {
            self.metrics.ended(RecordState::Orphaned, attempts);
        }
        self.stop(lane, now);
    }

    /// Refuses the records behind one that failed, where the order asks for it.
    fn stop(&mut self, lane: Option<LaneKey>, now: Instant) {
        let OrderingOnFailure::Stop(window) = self.settings.ordering_on_failure else { return };
        let Some(lane) = lane else { return };
        for ticket in self.queue.behind(&lane) {
            if let Some(pending) = self.queue.remove(ticket, now) {
                let error = told(&pending, refusals::stopped(window));
                self.conclude(pending, Err(error));
            }
        }
        self.stopped.put(lane, now + window);
    }

    pub(super) fn conclude(&mut self, mut pending: Pending, answer: Answer) {
        let attempts = pending.trial.attempts;
        self.shards.leave(pending.shard.as_ref(), pending.size, pending.claim);
        if pending.waiter.is_answered() {
            return;
        }
        self.throughput.count();
        let (state, outcome) = match &answer {
            Ok(_) => (RecordState::Stored, Outcome::NotDone),
            Err(error) if attempts == 0 => (RecordState::Refused, error.outcome()),
            Err(error) => (RecordState::Failed, error.outcome()),
        };
        // Room must be free before the caller can know of it.
        let Pending { ref mut waiter, permit, .. } = pending;
        drop(permit);
        if !waiter.answer(answer) {
            let state = if attempts > 0 { RecordState::Orphaned } else { RecordState::Refused };
            return self.metrics.ended(state, attempts);
        }
        self.metrics.ended(state, attempts);
        if outcome == Outcome::Unknown {
            self.metrics.ambiguous();
        }
    }
}

/// Adds to a failure what is known of the record.
fn told(pending: &Pending, error: BindingError) -> BindingError {
    let outcome = match error.outcome() {
        Outcome::Unknown => Outcome::Unknown,
        Outcome::NotDone => pending.trial.outcome,
    };
    let mut error = refusals::at(error, pending.shard.as_ref()).with_outcome(outcome);
    if error.kind() == FailureKind::Throttled && error.retry_after().is_none() {
        error = error.with_retry_after(refusals::whole_seconds(Duration::ZERO));
    }
    if pending.trial.attempts == 0 {
        return error;
    }
    error.with_detail("attempts", pending.trial.attempts.to_string())
}

/// Why a record that waits at its deadline was not stored.
fn overdue(pending: &Pending) -> BindingError {
    pending.trial.last.clone().unwrap_or_else(refusals::never_sent)
}
