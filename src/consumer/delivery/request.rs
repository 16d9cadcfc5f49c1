//! One request to the app: transforms the records of a batch, sends what comes out, and sorts the records by what happened.

use super::super::fence::Fence;
use super::super::mutants::app_call;
use super::super::settings::{RecordShaping, WallClock};
use super::admission::AppPermit;
use super::lanes::{LaneId, Unit};
use crate::domain::{
    Accepted, BindingEvent, ComponentName, DecompressFailure, DeliveryError, EventBatch, EventHandler, EventOrigin,
    LeaseCounter, RecordPosition, RecordTransform, TransformError, Transformed,
};
use crate::telemetry::{InputMetrics, ShapingResult};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of records to transform between two yields to other tasks.
const CHUNK: usize = 64 << 10;

type Batch = Vec<(LaneId, Unit)>;

/// What a request needs beside its records.
pub(super) struct Request {
    pub(super) handler: Arc<dyn EventHandler>,
    pub(super) shaping: RecordShaping,
    pub(super) binding: ComponentName,
    pub(super) stream: Arc<str>,
    pub(super) epoch: LeaseCounter,
    pub(super) lag: Option<Duration>,
    /// Events in one request, and bytes of their data. A single event may be larger.
    pub(super) max_events: usize,
    pub(super) max_bytes: usize,
    pub(super) clock: WallClock,
    pub(super) fence: Fence,
    pub(super) metrics: Arc<InputMetrics>,
}

/// What became of the records of a batch. Each is in one of the lists.
#[derive(Default)]
pub(super) struct RequestEnd {
    pub(super) sent: Option<Sent>,
    /// The transform has no output for them, so they are done.
    pub(super) filtered: Batch,
    /// The transform failed, and the component drops such records.
    pub(super) dropped: Vec<(LaneId, Unit, TransformError)>,
    /// The transform failed. No record of these lanes was sent.
    pub(super) failed: Vec<(LaneId, Unit, TransformError)>,
    /// The transform ran out of time. No record of these lanes was sent, and another attempt may succeed.
    pub(super) out_of_time: Vec<(LaneId, Unit, TransformError)>,
    /// They go back to their lanes: the request was full, or an earlier record of the lane failed.
    pub(super) unsent: Batch,
    /// The first of the records that were sent as they are because the transform failed.
    pub(super) passed_through: Option<(RecordPosition, TransformError)>,
}

/// Records that were sent to the app.
pub(super) struct Sent {
    pub(super) batch: Batch,
    /// Its indexes are those of `batch`.
    pub(super) result: Result<Accepted, DeliveryError>,
    /// What the result shows.
    pub(super) is_app_down: bool,
}

/// The events that were made of the records so far.
#[derive(Default)]
struct Events {
    events: Vec<BindingEvent>,
    /// Of each event the index of its record.
    records: Vec<usize>,
    lanes: HashSet<LaneId>,
    bytes: usize,
}

/// What is sent for a record: at least one event.
#[derive(Default)]
struct Outputs {
    data: Vec<Bytes>,
    is_transformed: bool,
    not_decompressed: Option<DecompressFailure>,
    /// Why the record is sent as it is.
    failure: Option<TransformError>,
}

impl Request {
    pub(super) async fn run(self, batch: Batch, permit: AppPermit) -> RequestEnd {
        match self.shaping.transform.clone() {
            None => self.send_unchanged(batch, permit).await,
            Some(transform) => self.send_transformed(batch, permit, &*transform).await,
        }
    }

    /// The events move into the request and back, so that nothing is copied.
    async fn send_unchanged(self, mut batch: Batch, mut permit: AppPermit) -> RequestEnd {
        let not_http_since = self.begin(&mut batch);
        let (states, events): (Vec<_>, Vec<_>) = batch.into_iter().map(|(lane, unit)| unit.into_parts(lane)).unzip();
        let (result, events) = self.call(events, &mut permit).await;
        let is_app_down = permit.finish(&result, not_http_since);
        let batch = states.into_iter().zip(events).map(|(state, event)| state.with_event(event)).collect();
        RequestEnd { sent: Some(Sent { batch, result, is_app_down }), ..RequestEnd::default() }
    }

