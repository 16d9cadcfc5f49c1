//! Delivers the records of one shard to the handler: in order, one at a time, each repeated until it is accepted.
//!
//! Parallel delivery would change this file only. The rest of the engine pushes records, waits for [`Event::Accepted`]
//! and [`Event::Drained`], moves the fence and requests a drain; it does not rely on the order of acceptance.

use super::lag::InputLag;
use super::shard_events::Event;
use crate::domain::{
    Accepted, BindingEvent, ComponentName, DeliveryError, EventBatch, EventHandler, EventOrigin, LeaseCounter, Record,
    ShardId, cause_line,
};
use crate::resilience::Waits;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause between attempts to reach an app that is down.
const MAX_PAUSE_WHILE_DOWN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) handler: Arc<dyn EventHandler>,
    pub(super) binding: ComponentName,
    pub(super) stream: Arc<str>,
    pub(super) shard: ShardId,
    pub(super) epoch: LeaseCounter,
}

pub(super) struct Delivery {
    to: Destination,
    lag: InputLag,
    waits: Waits,
    queue: VecDeque<Record>,
    in_flight: InFlight,
    /// No attempt begins at this moment or later.
    fence: Instant,
    mode: Mode,
    /// Whether the record was sent again without a pause after its last failure.
    has_resent: bool,
    /// The last failure of the record in flight that was logged.
    logged: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Draining,
    Drained,
}

enum InFlight {
    None,
    /// The event is attempted again at `retry_at`.
    Waiting {
        event: BindingEvent,
        retry_at: Instant,
    },
    Calling(BoxFuture<'static, (BindingEvent, Result<(), DeliveryError>)>),
}

impl Delivery {
    pub(super) const fn new(to: Destination, lag: InputLag, waits: Waits, fence: Instant) -> Self {
        Self {
            to,
            lag,
            waits,
            queue: VecDeque::new(),
            in_flight: InFlight::None,
            fence,
            mode: Mode::Running,
            has_resent: false,
            logged: String::new(),
        }
    }

    /// Appends records to the queue.
    pub(super) fn push(&mut self, records: Vec<Record>) {
        self.queue.extend(records);
    }

    pub(super) const fn set_fence(&mut self, fence: Instant) {
        self.fence = fence;
    }

    /// Begins no further attempt; only a call that is in flight is waited for.
    pub(super) fn drain(&mut self) {
        self.queue.clear();
        if !matches!(self.in_flight, InFlight::Calling(_)) {
            self.in_flight = InFlight::None;
        }
        if self.mode == Mode::Running {
            self.mode = Mode::Draining;
        }
    }

    /// Drops everything at once. The app may have received the record in flight.
    pub(super) fn abort(&mut self) {
        self.queue.clear();
        self.in_flight = InFlight::None;
        self.mode = Mode::Drained;
    }

    /// Waits until a record was accepted or a drain is done. Cancel-safe: a call continues when this is polled again.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match &mut self.in_flight {
                InFlight::None if self.mode == Mode::Draining => {
                    self.mode = Mode::Drained;
                    return Event::Drained;
                }
                InFlight::None => match self.queue.pop_front() {
                    Some(record) => {
                        let event = self.event(record);
                        self.in_flight = InFlight::Waiting { event, retry_at: Instant::now() };
                    }
                    None => std::future::pending().await,
                },
                InFlight::Waiting { retry_at, .. } => {
                    let retry_at = *retry_at;
                    if retry_at > Instant::now() {
                        tokio::time::sleep_until(retry_at).await;
                    }
                    if Instant::now() >= self.fence {
                        // The lease may be lost. The shard consumer is about to end.
                        std::future::pending::<()>().await;
                    }
                    self.call();
                }
                InFlight::Calling(call) => {
                    let (event, result) = call.await;
                    self.in_flight = InFlight::None;
                    match result {
                        Ok(()) => return self.accepted(event),
                        Err(error) => self.failed(event, &error),
                    }
                }
            }
        }
    }

    fn call(&mut self) {
        if let InFlight::Waiting { event, .. } = std::mem::replace(&mut self.in_flight, InFlight::None) {
            let handler = Arc::clone(&self.to.handler);
            let (binding, stream, epoch) = (self.to.binding.clone(), Arc::clone(&self.to.stream), self.to.epoch);
            self.in_flight = InFlight::Calling(Box::pin(async move {
                let batch = EventBatch { binding, stream, epoch, lag: None, events: vec![event.clone()] };
                // A batch of one event is accepted or not.
                let result = handler.handle(&batch).await.and_then(|accepted| match accepted {
                    Accepted::All => Ok(()),
                    Accepted::Except(_) => Err(DeliveryError::InvalidReply {
                        target: String::new(),
                        problem: "the only event was not accepted".to_owned(),
                    }),
                });
                (event, result)
            }));
        }
    }

    fn accepted(&mut self, event: BindingEvent) -> Event {
        self.waits.reset();
        self.has_resent = false;
        self.logged.clear();
        self.lag.metrics.delivered();
        Event::Accepted(event.origin.position)
    }

    fn failed(&mut self, mut event: BindingEvent, error: &DeliveryError) {
        if self.mode == Mode::Running {
            let pause = self.pause_after(error);
            self.log_failure(&event, pause, error);
            self.lag.metrics.retried();
            event.attempt = event.attempt.saturating_add(1);
            self.in_flight = InFlight::Waiting { event, retry_at: Instant::now() + pause };
        }
    }

    /// How long to pause before the record is sent again. Pauses grow; `Retry-After` can only make them longer.
    fn pause_after(&mut self, error: &DeliveryError) -> Duration {
        // Only sending over an idle connection shows that the app has closed it. That is no reason to pause, once.
        let may_resend = matches!(error, DeliveryError::Unanswered { was_idle: true, .. }) && !self.has_resent;
        self.has_resent = may_resend;
        if may_resend {
            return Duration::ZERO;
        }
        let pause = self.waits.next_wait();
        match error {
            // An app that is down is called often: that is cheap, and records flow again soon after it is back.
            DeliveryError::Unreachable { .. } => pause.min(MAX_PAUSE_WHILE_DOWN),
            _ => pause.max(error.retry_after().unwrap_or_default()),
        }
    }

    /// Logs a failure. One that repeats is logged again only after twice as many attempts.
    fn log_failure(&mut self, event: &BindingEvent, pause: Duration, error: &DeliveryError) {
        let (shard, position, attempt) = (&self.to.shard, &event.origin.position, event.attempt);
        let error = cause_line(error);
        if self.has_resent {
            tracing::info!(%shard, %position, attempt, %error, "delivery failed on an idle connection; sent again");
        } else if attempt.is_power_of_two() || error != self.logged {
            tracing::warn!(%shard, %position, attempt, wait = ?pause, %error, "delivery failed");
        } else {
            tracing::debug!(%shard, %position, attempt, wait = ?pause, %error, "delivery failed again");
        }
        self.logged = error;
    }

    fn event(&self, record: Record) -> BindingEvent {
        BindingEvent {
            data: record.data,
            origin: EventOrigin {
                shard: self.to.shard.clone(),
                position: record.position,
                partition_key: record.partition_key,
                arrival: record.arrival,
            },
            attempt: 1,
        }
    }
}

#[cfg(test)]
#[path = "tests/delivery.rs"]
mod tests;
