//! What is read next from one shard. Pure.

use super::mutants::{Mutant, is_broken};
use super::progress::Progress;
use super::retention::StreamTime;
use super::settings::{ConsumerSettings, OnGap, OnInvalidCheckpoint};
use super::shard_end::{EndDecision, ListedShard, ShardEndCheck};
use super::shard_events::Effect;
use super::stream_state::latest_since;
use crate::domain::{
    Lease, Record, RecordBatch, RecordGap, RecordPosition, ResetPosition, RetrievalError, ShardId, StartingPosition,
    Timestamp,
};
use crate::resilience::Waits;
use crate::telemetry::InputMetrics;
use std::time::Duration;

/// State of reading one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// To be opened after a pause.
    Closed { after: Duration },
    /// A call is in flight.
    Busy,
    /// The next records may be fetched after a pause.
    Open { after: Duration },
    /// The end was signalled without child shards, and the shards are being listed.
    ConfirmingEnd,
    /// The position was rejected as invalid. A replaced stream gives the same error, so the stream is being checked.
    PositionRejected,
    /// The position is reset as soon as all fetched records were accepted.
    ResetPending,
    /// Not read until an operator acts.
    Halted,
    /// The shard was read to its end.
    Finished { children: Vec<ShardId> },
}

impl ReadState {
    const OPEN: Self = Self::Open { after: Duration::ZERO };
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Continues,
    /// Another answer is needed first.
    ListShards,
    /// The shard exists, but cannot be read with this source.
    Unreadable,
}

/// What a read told beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Records may have aged out unread.
    Gap,
    PositionReset,
    ShardGone,
}

impl Finding {
    pub(super) fn count(finding: Option<Self>, metrics: &InputMetrics) {
        match finding {
            Some(Self::Gap | Self::ShardGone) if is_broken(Mutant::GapNotReported) => {}
            Some(Self::Gap | Self::ShardGone) => metrics.retention_gap(),
            Some(Self::PositionReset) => metrics.position_reset(),
            None => {}
        }
    }
}

#[derive(Debug)]
pub(super) struct ShardReader {
    shard: ShardId,
    pub(super) state: ReadState,
    waits: Waits,
    end_check: ShardEndCheck,
    /// Where to open the shard while nothing was fetched.
    start: StartingPosition,
    /// Records up to here were accepted before this consumer started.
    skip_to: Option<RecordPosition>,
    /// The position at which the shard was opened. If the next record is beyond it, records have aged out.
    expected: Option<RecordPosition>,
    /// When the call in flight began.
    began: Option<Timestamp>,
    /// Everything that arrived before this moment was read.
    read_until: Option<Timestamp>,
    max_window: usize,
    on_gap: OnGap,
    on_invalid: OnInvalidCheckpoint,
    /// The new start after a reset that was not reported yet.
    reset_to: Option<ResetPosition>,
}

impl ShardReader {
    pub(super) fn new(lease: &Lease, settings: &ConsumerSettings) -> Self {
        let seed = settings.seed_for(&lease.shard);
        let state = if lease.checkpoint.is_ended() {
            ReadState::Finished { children: Vec::new() }
        } else {
            ReadState::Closed { after: Duration::ZERO }
        };
        Self {
            shard: lease.shard.clone(),
            state,
            waits: settings.retry.waits(seed),
            end_check: ShardEndCheck::new(seed),
            start: lease.opening(),
            skip_to: lease.checkpoint.position().cloned(),
            expected: None,
            began: None,
            read_until: lease.caught_up,
            max_window: settings.delivery.max_in_flight_records.max(1),
            on_gap: settings.on_gap,
            on_invalid: settings.on_invalid_checkpoint,
            reset_to: None,
        }
    }

    pub(super) fn opened(&mut self) {
        self.state = ReadState::OPEN;
    }

    /// Everything that arrived in the shard before this moment was read, by this consumer or an earlier one.
    pub(super) const fn read_until(&self) -> Option<Timestamp> {
        self.read_until
    }

    /// The next call, if one may be made now. `now` is the time of Kinesis.
    pub(super) fn next_call(&mut self, progress: &mut Progress, now: Timestamp) -> Option<Effect> {
        if self.state == ReadState::ResetPending && progress.all_accepted() {
            progress.restart();
            self.reset(latest_since(now));
        }
        let call = self.call_of_state(progress);
        if call.is_some() {
            self.began = Some(now);
        }
        call
    }