    /// The time of the permit begins with the call, so that the transform is no latency of the app.
    async fn send_transformed(
        self,
        batch: Batch,
        mut permit: AppPermit,
        transform: &dyn RecordTransform,
    ) -> RequestEnd {
        let (mut end, mut sent, mut events) = (RequestEnd::default(), Batch::new(), Events::default());
        let (mut fresh, mut is_complete) = (0, false);
        // Lanes whose next record waits for an earlier one.
        let mut blocked = HashSet::new();
        for (lane, unit) in batch {
            fresh += unit.event.data.len();
            if fresh >= CHUNK {
                fresh = 0;
                tokio::task::yield_now().await;
            }
            if is_complete || events.events.len() >= self.max_events || blocked.contains(&lane) {
                end.unsent.push((lane, unit));
                continue;
            }
            let transformed = transform.transform(&unit.event, unit.decompressed.as_ref(), sent.is_empty()).await;
            let Some(transformed) = transformed else {
                is_complete = true;
                end.unsent.push((lane, unit));
                continue;
            };
            let sorted = sort(lane, unit, transformed, events.lanes.contains(&lane), &mut end);
            let Some((mut unit, outputs)) = sorted else {
                if end.is_blocked_by_last(lane) {
                    blocked.insert(lane);
                }
                continue;
            };
            is_complete = !sent.is_empty() && !events.have_space(&outputs.data, self.max_events, self.max_bytes);
            if is_complete {
                end.unsent.push((lane, unit));
                continue;
            }
            self.count(&mut unit, &outputs, &mut end);
            events.add(sent.len(), lane, &unit, outputs);
            sent.push((lane, unit));
        }
        if !sent.is_empty() {
            let not_http_since = self.begin(&mut sent);
            let records = events.records;
            let result = self.call_in_parts(events.events, &mut permit).await;
            let is_app_down = permit.finish(&result, not_http_since);
            let result = result.map(|accepted| of_records(accepted, &records, sent.len()));
            end.sent = Some(Sent { batch: sent, result, is_app_down });
        }
        end
    }

    /// Counts a record that is sent, once for all its deliveries.
    fn count(&self, unit: &mut Unit, outputs: &Outputs, end: &mut RequestEnd) {
        if std::mem::replace(&mut unit.history.is_counted, true) {
            return;
        }
        if let Some(error) = &outputs.failure {
            self.shaping.count(ShapingResult::PassedThrough, 1);
            end.passed_through.get_or_insert_with(|| (unit.event.origin.position.clone(), error.clone()));
        } else if outputs.is_transformed {
            self.shaping.count(ShapingResult::Transformed, 1);
        }
    }

    /// Notes that the records are about to be sent. Returns since when the app does not answer the first one with HTTP.
    fn begin(&self, batch: &mut Batch) -> Option<Instant> {
        let now = self.clock.now();
        for (_, unit) in &mut *batch {
            unit.history.first_attempt.get_or_insert(now);
            unit.history.last_attempt = Some(now);
        }
        batch.first().and_then(|(_, first)| first.history.not_http_since)
    }

    /// Sends the events in one request, or those of a single record in several, one after another until one fails.
    async fn call_in_parts(
        &self,
        events: Vec<BindingEvent>,
        permit: &mut AppPermit,
    ) -> Result<Accepted, DeliveryError> {
        let mut events = events.into_iter().peekable();
        let mut result = Ok(Accepted::All);
        while events.peek().is_some() && matches!(result, Ok(Accepted::All)) {
            // The wait for memory, or an earlier part, may have taken long.
            if Instant::now() >= self.fence.get() {
                let reason = "the lease of the shard may be lost".to_owned();
                return Err(DeliveryError::Held { reason, wait: Duration::ZERO });
            }
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(event) = events.next_if(|event| {
                part.is_empty() || (part.len() < self.max_events && bytes + event.data.len() <= self.max_bytes)
            }) {
                bytes += event.data.len();
                part.push(event);
            }
            result = self.call(part, permit).await.0;
        }
        result
    }

