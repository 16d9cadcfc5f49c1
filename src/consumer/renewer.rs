//! Keeps one held lease: renews it, stores progress, releases it. Pure: `apply` takes an event and the time, keeps all
//! state, returns effects.
//!
//! ```text
//!  held ──► shard finished: store the children, checkpoint the end ──┐
//!   │  └──► release requested: store the last progress ─────────────┴──► release ──► ended
//!   └─────► taken by another worker, or fence passed: ended without a checkpoint
//! ```
//!
//! Each write is conditional on the lease counter. The fence follows from the moment at which a write was sent that moved
//! the counter, so it is always earlier than the moment at which another worker may take the lease.

use super::timers::LeaseTimer;
use crate::domain::{Checkpoint, FailureKind, Lease, LeaseError, Renewed, ResetPosition, ShardId};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(super) struct RenewerSettings {
    /// See `ConsumerSettings::lease_duration`.
    pub(super) lease_duration: Duration,
    /// See `ConsumerSettings::checkpoint_interval`.
    pub(super) checkpoint_interval: Duration,
    pub(super) seed: u64,
}

#[derive(Debug)]
pub(super) enum Event {
    /// All records up to here were accepted.
    Progress(Checkpoint),
    /// The stream does not know the stored position: the shard is read from here again. Earlier progress is void.
    Reset(ResetPosition),
    /// Renew at once, and report it.
    Verify,
    /// All records of the shard were accepted, and it has ended with these children.
    Finish(Vec<ShardId>),
    /// Store the last progress and release the lease. Give up at `until`.
    Release { until: Instant },
    /// A call that was sent at `begun` returned. `handed_off`: another worker requests the lease.
    CallDone { begun: Instant, result: CallResult, handed_off: bool },
    /// The time of `wake_at` was reached.
    Woke,
}

#[derive(Debug)]
pub(super) enum CallResult {
    Renewed(Result<Renewed, LeaseError>),
    Checkpointed(Checkpoint, Result<(), LeaseError>),
    Reset(ResetPosition, Result<(), LeaseError>),
    ChildrenStored(Result<(), LeaseError>),
    Released(Result<(), LeaseError>),
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Call(LeaseCall),
    SetFence(Instant),
    Report(Report),
    /// Drop the call in flight, if there is one, and end.
    End(RenewerEnd),
}

/// A call to the lease store. At most one is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LeaseCall {
    Renew,
    Checkpoint(Checkpoint),
    Reset(ResetPosition),
    StoreChildren(Vec<ShardId>),
    Release,
}

/// What the shard's consumer must know while the lease is held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    HandoffRequested,
    Stored(Checkpoint),
    /// A write that was sent after [`Event::Verify`] renewed the lease.
    Verified,
}

/// Why a lease is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewerEnd {
    /// Another worker took the lease, or may take it from the fence on.
    Lost,
    /// As requested.
    Released,
    /// The end of the shard is stored.
    ShardEnded,
    /// The lease store is unusable, or the renewer panicked.
    Failed,
    /// It was not sure in time that the lease is released; it will expire.
    Expiring,
}

#[derive(Debug)]
pub(super) struct LeaseRenewer {
    shard: ShardId,
    timer: LeaseTimer,
    renew_interval: Duration,
    /// The latest progress.
    reached: Option<Checkpoint>,
    stored: Checkpoint,
    /// A reset that is not stored.
    reset: Option<ResetPosition>,
    /// When it was requested to verify that the lease is still held.
    verify_since: Option<Instant>,
    /// The children of the shard, once it has ended and while they are not stored.
    children: Option<Vec<ShardId>>,
    is_finished: bool,
    /// When to give up the release, once one was requested.
    release_until: Option<Instant>,
    /// Until then, progress is stored only by the writes that renew the lease, because the table throttles.
    throttled_until: Option<Instant>,
    is_handed_off: bool,
    in_flight: Option<LeaseCall>,
    is_failing: bool,
    is_ended: bool,
}

impl LeaseRenewer {
    /// For a lease that was just taken; the take was sent at `begun`.
    pub(super) fn new(lease: &Lease, settings: &RenewerSettings, begun: Instant) -> Self {
        let RenewerSettings { lease_duration, checkpoint_interval, seed } = *settings;
        Self {
            shard: lease.shard.clone(),
            timer: LeaseTimer::new(lease_duration, checkpoint_interval, begun, seed),
            renew_interval: lease_duration / 3,
            reached: None,
            stored: lease.checkpoint.clone(),
            reset: None,
            verify_since: None,
            children: None,
            is_finished: false,
            release_until: None,
            throttled_until: None,
            is_handed_off: false,
            in_flight: None,
            is_failing: false,
            is_ended: false,
        }
    }