    fn call_of_state(&mut self, progress: &Progress) -> Option<Effect> {
        match self.state {
            ReadState::Closed { after } => {
                let position = self.last_position(progress).cloned();
                // At the record and not after it: it may be an aggregate that was fetched in part. Finding it also proves
                // that no record has aged out since.
                let open = if is_broken(Mutant::OpenedAfter) { StartingPosition::After } else { StartingPosition::At };
                let open_at = position.as_ref().map(|position| open(position.sequence.clone()));
                self.expected = position;
                self.state = ReadState::Busy;
                Some(Effect::Open { position: open_at.unwrap_or_else(|| self.start.clone()), after })
            }
            ReadState::Open { after } if progress.window() < self.max_window || is_broken(Mutant::WindowIgnored) => {
                self.state = ReadState::Busy;
                Some(Effect::Fetch { after })
            }
            ReadState::Open { .. }
            | ReadState::Busy
            | ReadState::ConfirmingEnd
            | ReadState::PositionRejected
            | ReadState::ResetPending
            | ReadState::Halted
            | ReadState::Finished { .. } => None,
        }
    }

    /// How many records may be fetched.
    pub(super) fn free_window(&self, progress: &Progress) -> usize {
        if is_broken(Mutant::WindowIgnored) { usize::MAX } else { self.max_window.saturating_sub(progress.window()) }
    }

    /// The start after a reset, once: it is to be stored, since progress from there on may be before the stored one.
    pub(super) const fn take_reset(&mut self) -> Option<ResetPosition> {
        self.reset_to.take()
    }

    /// The last record that was fetched, by this consumer or an earlier one.
    fn last_position<'a>(&'a self, progress: &'a Progress) -> Option<&'a RecordPosition> {
        progress.fetched().or(self.skip_to.as_ref())
    }

    /// Takes the records of a batch that were not fetched before.
    pub(super) fn fetched(
        &mut self,
        batch: RecordBatch,
        progress: &Progress,
        at: StreamTime,
    ) -> (Vec<Record>, Option<Finding>) {
        let is_lost = is_broken(Mutant::BatchDropped) && self.waits.taken() > 0;
        self.waits.reset();
        self.state = ReadState::OPEN;
        let gap = self.gap(&batch).filter(|_| at.may_have_aged_out(self.read_until));
        if gap.is_none() || self.on_gap != OnGap::Halt {
            self.note_tip(batch.behind, at);
        }
        let mut records = if is_lost { Vec::new() } else { batch.records };
        if let Some(last) = self.last_position(progress) {
            records.retain(|record| record.position > *last);
            if is_broken(Mutant::SubSequenceIgnored) {
                records.retain(|record| record.position.sequence > last.sequence);
            }
        }
        self.end_check.responded(!records.is_empty());
        let Some(gap) = gap else { return (records, None) };
        tracing::warn!(
            shard = %self.shard, after = %gap.after, found = %gap.found,
            "records may have aged out unread"
        );
        if self.on_gap == OnGap::Halt {
            self.halt_after_gap();
            records.clear();
        }
        (records, Some(Finding::Gap))
    }

    /// Nothing was left to read when the call began. That moment counts only if nothing can have aged out before: as long as
    /// the record at which the shard was opened was not returned, that is not certain.
    fn note_tip(&mut self, behind: Option<Duration>, at: StreamTime) {
        let is_at_tip = behind == Some(Duration::ZERO);
        if is_at_tip && (self.expected.is_none() || !at.may_have_aged_out(self.read_until)) {
            self.read_until = self.read_until.max(self.began);
        }
    }

    fn gap(&mut self, batch: &RecordBatch) -> Option<RecordGap> {
        let first = batch.records.first();
        let expected = first.and_then(|_| self.expected.take());
        let own = first.zip(expected).filter(|(first, expected)| first.position.sequence > expected.sequence);
        let own =
            own.map(|(first, expected)| RecordGap { after: expected.sequence, found: first.position.sequence.clone() });
        batch.gap.clone().or(own)
    }

