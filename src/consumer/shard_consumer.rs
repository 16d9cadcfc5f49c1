//! Owner of one held shard. Pure: `apply` takes an event and the time, keeps all state, returns effects.
//!
//! ```text
//!  Opening ──► Consuming ──► Draining ──► Ended(reason)
//!     │            │            ▲
//!     └────────────┴────────────┘ stop or handoff asked: record in hand, checkpoint, release
//!  shard read to its end and all accepted: children, checkpoint "ended", release
//!  lease lost or surely ours no more: end at once, checkpoint nothing
//! ```

use super::delivery::Delivered;
use super::end_check::{EndCheck, EndSignal, ListedShard};
use super::lease_clock::LeaseClock;
use super::progress::{Progress, resume_at};
use super::reading::Reading;
use super::settings::ConsumerSettings;
use super::shard_events::{Effect, Ending, Event, LeaseAnswer, LeaseCall};
use super::vitals::Vitals;
use crate::domain::{
    Checkpoint, Fetched, Lease, LeaseError, RecordBatch, RecordPosition, Renewed, RetrievalError, ShardId,
    StartingPosition,
};
use crate::resilience::Waits;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
enum Phase {
    Running,
    Draining { why: Ending, hand_until: Instant, until: Instant, settled: bool },
    Ended,
}

/// State of one held shard.
#[derive(Debug)]
pub(super) struct ShardConsumer {
    shard: ShardId,
    drain_limit: Duration,
    handoff_limit: Duration,
    vitals: Vitals,
    phase: Phase,
    reading: Reading,
    read_waits: Waits,
    end_check: EndCheck,
    /// Where to open while nothing was accepted.
    start: StartingPosition,
    /// Records up to here were accepted before.
    skip_to: Option<RecordPosition>,
    /// The next record should be the one that the shard was opened at.
    expects: Option<RecordPosition>,
    progress: Progress,
    accepted_since: Option<Instant>,
    stored: Checkpoint,
    clock: LeaseClock,
    lease_busy: bool,
}

impl ShardConsumer {
    /// For a lease just taken; the take was sent at `begun`.
    pub(super) fn new(lease: &Lease, settings: &ConsumerSettings, vitals: Vitals, begun: Instant) -> Self {
        let seed = settings.seed_for(&lease.shard);
        let reading = if lease.checkpoint.is_ended() {
            Reading::Finished { children: Vec::new(), noted: true }
        } else {
            Reading::Closed { after: Duration::ZERO }
        };
        Self {
            shard: lease.shard.clone(),
            drain_limit: settings.drain_limit,
            handoff_limit: settings.handoff_limit,
            vitals,
            phase: Phase::Running,
            reading,
            read_waits: settings.retry.waits(seed),
            end_check: EndCheck::new(seed),
            start: lease.opening(),
            skip_to: lease.checkpoint.position().cloned(),
            expects: None,
            progress: Progress::default(),
            accepted_since: None,
            stored: lease.checkpoint.clone(),
            clock: LeaseClock::new(settings.lease_duration, settings.commit_interval, begun, seed),
            lease_busy: false,
        }
    }

    /// The moment from which on no delivery may begin.
    pub(super) const fn fence(&self) -> Instant {
        self.clock.fence()
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) fn wake_at(&self) -> Instant {
        let mut wake = self.clock.fence();
        if !self.lease_busy {
            wake = wake.min(self.clock.next_write(self.unstored().is_some()));
        }
        if let Phase::Draining { hand_until, until, settled, .. } = self.phase {
            wake = wake.min(if settled { until } else { hand_until });
        }
        wake
    }

