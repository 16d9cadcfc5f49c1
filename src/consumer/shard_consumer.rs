//! Owner of one held shard. Pure: `apply` takes an event and the time, keeps all state, returns effects.
//!
//! ```text
//!  Running ──► Draining ──► Ended(reason)
//!     │  stop or handoff requested: finish the record in flight, checkpoint, release
//!     ├──► shard read to its end, all accepted: store the children, checkpoint the end, release ──► Ended
//!     └──► lease lost, or fence passed: end at once without a checkpoint ──► Ended
//! ```

use super::lag::InputLag;
use super::progress::{Progress, ReadState, resume_at};
use super::settings::ConsumerSettings;
use super::shard_end::{EndDecision, ListedShard, ShardEndCheck};
use super::shard_events::{Effect, EndReason, Event, LeaseCall, LeaseCallResult};
use super::timers::LeaseTimer;
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
    /// `delivery_until`: when the record in flight is aborted. `until`: when the lease is left to expire.
    Draining {
        reason: EndReason,
        delivery_until: Instant,
        until: Instant,
        is_delivery_done: bool,
    },
    Ended,
}

#[derive(Debug)]
pub(super) struct ShardConsumer {
    shard: ShardId,
    drain_limit: Duration,
    handoff_limit: Duration,
    lag: InputLag,
    phase: Phase,
    read_state: ReadState,
    read_waits: Waits,
    end_check: ShardEndCheck,
    /// Where to open the shard while nothing was accepted.
    start: StartingPosition,
    /// Records up to here were accepted before this consumer started.
    skip_to: Option<RecordPosition>,
    /// The position at which the shard was opened. If the next record is beyond it, records have aged out.
    expected: Option<RecordPosition>,
    progress: Progress,
    /// Since when accepted records wait for a checkpoint.
    unstored_since: Option<Instant>,
    stored: Checkpoint,
    timer: LeaseTimer,
    is_lease_busy: bool,
}

impl ShardConsumer {
    /// For a lease that was just taken; the take was sent at `begun`.
    pub(super) fn new(lease: &Lease, settings: &ConsumerSettings, lag: InputLag, begun: Instant) -> Self {
        let seed = settings.seed_for(&lease.shard);
        Self {
            shard: lease.shard.clone(),
            drain_limit: settings.drain_limit,
            handoff_limit: settings.handoff_limit,
            lag,
            phase: Phase::Running,
            read_state: ReadState::initial(&lease.checkpoint),
            read_waits: settings.retry.waits(seed),
            end_check: ShardEndCheck::new(seed),
            start: lease.opening(),
            skip_to: lease.checkpoint.position().cloned(),
            expected: None,
            progress: Progress::default(),
            unstored_since: None,
            stored: lease.checkpoint.clone(),
            timer: LeaseTimer::new(settings.lease_duration, settings.checkpoint_interval, begun, seed),
            is_lease_busy: false,
        }
    }

    /// No delivery may begin at this moment or later.
    pub(super) const fn fence(&self) -> Instant {
        self.timer.fence()
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) fn wake_at(&self) -> Instant {
        let mut wake = self.timer.fence();
        if !self.is_lease_busy {
            wake = wake.min(self.timer.next_write(self.unstored().is_some()));
        }
        if let Phase::Draining { delivery_until, until, is_delivery_done, .. } = self.phase {
            wake = wake.min(if is_delivery_done { until } else { delivery_until });
        }
        wake
    }

