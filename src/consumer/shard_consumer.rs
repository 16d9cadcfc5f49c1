//! Owner of one held shard. Pure: `apply` takes an event and the time, keeps all state, returns effects.
//!
//! ```text
//!  Running ──► Draining ──► Releasing ──► Ended(reason)
//!     │  stop or handoff requested: finish the requests in flight, then store progress and release
//!     ├──► shard read to its end, all accepted: store the children and the end, release ──► Ended
//!     └──► lease lost, or fence passed: end at once ──► Ended
//! ```

use super::delivery::Delivered;
use super::drain_times::{DrainTimes, Drains};
use super::progress::{Progress, ReadTime};
use super::renewer::RenewerEnd;
use super::renewer_task::RenewerEvent;
use super::retention::StreamTime;
use super::settings::{ConsumerSettings, RecordShaping, WallClock};
use super::shard_events::{Effect, EndReason, Event, Urgency};
use super::shard_reader::{Finding, ReadState, Reading, ShardReader};
use super::status::StatusCell;
use super::stream_state::StreamState;
use crate::domain::{
    Checkpoint, FailureKind, Fetched, Lease, RecordBatch, RecordPosition, RetrievalError, ShardId, ShardState,
    Timestamp,
};
use crate::telemetry::{InputMetrics, LogLimit, ShapingResult};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
enum Phase {
    Running,
    Draining {
        reason: EndReason,
        times: DrainTimes,
    },
    /// The lease is being released.
    Releasing {
        reason: EndReason,
    },
    Ended,
}

#[derive(Debug)]
pub(super) struct ShardConsumer {
    shard: ShardId,
    drains: Drains,
    metrics: InputMetrics,
    shaping: RecordShaping,
    status: StatusCell,
    read_errors: LogLimit,
    /// Whether a failed read was logged since the last successful one.
    failure_logged: bool,
    phase: Phase,
    reader: ShardReader,
    progress: Progress,
    clock: WallClock,
    stream: Arc<StreamState>,
    /// Everything that arrived before this moment was accepted.
    caught_up: Option<Timestamp>,
    /// Since when accepted records wait for a checkpoint.
    unstored_since: Option<Instant>,
    stored: Checkpoint,
    /// A reset of the position is being stored. What was stored before it does not count any more.
    is_resetting: bool,
    /// Nothing is read until the lease is renewed: another subscription to the shard shows that it may be lost.
    is_verifying: bool,
}

/// How long the release after a forced stop may take.
pub(super) const FORCED_RELEASE_LIMIT: Duration = Duration::from_secs(1);

impl ShardConsumer {
    /// For a lease that was just taken.
    pub(super) fn new(lease: &Lease, settings: &ConsumerSettings, metrics: InputMetrics) -> Self {
        Self {
            shard: lease.shard.clone(),
            drains: Drains::new(settings),
            metrics,
            shaping: settings.shaping.clone(),
            status: settings.status.add(&lease.shard, lease.counter, &lease.checkpoint),
            read_errors: LogLimit::default(),
            failure_logged: false,
            phase: Phase::Running,
            reader: ShardReader::new(lease, settings),
            progress: Progress::default(),
            clock: settings.clock.clone(),
            stream: Arc::clone(&settings.stream_state),
            caught_up: lease.caught_up,
            unstored_since: None,
            stored: lease.checkpoint.clone(),
            is_resetting: false,
            is_verifying: false,
        }
    }

    pub(super) const fn status(&self) -> &StatusCell {
        &self.status
    }

    /// Everything that arrived in the shard before this moment was accepted. To be stored with the next renewal.
    pub(super) fn caught_up(&mut self) -> Option<Timestamp> {
        if self.progress.all_accepted() {
            self.caught_up = self.reader.read_until();
        }
        self.caught_up
    }

    fn service_time(&self, now: Instant) -> Timestamp {
        self.stream.service_time(now).unwrap_or_else(|| self.clock.now())
    }