    /// No delivery may begin at this moment or later.
    pub(super) const fn fence(&self) -> Instant {
        self.timer.fence()
    }

    /// Whether progress waits to be stored. Newer progress changes nothing until the next write.
    pub(super) fn has_progress(&self) -> bool {
        self.unstored().is_some()
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) fn wake_at(&self) -> Instant {
        let until = self.release_until.unwrap_or_else(|| self.timer.fence());
        let wake = self.timer.fence().min(until);
        match self.in_flight {
            Some(_) => wake,
            // The last steps wait for nothing but the pause after a failure.
            None if self.is_last_step() || self.is_urgent() => self.timer.retry_at().map_or(wake, |at| at.min(wake)),
            None => wake.min(self.next_write()),
        }
    }

    fn next_write(&self) -> Instant {
        let regular = self.timer.next_write(self.has_progress());
        let renewal = self.timer.next_write(false);
        self.throttled_until.map_or(regular, |until| regular.max(until).min(renewal))
    }

    /// Applies an event. The effects are to be performed in order.
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.is_ended {
            return effects;
        }
        match event {
            Event::Progress(reached) => {
                if self.reached.as_ref().is_none_or(|before| reached.is_beyond(before)) {
                    self.reached = Some(reached);
                }
            }
            Event::Reset(start) => (self.reached, self.reset) = (None, Some(start)),
            Event::Verify => self.verify_since = Some(now),
            Event::Finish(children) => {
                if !std::mem::replace(&mut self.is_finished, true) {
                    self.children = Some(children).filter(|children| !children.is_empty());
                }
            }
            Event::Release { until } => {
                self.release_until = Some(self.release_until.map_or(until, |before| before.min(until)));
            }
            Event::CallDone { begun, result, handed_off } => {
                self.in_flight = None;
                self.call_done(result, begun, now, &mut effects);
                self.set_handed_off(handed_off, &mut effects);
            }
            Event::Woke => {}
        }
        self.next_effects(now, &mut effects);
        effects
    }

    /// What follows from the state, whatever the event was.
    fn next_effects(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_ended {
            return;
        }
        if self.timer.is_fenced(now) {
            // All progress is stored before the release is sent, so nothing is lost with its answer.
            let is_releasing = self.in_flight == Some(LeaseCall::Release);
            return self.end(if is_releasing { RenewerEnd::Expiring } else { RenewerEnd::Lost }, effects);
        }
        if self.release_until.is_some_and(|until| now >= until) {
            tracing::warn!(shard = %self.shard, "lease not released in time; it will expire");
            return self.end(RenewerEnd::Expiring, effects);
        }
        if self.in_flight.is_none()
            && self.timer.may_write(now)
            && let Some(call) = self.next_call(now)
        {
            self.in_flight = Some(call.clone());
            effects.push(Effect::Call(call));
        }
    }

    fn next_call(&self, now: Instant) -> Option<LeaseCall> {
        if self.is_finished {
            return Some(self.next_end_step(now));
        }
        if let Some(start) = self.reset {
            return Some(LeaseCall::Reset(start));
        }
        let unstored = self.unstored();
        if self.release_until.is_some() {
            return Some(unstored.map_or(LeaseCall::Release, LeaseCall::Checkpoint));
        }
        let is_renewal = self.timer.renewal_due(now) || self.verify_since.is_some();
        match unstored {
            Some(checkpoint) if is_renewal || (self.timer.checkpoint_due(now) && !self.is_throttled(now)) => {
                Some(LeaseCall::Checkpoint(checkpoint))
            }
            Some(_) | None => is_renewal.then_some(LeaseCall::Renew),
        }
    }

    fn next_end_step(&self, now: Instant) -> LeaseCall {
        match &self.children {
            // Storing the children does not change the counter, so a renewal that is due comes first.
            Some(_) if self.timer.renewal_due(now) => LeaseCall::Renew,
            Some(children) => LeaseCall::StoreChildren(children.clone()),
            None if self.stored.is_ended() => LeaseCall::Release,
            None => LeaseCall::Checkpoint(Checkpoint::Ended),
        }
    }

    /// Whether a write is to be sent that waits for no interval.
    const fn is_urgent(&self) -> bool {
        self.reset.is_some() || self.verify_since.is_some()
    }

    const fn is_last_step(&self) -> bool {
        self.is_finished || self.release_until.is_some()
    }

    fn is_throttled(&self, now: Instant) -> bool {
        self.throttled_until.is_some_and(|until| now < until)
    }

    /// Accepted progress that the lease store does not have yet. Progress after a reset is stored after the reset.
    fn unstored(&self) -> Option<Checkpoint> {
        if self.reset.is_some() {
            return None;
        }
        self.reached.as_ref().filter(|reached| reached.is_beyond(&self.stored)).cloned()
    }

    fn call_done(&mut self, result: CallResult, begun: Instant, now: Instant, effects: &mut Vec<Effect>) {
        match result {
            CallResult::Renewed(Ok(_)) => self.counter_changed(begun, effects),
            CallResult::Checkpointed(stored, Ok(())) => {
                self.counter_changed(begun, effects);
                self.timer.checkpointed(now);
                self.stored = stored.clone();
                effects.push(Effect::Report(Report::Stored(stored)));
            }
            CallResult::Reset(start, Ok(())) => {
                self.counter_changed(begun, effects);
                self.reset = self.reset.filter(|wanted| *wanted != start);
                self.stored = start.checkpoint();
                effects.push(Effect::Report(Report::Stored(self.stored.clone())));
            }
            CallResult::ChildrenStored(Ok(())) => {
                self.children = None;
                self.written();
            }
            CallResult::Released(result) => self.released(result, effects),
            CallResult::Renewed(Err(error))
            | CallResult::Checkpointed(_, Err(error))
            | CallResult::Reset(_, Err(error))
            | CallResult::ChildrenStored(Err(error)) => self.call_failed(&error, now, effects),
        }
    }

    fn counter_changed(&mut self, begun: Instant, effects: &mut Vec<Effect>) {
        self.timer.counter_changed(begun);
        self.written();
        effects.push(Effect::SetFence(self.timer.fence()));
        if self.verify_since.is_some_and(|since| begun >= since) {
            self.verify_since = None;
            effects.push(Effect::Report(Report::Verified));
        }
    }

    fn written(&mut self) {
        self.throttled_until = None;
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!(shard = %self.shard, "lease written again");
        }
    }

    fn call_failed(&mut self, error: &LeaseError, now: Instant, effects: &mut Vec<Effect>) {
        match error {
            LeaseError::Lost { .. } => self.end(RenewerEnd::Lost, effects),
            LeaseError::Unusable { .. } => {
                tracing::error!(shard = %self.shard, %error, "lease store cannot be used");
                self.end(RenewerEnd::Failed, effects);
            }
            LeaseError::Unavailable { kind, .. } => {
                let wait = self.timer.write_failed(now);
                if *kind == FailureKind::Throttled {
                    self.throttled_until = Some(now + self.renew_interval);
                }
                // One warning until a write succeeds: with many shards, an outage must not fill the log.
                if std::mem::replace(&mut self.is_failing, true) {
                    tracing::debug!(shard = %self.shard, ?wait, %error, "lease could not be written");
                } else {
                    tracing::warn!(shard = %self.shard, ?wait, %error, "lease could not be written");
                }
            }
        }
    }

    fn released(&mut self, result: Result<(), LeaseError>, effects: &mut Vec<Effect>) {
        let end = match result {
            Ok(()) => RenewerEnd::Released,
            Err(LeaseError::Lost { .. }) => RenewerEnd::Lost,
            Err(error) => {
                tracing::warn!(shard = %self.shard, %error, "lease could not be released; it will expire");
                RenewerEnd::Expiring
            }
        };
        self.end(end, effects);
    }

    /// A request that was withdrawn counts as not made.
    fn set_handed_off(&mut self, handed_off: bool, effects: &mut Vec<Effect>) {
        if handed_off && !self.is_handed_off && !self.is_ended {
            effects.push(Effect::Report(Report::HandoffRequested));
        }
        self.is_handed_off = handed_off;
    }

    fn end(&mut self, end: RenewerEnd, effects: &mut Vec<Effect>) {
        self.is_ended = true;
        // Once the end is stored, the shard needs no owner.
        effects.push(Effect::End(if self.stored.is_ended() { RenewerEnd::ShardEnded } else { end }));
    }
}

#[cfg(test)]
#[path = "tests/renewer.rs"]
mod tests;