    async fn call(
        &self,
        events: Vec<BindingEvent>,
        permit: &mut AppPermit,
    ) -> (Result<Accepted, DeliveryError>, Vec<BindingEvent>) {
        let (binding, stream) = (self.binding.clone(), Arc::clone(&self.stream));
        let request = EventBatch { binding, stream, epoch: self.epoch, lag: self.lag, events };
        let _call = request.events.first().map(|event| app_call(&event.origin.shard));
        permit.begin();
        let begun = Instant::now();
        let result = self.handler.handle(&request).await;
        self.metrics.called_back(begun.elapsed());
        (result, request.events)
    }
}

impl RequestEnd {
    /// Whether the record of the lane that was sorted last waits, or failed.
    fn is_blocked_by_last(&self, lane: LaneId) -> bool {
        let is_last_unsent = self.unsent.last().is_some_and(|(last, _)| *last == lane);
        let is_last = |of: &[(LaneId, Unit, TransformError)]| of.last().is_some_and(|(last, ..)| *last == lane);
        is_last_unsent || is_last(&self.failed) || is_last(&self.out_of_time)
    }
}

impl Events {
    fn have_space(&self, outputs: &[Bytes], max_events: usize, max_bytes: usize) -> bool {
        let bytes: usize = outputs.iter().map(Bytes::len).sum();
        self.events.len() + outputs.len() <= max_events && self.bytes + bytes <= max_bytes
    }

    fn add(&mut self, record: usize, lane: LaneId, unit: &Unit, outputs: Outputs) {
        self.lanes.insert(lane);
        let not_decompressed = outputs.not_decompressed;
        for (part, data) in (0..).zip(outputs.data) {
            self.bytes += data.len();
            self.records.push(record);
            let origin = EventOrigin { part, ..unit.event.origin.clone() };
            self.events.push(BindingEvent { data, origin, attempt: unit.event.attempt, not_decompressed });
        }
    }
}

/// Puts a record that is not sent into its list. Returns what is sent for any other record. `is_after_another`: an earlier
/// record of its lane is sent.
fn sort(
    lane: LaneId,
    unit: Unit,
    transformed: Transformed,
    is_after_another: bool,
    end: &mut RequestEnd,
) -> Option<(Unit, Outputs)> {
    match transformed {
        Transformed::Unchanged(data, not_decompressed) => {
            return Some((unit, Outputs { data: vec![data], not_decompressed, ..Outputs::default() }));
        }
        Transformed::Outputs(outputs) if outputs.is_empty() => end.filtered.push((lane, unit)),
        Transformed::Outputs(data) => {
            return Some((unit, Outputs { data, is_transformed: true, ..Outputs::default() }));
        }
        Transformed::PassedThrough(data, not_decompressed, error) => {
            let failure = Some(error);
            return Some((unit, Outputs { data: vec![data], not_decompressed, failure, ..Outputs::default() }));
        }
        Transformed::Dropped(error) => end.dropped.push((lane, unit, error)),
        // The lane sends what is before it first.
        Transformed::Failed(_) | Transformed::OutOfTime(_) if is_after_another => end.unsent.push((lane, unit)),
        Transformed::Failed(error) => end.failed.push((lane, unit, error)),
        Transformed::OutOfTime(error) => end.out_of_time.push((lane, unit, error)),
    }
    None
}

/// A record is accepted only if all its events are.
fn of_records(accepted: Accepted, records: &[usize], count: usize) -> Accepted {
    match accepted {
        Accepted::All => Accepted::All,
        // The indexes are those within a part.
        Accepted::Except(_) if count == 1 => Accepted::Except(vec![0]),
        Accepted::Except(events) => {
            let mut failed: Vec<usize> = events.iter().filter_map(|event| records.get(*event).copied()).collect();
            failed.sort_unstable();
            failed.dedup();
            Accepted::Except(failed)
        }
    }
}