    /// Applies an event. The effects are to be performed in order.
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Opened(Ok(())) => self.read_state = ReadState::OPEN,
            Event::Opened(Err(error)) => self.read_failed(&error, now, &mut effects),
            Event::Fetched(result) => self.fetched(result, now, &mut effects),
            Event::Replaced(replacement) => self.drain(EndReason::Replaced(replacement), now, &mut effects),
            Event::Listed(found) if self.read_state == ReadState::ConfirmingEnd => {
                self.read_state = ReadState::Open { after: self.end_check.listed(&self.shard, found) };
            }
            Event::Listed(found) => self.listed_after_failure(found),
            Event::Accepted(position) => self.accepted(&position, now),
            Event::Drained => {
                if let Phase::Draining { is_delivery_done, .. } = &mut self.phase {
                    *is_delivery_done = true;
                }
            }
            Event::LeaseCallDone { begun, result, handed_off } => {
                self.is_lease_busy = false;
                self.lease_call_done(result, begun, now, &mut effects);
                if handed_off {
                    self.drain(EndReason::HandedOff, now, &mut effects);
                }
                effects.push(Effect::SetFence(self.timer.fence()));
            }
            Event::StopRequested => self.drain(EndReason::Stopped, now, &mut effects),
            Event::Forced => self.end(EndReason::Forced, now, &mut effects),
            Event::Woke => {}
        }
        self.next_effects(now, &mut effects);
        effects
    }

    /// What follows from the state, whatever the event was.
    fn next_effects(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.timer.is_fenced(now) {
            self.end(EndReason::LeaseLost, now, effects);
        }
        if let Phase::Draining { reason, delivery_until, until, is_delivery_done } = &mut self.phase {
            if !*is_delivery_done && now >= *delivery_until {
                *is_delivery_done = true;
                *reason = reason.or_aborted();
                tracing::warn!(shard = %self.shard, "delivery aborted at drain limit; record will be redelivered");
                effects.push(Effect::AbortDelivery);
            }
            if now >= *until {
                let reason = reason.or_aborted();
                tracing::warn!(shard = %self.shard, "drain limit exceeded; lease will expire");
                self.end(reason, now, effects);
            }
        }
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if !self.is_lease_busy
            && self.timer.may_write(now)
            && let Some(call) = self.next_call(now)
        {
            self.is_lease_busy = true;
            effects.push(Effect::Lease(call));
        }
        if matches!(self.phase, Phase::Running) {
            self.continue_reading(effects);
        }
    }

    fn next_call(&self, now: Instant) -> Option<LeaseCall> {
        let unstored = self.unstored();
        if let Some(step) = self.read_state.next_end_step(self.progress.all_accepted(), &self.stored) {
            // Storing the children does not change the counter, so a renewal that is due comes first.
            let renew = self.timer.renewal_due(now) && matches!(step, LeaseCall::StoreChildren(_));
            return Some(if renew { LeaseCall::Renew } else { step });
        }
        if matches!(self.phase, Phase::Draining { is_delivery_done: true, .. }) {
            return Some(unstored.map_or(LeaseCall::Release, LeaseCall::Checkpoint));
        }
        match unstored {
            Some(_) if self.timer.handoff_check_due(now) => Some(LeaseCall::Renew),
            Some(checkpoint) if self.timer.checkpoint_due(now) || self.timer.renewal_due(now) => {
                Some(LeaseCall::Checkpoint(checkpoint))
            }
            Some(_) | None => self.timer.renewal_due(now).then_some(LeaseCall::Renew),
        }
    }

    /// Accepted progress that the lease store does not have yet.
    fn unstored(&self) -> Option<Checkpoint> {
        let reached = Checkpoint::After(self.progress.reached()?.clone());
        reached.is_beyond(&self.stored).then_some(reached)
    }

    fn continue_reading(&mut self, effects: &mut Vec<Effect>) {
        match self.read_state {
            ReadState::Closed { after } => {
                let reached = self.reached().cloned();
                let position = reached.as_ref().map_or_else(|| self.start.clone(), resume_at);
                self.expected = reached;
                effects.push(Effect::Open { position, after });
                self.read_state = ReadState::Busy;
            }
            ReadState::Open { after } if self.progress.all_accepted() => {
                effects.push(Effect::Fetch { after });
                self.read_state = ReadState::Busy;
            }
            ReadState::Open { .. } | ReadState::Busy | ReadState::ConfirmingEnd | ReadState::PositionRejected => {}
            ReadState::Finished { .. } => {}
        }
    }

    /// The highest accepted position, of this consumer or of an earlier one.
    fn reached(&self) -> Option<&RecordPosition> {
        self.progress.reached().or(self.skip_to.as_ref())
    }

    fn fetched(&mut self, result: Result<Fetched, RetrievalError>, now: Instant, effects: &mut Vec<Effect>) {
        match result {
            Ok(Fetched::Batch(batch)) => {
                self.read_waits.reset();
                self.read_state = ReadState::OPEN;
                self.deliver(batch, now, effects);
            }
            Ok(Fetched::ShardEnded { children }) => self.end_signalled(children, effects),
            Err(error) => self.read_failed(&error, now, effects),
        }
    }

    fn end_signalled(&mut self, children: Vec<ShardId>, effects: &mut Vec<Effect>) {
        let decision = if children.is_empty() { self.end_check.end_signalled() } else { EndDecision::Ended };
        self.read_state = match decision {
            EndDecision::Ended => {
                tracing::info!(shard = %self.shard, "shard was read to its end");
                ReadState::Finished { children, children_stored: false }
            }
            EndDecision::ReadAgain => ReadState::OPEN,
            EndDecision::ListShards => {
                effects.push(Effect::ListShards);
                ReadState::ConfirmingEnd
            }
        };
    }

    fn deliver(&mut self, batch: RecordBatch, now: Instant, effects: &mut Vec<Effect>) {
        self.lag.fetched(&self.shard, &batch, now);
        if let Some(first) = batch.records.first()
            && let Some(expected) = self.expected.take()
            && first.position.sequence > expected.sequence
        {
            tracing::warn!(shard = %self.shard, %expected, found = %first.position, "records may have aged out unread");
            self.lag.metrics.retention_gap();
        }
        let mut records = batch.records;
        if let Some(reached) = self.reached() {
            records.retain(|record| record.position > *reached);
        }
        self.end_check.responded(!records.is_empty());
        if !records.is_empty() {
            records.iter().for_each(|record| self.progress.push(record.position.clone()));
            effects.push(Effect::Deliver(records));
        }
    }

    fn read_failed(&mut self, error: &RetrievalError, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(error, RetrievalError::ConsumerNotFound { .. }) {
            // It is registered again when the input restarts.
            tracing::warn!(shard = %self.shard, %error, "shard could not be read");
            self.drain(EndReason::Unreadable, now, effects);
            return;
        }
        let is_rejected = matches!(error, RetrievalError::InvalidPosition { .. }) && self.reached().is_some();
        if is_rejected || matches!(error, RetrievalError::NotFound { .. }) {
            tracing::warn!(shard = %self.shard, %error, "shard could not be read; checking its stream");
            effects.push(Effect::ListShards);
            self.read_state = if is_rejected { ReadState::PositionRejected } else { ReadState::Busy };
            return;
        }
        let after = self.read_waits.next_wait();
        tracing::warn!(shard = %self.shard, ?after, %error, "shard could not be read");
        self.read_state = ReadState::Closed { after };
    }

    /// Stream and shard are those of the lease, but Kinesis rejects the position: the shard is read from its oldest record.
    fn reset_to_horizon(&mut self) {
        tracing::warn!(shard = %self.shard, stored = ?self.stored, "position reset to TRIM_HORIZON because Kinesis rejected it");
        self.lag.metrics.position_reset();
        self.skip_to = None;
        self.progress = Progress::default();
        self.start = StartingPosition::TrimHorizon;
        self.read_state = ReadState::Closed { after: self.read_waits.next_wait() };
    }

    fn listed_after_failure(&mut self, found: ListedShard) {
        match found {
            ListedShard::Open | ListedShard::Closed if self.read_state == ReadState::PositionRejected => {
                self.reset_to_horizon();
            }
            ListedShard::Absent => {
                tracing::warn!(shard = %self.shard, "shard aged out of the stream; records may be lost");
                self.lag.metrics.retention_gap();
                self.read_state = ReadState::NOTHING_LEFT;
            }
            // The shard is listed, so reading it is tried again; the other shards go on.
            ListedShard::Open | ListedShard::Closed | ListedShard::Unknown => {
                self.read_state = ReadState::Closed { after: self.read_waits.next_wait() };
            }
        }
    }

    fn accepted(&mut self, position: &RecordPosition, now: Instant) {
        self.progress.accept(position);
        if self.progress.all_accepted() {
            self.lag.all_accepted(&self.shard, now);
        }
        if self.unstored_since.is_none() {
            self.set_unstored(Some(now), now);
        }
    }

    fn set_unstored(&mut self, since: Option<Instant>, now: Instant) {
        self.unstored_since = since;
        self.lag.set_unstored(&self.shard, since, now);
    }

    fn lease_call_done(&mut self, result: LeaseCallResult, begun: Instant, now: Instant, effects: &mut Vec<Effect>) {
        match result {
            LeaseCallResult::Renewed(Ok(renewed)) => {
                self.timer.counter_changed(begun);
                self.timer.handoff_checked(begun);
                self.lag.tick(now);
                self.set_unstored(self.unstored_since, now);
                if renewed == Renewed::HandoffRequested {
                    self.drain(EndReason::HandedOff, now, effects);
                }
            }
            LeaseCallResult::Checkpointed(stored, Ok(())) => {
                self.timer.counter_changed(begun);
                self.timer.checkpointed(now);
                self.lag.metrics.checkpointed();
                self.stored = stored;
                self.set_unstored(self.unstored().map(|_| begun), now);
            }
            LeaseCallResult::ChildrenStored(Ok(())) => self.read_state.set_children_stored(),
            LeaseCallResult::Released(result) => self.released(result, now, effects),
            LeaseCallResult::Renewed(Err(error))
            | LeaseCallResult::Checkpointed(_, Err(error))
            | LeaseCallResult::ChildrenStored(Err(error)) => self.lease_call_failed(&error, now, effects),
        }
    }

    fn lease_call_failed(&mut self, error: &LeaseError, now: Instant, effects: &mut Vec<Effect>) {
        match error {
            LeaseError::Lost { .. } => self.end(EndReason::LeaseLost, now, effects),
            LeaseError::Unusable { .. } => {
                tracing::error!(shard = %self.shard, %error, "lease store cannot be used");
                self.end(EndReason::Failed, now, effects);
            }
            LeaseError::Unavailable { .. } => {
                let wait = self.timer.write_failed(now);
                tracing::warn!(shard = %self.shard, ?wait, %error, "lease could not be written");
            }
        }
    }

    fn released(&mut self, result: Result<(), LeaseError>, now: Instant, effects: &mut Vec<Effect>) {
        if let Err(error) = result {
            tracing::warn!(shard = %self.shard, %error, "lease could not be released; it will expire");
        }
        let reason = match self.phase {
            _ if self.stored.is_ended() => EndReason::ShardEnded,
            Phase::Draining { reason, .. } => reason,
            Phase::Running | Phase::Ended => EndReason::Failed,
        };
        self.end(reason, now, effects);
    }

    /// Three quarters of the limit are for the record in flight, the rest is for the last lease calls.
    fn drain(&mut self, reason: EndReason, now: Instant, effects: &mut Vec<Effect>) {
        let limit = if reason == EndReason::HandedOff { self.handoff_limit } else { self.drain_limit };
        let (delivery_until, until) = (now + limit / 4 * 3, now + limit);
        match &mut self.phase {
            Phase::Running => {
                effects.extend([Effect::StopReading, Effect::DrainDelivery]);
                self.phase = Phase::Draining { reason, delivery_until, until, is_delivery_done: false };
            }
            // A stop replaces the reason of a handoff. The handoff still happens: the release gives the lease to the
            // worker that requested it.
            Phase::Draining { reason: old, delivery_until: first, until: last, .. } if reason == EndReason::Stopped => {
                (*old, *first, *last) = (reason, delivery_until.min(*first), until.min(*last));
            }
            Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    fn end(&mut self, reason: EndReason, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if reason == EndReason::LeaseLost {
            self.lag.metrics.lease_lost();
        }
        self.lag.remove(&self.shard, now);
        self.phase = Phase::Ended;
        effects.extend([Effect::StopReading, Effect::AbortDelivery, Effect::End(reason)]);
    }
}