    fn stream_time(&self, now: Instant) -> StreamTime {
        StreamTime { now: self.service_time(now), retention: self.stream.retention() }
    }

    /// Records that were fetched and not accepted, or accepted beyond one that is not.
    pub(super) fn window(&self) -> usize {
        self.progress.window()
    }

    /// How many records may be fetched now.
    pub(super) fn free_window(&self) -> usize {
        self.reader.free_window(&self.progress)
    }

    /// Whether no record will be fetched before some are accepted, as far as this is known here.
    pub(super) fn is_window_closed(&self) -> bool {
        match self.reader.state {
            // A shard that is open and not being read has a full window.
            ReadState::Finished { .. } | ReadState::ResetPending | ReadState::Halted | ReadState::Open { .. } => true,
            ReadState::Closed { .. } | ReadState::Busy | ReadState::ConfirmingEnd | ReadState::PositionRejected => {
                false
            }
        }
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) const fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining { times, .. } => Some(times.deliver),
            Phase::Running | Phase::Releasing { .. } | Phase::Ended => None,
        }
    }

    /// Applies an event. The effects are to be performed in order.
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Opened(Ok(())) => self.reader.opened(),
            Event::Opened(Err(error)) | Event::Fetched(Err(error)) => self.read_failed(&error, now, &mut effects),
            Event::Fetched(Ok(Fetched::Batch(batch))) => self.fetched(batch, now, &mut effects),
            Event::Fetched(Ok(Fetched::ShardEnded { children })) => {
                self.read_succeeded(None);
                let (reading, finding) = self.reader.end_signalled(children, self.stream_time(now));
                Finding::count(finding, &self.metrics);
                self.follow(reading, now, &mut effects);
            }
            Event::Replaced(replacement) => {
                self.drain(EndReason::Replaced(replacement), self.drains.urgent(now), &mut effects);
            }
            Event::Listed(found) => {
                let (reading, finding) = self.reader.listed(found);
                Finding::count(finding, &self.metrics);
                self.follow(reading, now, &mut effects);
            }
            Event::Delivered(Delivered::Done(indexes)) => self.done(&indexes, now, &mut effects),
            Event::Delivered(Delivered::Drained) => self.drained(&mut effects),
            Event::Renewer(event) => self.renewer_event(event, now, &mut effects),
            Event::StopRequested(urgency) => {
                let times = match urgency {
                    Urgency::Urgent => self.drains.urgent(now),
                    Urgency::Retire => self.drains.retirement(now),
                };
                self.drain(EndReason::Stopped, times, &mut effects);
            }
            Event::Forced => self.forced(now, &mut effects),
            Event::Woke => self.drain_timed_out(now, &mut effects),
        }
        if matches!(self.phase, Phase::Running) {
            self.continue_running(now, &mut effects);
        }
        effects
    }

    fn continue_running(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_verifying {
            return;
        }
        let service_time = self.service_time(now);
        let call = self.reader.next_call(&mut self.progress, service_time);
        if let Some(start) = self.reader.take_reset() {
            effects.push(Effect::StoreReset(start));
            (self.stored, self.is_resetting) = (start.checkpoint(), true);
        }
        if let Some(call) = call {
            self.status.read_began(now);
            effects.push(call);
        }
        match &mut self.reader.state {
            ReadState::Finished { children } if self.progress.all_accepted() => {
                effects.push(Effect::Finish(std::mem::take(children)));
                self.phase = Phase::Releasing { reason: EndReason::ShardEnded };
            }
            ReadState::Finished { .. } => self.status.set_state(ShardState::Finishing),
            ReadState::Halted => self.status.reading_halted(now),
            _ => {}
        }
    }

    fn follow(&mut self, reading: Reading, now: Instant, effects: &mut Vec<Effect>) {
        match reading {
            Reading::Continues => {}
            Reading::ListShards => effects.push(Effect::ListShards),
            Reading::Unreadable => self.drain(EndReason::Unreadable, self.drains.urgent(now), effects),
        }
    }

    fn fetched(&mut self, batch: RecordBatch, now: Instant, effects: &mut Vec<Effect>) {
        let bytes: usize = batch.records.iter().map(|record| record.data.len()).sum();
        let counted = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.metrics.fetched(counted(batch.records.len()), counted(bytes));
        let lag = batch.behind;
        let (mut records, finding) = self.reader.fetched(batch, &self.progress, self.stream_time(now));
        Finding::count(finding, &self.metrics);
        self.read_succeeded(lag);
        let before = self.progress.reached().cloned();
        let fetched = records.len();
        let first_index = self.progress.add(&mut records);
        self.shaping.count(ShapingResult::Filtered, fetched - records.len());
        self.progress.read_returned(ReadTime { at: now, behind: lag.unwrap_or_default() });
        self.progressed(before.as_ref(), now, effects);
        if let Some(first_index) = first_index {
            effects.push(Effect::Deliver { first_index, records, lag });
        }
    }

    fn read_succeeded(&mut self, behind: Option<Duration>) {
        let before = self.status.read_succeeded(behind);
        let failure_logged = std::mem::take(&mut self.failure_logged);
        match before {
            ShardState::Starting => tracing::info!(shard = %self.shard, "shard is being read"),
            ShardState::ReadFailing if failure_logged => {
                tracing::info!(shard = %self.shard, "shard is being read again");
            }
            _ => {}
        }
    }

    fn read_failed(&mut self, error: &RetrievalError, now: Instant, effects: &mut Vec<Effect>) {
        self.status.read_failed(error, now);
        if let Some(more) = self.read_errors.next(now) {
            self.failure_logged = true;
            tracing::warn!(shard = %self.shard, %error, source = error.source(), more, "shard could not be read");
        } else {
            tracing::debug!(shard = %self.shard, %error, source = error.source(), "shard could not be read");
        }
        let reading = self.reader.failed(error, &self.progress);
        if error.kind() == FailureKind::Conflict && matches!(self.phase, Phase::Running) {
            self.is_verifying = true;
            effects.push(Effect::VerifyLease);
        }
        self.follow(reading, now, effects);
    }

    fn done(&mut self, indexes: &[u64], now: Instant, effects: &mut Vec<Effect>) {
        let before = self.progress.reached().cloned();
        indexes.iter().for_each(|index| self.progress.accept(*index));
        self.progressed(before.as_ref(), now, effects);
    }

    /// Records were accepted or filtered; `before` is how far progress had reached.
    fn progressed(&mut self, before: Option<&RecordPosition>, now: Instant, effects: &mut Vec<Effect>) {
        self.status.set_unaccepted(self.progress.oldest_read());
        if before == self.progress.reached() {
            return;
        }
        if let Some(reached) = self.unstored() {
            if self.unstored_since.is_none() {
                self.unstored_since = Some(now);
                self.status.set_unstored(self.unstored_since);
            }
            effects.push(Effect::Progress(reached));
        }
    }

    /// Accepted progress that the lease store does not have yet.
    fn unstored(&self) -> Option<Checkpoint> {
        let reached = Checkpoint::After(self.progress.reached()?.clone());
        reached.is_beyond(&self.stored).then_some(reached)
    }

    fn renewer_event(&mut self, event: RenewerEvent, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            RenewerEvent::HandoffRequested => self.drain(EndReason::HandedOff, self.drains.handoff(now), effects),
            RenewerEvent::Stored(checkpoint) => {
                self.metrics.checkpointed();
                self.status.stored(&checkpoint);
                if self.is_resetting && !matches!(checkpoint, Checkpoint::NotStarted(_)) {
                    // Its write was sent before the reset, which follows.
                    return;
                }
                (self.stored, self.is_resetting) = (checkpoint, false);
                // Progress since the write began waits for the next one.
                self.unstored_since = self.unstored().map(|_| now);
                self.status.set_unstored(self.unstored_since);
            }
            RenewerEvent::Verified => self.is_verifying = false,
            RenewerEvent::Ended(end) => self.renewer_ended(end, effects),
        }
    }

    fn renewer_ended(&mut self, end: RenewerEnd, effects: &mut Vec<Effect>) {
        let reason = match (end, &self.phase) {
            (RenewerEnd::ShardEnded, _) => EndReason::ShardEnded,
            (RenewerEnd::Lost, _) => EndReason::LeaseLost,
            (RenewerEnd::Failed, _) => EndReason::Failed,
            (RenewerEnd::Released, Phase::Releasing { reason } | Phase::Draining { reason, .. }) => *reason,
            // The lease was not released in time. That repeats records only if their progress is not stored.
            (RenewerEnd::Expiring, Phase::Releasing { reason } | Phase::Draining { reason, .. }) => {
                if self.unstored().is_some() { reason.or_aborted() } else { *reason }
            }
            (RenewerEnd::Released | RenewerEnd::Expiring, Phase::Running | Phase::Ended) => EndReason::Failed,
        };
        self.end(reason, effects);
    }

    fn drain(&mut self, reason: EndReason, times: DrainTimes, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Running => {
                tracing::info!(shard = %self.shard, ?reason, "shard is being drained");
                self.status.set_state(ShardState::Draining);
                effects.extend([Effect::StopReading, Effect::DrainDelivery(times.begin)]);
                self.phase = Phase::Draining { reason, times };
            }
            // A stop replaces the reason of a handoff. The handoff still happens: the release gives the lease to the
            // worker that requested it.
            Phase::Draining { reason: old, times: until } if reason == EndReason::Stopped => {
                (*old, *until) = (reason, times.min(*until));
            }
            // The renewer is at its last step, and gives up at this moment.
            Phase::Releasing { reason: old } if reason == EndReason::Stopped => {
                if *old == EndReason::HandedOff {
                    *old = reason;
                }
                effects.push(Effect::Release(times.release));
            }
            Phase::Draining { .. } | Phase::Releasing { .. } | Phase::Ended => {}
        }
    }

    /// The requests in flight have ended.
    fn drained(&mut self, effects: &mut Vec<Effect>) {
        let Phase::Draining { reason, times } = self.phase else { return };
        let is_finished = matches!(self.reader.state, ReadState::Finished { .. }) && self.progress.all_accepted();
        if let (true, ReadState::Finished { children }) = (is_finished, &mut self.reader.state) {
            effects.push(Effect::Finish(std::mem::take(children)));
        }
        effects.push(Effect::Release(times.release));
        self.phase = Phase::Releasing { reason };
    }

    /// Nothing more is waited for, but the lease is released, so that another worker has the shard at once.
    fn forced(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        self.status.set_state(ShardState::Draining);
        effects.extend([Effect::StopReading, Effect::AbortDelivery, Effect::Release(now + FORCED_RELEASE_LIMIT)]);
        if !matches!(self.phase, Phase::Releasing { .. }) {
            self.phase = Phase::Releasing { reason: EndReason::Forced };
        }
    }

    fn drain_timed_out(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Phase::Draining { reason, times } = self.phase else { return };
        if now < times.deliver {
            return;
        }
        tracing::warn!(shard = %self.shard, "delivery aborted at drain limit; records will be redelivered");
        effects.extend([Effect::AbortDelivery, Effect::Release(times.release)]);
        self.phase = Phase::Releasing { reason: reason.or_aborted() };
    }

    fn end(&mut self, reason: EndReason, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if reason == EndReason::LeaseLost {
            self.metrics.lease_lost();
        }
        self.phase = Phase::Ended;
        effects.extend([Effect::StopReading, Effect::AbortDelivery, Effect::End(reason)]);
    }
}