    /// Takes an event; the effects are to be performed in order.
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Opened(Ok(())) => self.reading = Reading::OPEN,
            Event::Opened(Err(error)) => self.read_failed(&error, &mut effects),
            Event::Fetched(result) => self.fetched(result, now, &mut effects),
            Event::Replaced { leased, found } => self.drain(Ending::Replaced { leased, found }, now, &mut effects),
            Event::Listed(found) if self.reading == Reading::Unconfirmed => {
                self.reading = Reading::Open { after: self.end_check.listed(&self.shard, found) };
            }
            Event::Listed(found) => self.not_found_listed(found, now, &mut effects),
            Event::Delivered(Delivered::Accepted(position)) => self.accepted(&position, now),
            Event::Delivered(Delivered::Settled) => self.settled(),
            Event::Leased { begun, answer, handed_off } => {
                self.lease_busy = false;
                self.leased(answer, begun, now, &mut effects);
                if handed_off {
                    self.drain(Ending::HandedOff, now, &mut effects);
                }
                effects.push(Effect::SetFence(self.clock.fence()));
            }
            Event::StopAsked => self.drain(Ending::Stopped, now, &mut effects),
            Event::Forced => self.end(Ending::Forced, now, &mut effects),
            Event::Woke => {}
        }
        self.decide(now, &mut effects);
        effects
    }

    /// What follows from the state, whatever the event was.
    fn decide(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.clock.is_over(now) {
            self.end(Ending::LeaseLost, now, effects);
        }
        if let Phase::Draining { why, hand_until, until, settled } = &mut self.phase {
            if !*settled && now >= *hand_until {
                *settled = true;
                *why = why.cut();
                tracing::warn!(shard = %self.shard, "record in hand took too long and was dropped, it will come again");
                effects.push(Effect::DropDelivery);
            }
            if now >= *until {
                let why = why.cut();
                tracing::warn!(shard = %self.shard, "drain took too long, lease was left to expire");
                self.end(why, now, effects);
            }
        }
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if !self.lease_busy
            && self.clock.may_write(now)
            && let Some(call) = self.next_call(now)
        {
            self.lease_busy = true;
            effects.push(Effect::Lease(call));
        }
        if matches!(self.phase, Phase::Running) {
            self.read_on(effects);
        }
    }

    fn next_call(&self, now: Instant) -> Option<LeaseCall> {
        let unstored = self.unstored();
        if let Some(last_steps) = self.reading.last_steps(self.progress.is_settled(), &self.stored) {
            // Noting children does not move the counter, so a renewal that is due goes first.
            let renew = self.clock.renewal_due(now) && matches!(last_steps, LeaseCall::NoteChildren(_));
            return Some(if renew { LeaseCall::Renew } else { last_steps });
        }
        if matches!(self.phase, Phase::Draining { settled: true, .. }) {
            return Some(unstored.map_or(LeaseCall::Release, LeaseCall::Checkpoint));
        }
        if self.clock.renewal_due(now) && self.clock.hearing_due(now) {
            return Some(LeaseCall::Renew);
        }
        match unstored {
            Some(_) if self.clock.hearing_due(now) => Some(LeaseCall::Renew),
            Some(checkpoint) if self.clock.commit_due(now) || self.clock.renewal_due(now) => {
                Some(LeaseCall::Checkpoint(checkpoint))
            }
            Some(_) | None => self.clock.renewal_due(now).then_some(LeaseCall::Renew),
        }
    }

    /// Accepted progress that the store does not know yet.
    fn unstored(&self) -> Option<Checkpoint> {
        let reached = Checkpoint::After(self.progress.reached()?.clone());
        reached.is_beyond(&self.stored).then_some(reached)
    }

    fn read_on(&mut self, effects: &mut Vec<Effect>) {
        match &self.reading {
            Reading::Closed { after } => {
                let after = *after;
                let reached = self.progress.reached().or(self.skip_to.as_ref()).cloned();
                let position = reached.as_ref().map_or_else(|| self.start.clone(), resume_at);
                self.expects = reached;
                effects.push(Effect::Open { position, after });
                self.reading = Reading::Busy;
            }
            Reading::Open { after } if self.progress.is_settled() => {
                effects.push(Effect::Fetch { after: *after });
                self.reading = Reading::Busy;
            }
            Reading::Open { .. } | Reading::Busy | Reading::Unconfirmed | Reading::Refused => {}
            Reading::Finished { .. } => {}
        }
    }

    fn fetched(&mut self, result: Result<Fetched, RetrievalError>, now: Instant, effects: &mut Vec<Effect>) {
        match result {
            Ok(Fetched::Batch(batch)) => {
                self.read_waits.reset();
                self.reading = Reading::OPEN;
                self.take_in(batch, now, effects);
            }
            Ok(Fetched::ShardEnded { children }) if children.is_empty() => match self.end_check.signalled() {
                EndSignal::Confirmed => self.finished(children),
                EndSignal::ReadAgain => self.reading = Reading::OPEN,
                EndSignal::AskListing => {
                    effects.push(Effect::ListShards);
                    self.reading = Reading::Unconfirmed;
                }
            },
            Ok(Fetched::ShardEnded { children }) => self.finished(children),
            Err(error) => self.read_failed(&error, effects),
        }
    }

    fn finished(&mut self, children: Vec<ShardId>) {
        tracing::info!(shard = %self.shard, "shard was read to its end");
        self.reading = Reading::Finished { children, noted: false };
    }

    fn take_in(&mut self, batch: RecordBatch, now: Instant, effects: &mut Vec<Effect>) {
        self.vitals.fetched(&self.shard, &batch, now);
        if let Some(first) = batch.records.first()
            && let Some(expected) = self.expects.take()
            && first.position.sequence > expected.sequence
        {
            tracing::warn!(shard = %self.shard, %expected, found = %first.position, "records may have aged out unread");
            self.vitals.metrics.retention_gap();
        }
        let done = self.progress.reached().or(self.skip_to.as_ref()).cloned();
        let mut records = batch.records;
        records.retain(|record| done.as_ref().is_none_or(|done| record.position > *done));
        self.end_check.answered(!records.is_empty());
        if !records.is_empty() {
            records.iter().for_each(|record| self.progress.hand(record.position.clone()));
            effects.push(Effect::Deliver(records));
        }
    }

    fn read_failed(&mut self, error: &RetrievalError, effects: &mut Vec<Effect>) {
        let resumed = self.progress.reached().is_some() || self.skip_to.is_some();
        let is_refused = matches!(error, RetrievalError::InvalidPosition { .. }) && resumed;
        if is_refused || matches!(error, RetrievalError::NotFound { .. }) {
            tracing::warn!(shard = %self.shard, %error, "shard could not be read; its stream is checked");
            effects.push(Effect::ListShards);
            self.reading = if is_refused { Reading::Refused } else { Reading::Busy };
            return;
        }
        let after = self.read_waits.next_wait();
        tracing::warn!(shard = %self.shard, ?after, %error, "shard could not be read");
        self.reading = Reading::Closed { after };
    }

    /// The stream and the shard are those of the lease, but do not know the position: all that is held is read again.
    fn begin_at_horizon(&mut self) {
        tracing::warn!(shard = %self.shard, stored = ?self.stored, "stored position is unknown, began at the horizon");
        self.vitals.metrics.position_reset();
        self.skip_to = None;
        self.progress = Progress::default();
        self.start = StartingPosition::TrimHorizon;
        self.reading = Reading::Closed { after: self.read_waits.next_wait() };
    }

    fn not_found_listed(&mut self, found: ListedShard, now: Instant, effects: &mut Vec<Effect>) {
        match found {
            ListedShard::Open | ListedShard::Closed if self.reading == Reading::Refused => self.begin_at_horizon(),
            ListedShard::Absent => {
                tracing::warn!(shard = %self.shard, "shard aged out of the stream, records may be lost");
                self.vitals.metrics.retention_gap();
                self.reading = Reading::Finished { children: Vec::new(), noted: true };
            }
            // The shard is there, so what is missing is the way to read it (a deregistered consumer, for one).
            ListedShard::Open | ListedShard::Closed => self.drain(Ending::Unreadable, now, effects),
            ListedShard::Unknown => self.reading = Reading::Closed { after: self.read_waits.next_wait() },
        }
    }

    fn accepted(&mut self, position: &RecordPosition, now: Instant) {
        self.progress.accept(position);
        if self.progress.is_settled() {
            self.vitals.caught_up(&self.shard, now);
        }
        if self.accepted_since.is_none() {
            self.accepted_since = Some(now);
            self.vitals.waits_since(&self.shard, self.accepted_since, now);
        }
    }

    const fn settled(&mut self) {
        if let Phase::Draining { settled, .. } = &mut self.phase {
            *settled = true;
        }
    }

    fn leased(&mut self, answer: LeaseAnswer, begun: Instant, now: Instant, effects: &mut Vec<Effect>) {
        match answer {
            LeaseAnswer::Renewed(Ok(renewed)) => {
                self.clock.written(begun);
                self.clock.heard(begun);
                self.vitals.look(now);
                self.vitals.waits_since(&self.shard, self.accepted_since, now);
                if renewed == Renewed::HandoffAsked {
                    self.drain(Ending::HandedOff, now, effects);
                }
            }
            LeaseAnswer::Checkpointed(stored, Ok(())) => {
                self.clock.written(begun);
                self.clock.committed(now);
                self.vitals.metrics.checkpointed();
                self.stored = stored;
                self.accepted_since = self.unstored().map(|_| begun);
                self.vitals.waits_since(&self.shard, self.accepted_since, now);
            }
            LeaseAnswer::ChildrenNoted(Ok(())) => {
                if let Reading::Finished { noted, .. } = &mut self.reading {
                    *noted = true;
                }
            }
            LeaseAnswer::Released(result) => self.released(result, now, effects),
            LeaseAnswer::Renewed(Err(error))
            | LeaseAnswer::Checkpointed(_, Err(error))
            | LeaseAnswer::ChildrenNoted(Err(error)) => self.lease_failed(&error, now, effects),
        }
    }

    fn lease_failed(&mut self, error: &LeaseError, now: Instant, effects: &mut Vec<Effect>) {
        match error {
            LeaseError::Lost { .. } => self.end(Ending::LeaseLost, now, effects),
            LeaseError::Unusable { .. } => {
                tracing::error!(shard = %self.shard, %error, "lease store cannot be used");
                self.end(Ending::Failed, now, effects);
            }
            LeaseError::Unavailable { .. } => {
                let wait = self.clock.failed(now);
                tracing::warn!(shard = %self.shard, ?wait, %error, "lease was not written");
            }
        }
    }

    fn released(&mut self, result: Result<(), LeaseError>, now: Instant, effects: &mut Vec<Effect>) {
        if let Err(error) = result {
            tracing::warn!(shard = %self.shard, %error, "lease was not released and will expire");
        }
        let why = match self.phase {
            _ if self.stored.is_ended() => Ending::ShardEnded,
            Phase::Draining { why, .. } => why,
            Phase::Running | Phase::Ended => Ending::Failed,
        };
        self.end(why, now, effects);
    }

    fn drain(&mut self, why: Ending, now: Instant, effects: &mut Vec<Effect>) {
        let limit = if why == Ending::HandedOff { self.handoff_limit } else { self.drain_limit };
        let (hand_by, end_by) = (now + limit / 4 * 3, now + limit);
        match &mut self.phase {
            Phase::Running => {
                effects.push(Effect::StopReading);
                effects.push(Effect::DrainDelivery);
                self.phase = Phase::Draining { why, hand_until: hand_by, until: end_by, settled: false };
            }
            // A stop outranks a handoff, which goes on all the same: release gives the lease to whoever asked.
            Phase::Draining { why: known, hand_until, until, .. } if why == Ending::Stopped => {
                (*known, *hand_until, *until) = (why, hand_by.min(*hand_until), end_by.min(*until));
            }
            Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    fn end(&mut self, why: Ending, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if why == Ending::LeaseLost {
            self.vitals.metrics.lease_lost();
        }
        self.vitals.forget(&self.shard, now);
        self.phase = Phase::Ended;
        effects.push(Effect::StopReading);
        effects.push(Effect::DropDelivery);
        effects.push(Effect::End(why));
    }
}