    /// The source signalled the end of the shard. If it did not even return the record at which the shard was opened, the
    /// rest of the shard may have aged out unread.
    pub(super) fn end_signalled(&mut self, children: Vec<ShardId>, at: StreamTime) -> (Reading, Option<Finding>) {
        let decision = if children.is_empty() { self.end_check.end_signalled() } else { EndDecision::Ended };
        match decision {
            EndDecision::Ended => {
                tracing::info!(shard = %self.shard, "shard was read to its end");
                self.state = ReadState::Finished { children };
                (Reading::Continues, self.gap_at_end(at))
            }
            EndDecision::ReadAgain => {
                self.state = ReadState::OPEN;
                (Reading::Continues, None)
            }
            EndDecision::ListShards => {
                self.state = ReadState::ConfirmingEnd;
                (Reading::ListShards, None)
            }
        }
    }

    fn gap_at_end(&mut self, at: StreamTime) -> Option<Finding> {
        let after = self.expected.take().filter(|_| at.may_have_aged_out(self.read_until))?;
        tracing::warn!(shard = %self.shard, after = %after.sequence, "the rest of a shard may have aged out unread");
        if self.on_gap == OnGap::Halt {
            self.halt_after_gap();
        }
        Some(Finding::Gap)
    }

    fn halt_after_gap(&mut self) {
        let remedy = "move the lease with `bindd leases seek`, or set onGap: continue";
        tracing::error!(shard = %self.shard, remedy, "shard halted because records may have aged out unread");
        self.state = ReadState::Halted;
    }

    /// A call failed. Returns whether the shards must be listed to know what it means.
    pub(super) fn failed(&mut self, error: &RetrievalError, progress: &Progress) -> Reading {
        if matches!(error, RetrievalError::ConsumerNotFound { .. }) {
            // It is registered again when the input restarts.
            return Reading::Unreadable;
        }
        let is_rejected =
            matches!(error, RetrievalError::InvalidPosition { .. }) && self.last_position(progress).is_some();
        if is_rejected || matches!(error, RetrievalError::NotFound { .. }) {
            self.state = if is_rejected { ReadState::PositionRejected } else { ReadState::Busy };
            return Reading::ListShards;
        }
        self.state = ReadState::Closed { after: self.waits.next_wait() };
        Reading::Continues
    }

    /// The listing that an answer made necessary.
    pub(super) fn listed(&mut self, found: ListedShard) -> (Reading, Option<Finding>) {
        match (&self.state, found) {
            (ReadState::ConfirmingEnd, _) => {
                self.state = ReadState::Open { after: self.end_check.listed(&self.shard, found) };
                (Reading::Continues, None)
            }
            (ReadState::PositionRejected, ListedShard::Open | ListedShard::Closed) => self.position_rejected(),
            (_, ListedShard::Absent) => {
                tracing::warn!(shard = %self.shard, "shard aged out of the stream; records may be lost");
                self.state = ReadState::Finished { children: Vec::new() };
                (Reading::Continues, Some(Finding::ShardGone))
            }
            (_, ListedShard::Open | ListedShard::Closed | ListedShard::Unknown) => {
                // ListShards may show a shard a little earlier or longer than it can be read. The other shards go on.
                self.state = ReadState::Closed { after: self.waits.next_wait() };
                (Reading::Continues, None)
            }
        }
    }

    /// Stream and shard are those of the lease, but Kinesis rejects the position.
    fn position_rejected(&mut self) -> (Reading, Option<Finding>) {
        if self.on_invalid == OnInvalidCheckpoint::Halt {
            let remedy = "move the lease with `bindd leases seek`, or set onInvalidCheckpoint";
            tracing::error!(shard = %self.shard, remedy, "shard halted because Kinesis rejected its position");
            self.state = ReadState::Halted;
            return (Reading::Continues, None);
        }
        self.state = ReadState::ResetPending;
        (Reading::Continues, Some(Finding::PositionReset))
    }

    fn reset(&mut self, latest: Timestamp) {
        let (start, stored) = match self.on_invalid {
            // At the time that is stored, so that a restart before the first checkpoint begins at the same record.
            OnInvalidCheckpoint::Latest => (StartingPosition::AtTimestamp(latest), ResetPosition::Latest(latest)),
            OnInvalidCheckpoint::TrimHorizon | OnInvalidCheckpoint::Halt => {
                (StartingPosition::TrimHorizon, ResetPosition::TrimHorizon)
            }
        };
        self.reset_to = Some(stored);
        self.read_until = None;
        tracing::warn!(shard = %self.shard, ?start, "position reset because Kinesis rejected it");
        self.skip_to = None;
        self.expected = None;
        self.start = start;
        self.state = ReadState::Closed { after: self.waits.next_wait() };
    }
}
