//! Records of one shard to the handler: one at a time, in order, each repeated until it is accepted.
//!
//! This is the room to change for parallel delivery. The rest of the engine only hands over records, waits for
//! [`Delivered`], moves the fence, and asks for a drain; it makes no use of the order in which records are accepted.

use super::vitals::Vitals;
use crate::domain::{
    BindingEvent, ComponentName, DeliveryError, EventHandler, EventOrigin, Record, RecordPosition, ShardId, cause_line,
};
use crate::resilience::Waits;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause between attempts to reach an app that is down.
const MAX_PAUSE_WHILE_DOWN: Duration = Duration::from_secs(2);

/// Whom to deliver for, and to.
#[derive(Debug, Clone)]
pub(super) struct Addressee {
    pub(super) handler: Arc<dyn EventHandler>,
    pub(super) binding: ComponentName,
    pub(super) shard: ShardId,
}

/// What delivery has to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The app accepted this record.
    Accepted(RecordPosition),
    /// After a drain: nothing is in hand any more.
    Settled,
}

/// The records of one shard on their way to the app.
pub(super) struct Delivery {
    to: Addressee,
    vitals: Vitals,
    waits: Waits,
    waiting: VecDeque<Record>,
    hand: Hand,
    fence: Instant,
    mode: Mode,
    /// Whether the last failure was answered by sending the record again without a pause.
    has_resent: bool,
    /// The last failure that was logged of the record in flight.
    logged: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Draining,
    Settled,
}

enum Hand {
    Empty,
    Trying { record: Record, attempt: u32, call: BoxFuture<'static, Result<(), DeliveryError>> },
    Pausing { record: Record, attempt: u32, until: Instant },
}

impl Delivery {
    /// Nothing in hand; no delivery begins at `fence` or later.
    pub(super) const fn new(to: Addressee, vitals: Vitals, waits: Waits, fence: Instant) -> Self {
        Self {
            to,
            vitals,
            waits,
            waiting: VecDeque::new(),
            hand: Hand::Empty,
            fence,
            mode: Mode::Running,
            has_resent: false,
            logged: String::new(),
        }
    }

    /// Takes over records, to be delivered after those it has.
    pub(super) fn push(&mut self, records: Vec<Record>) {
        self.waiting.extend(records);
    }

    /// Moves the moment from which on no delivery may begin.
    pub(super) const fn set_fence(&mut self, fence: Instant) {
        self.fence = fence;
    }

    /// Begins nothing more; only the call that is under way is still waited for.
    pub(super) fn drain(&mut self) {
        self.waiting.clear();
        if !matches!(self.hand, Hand::Trying { .. }) {
            self.hand = Hand::Empty;
        }
        if self.mode == Mode::Running {
            self.mode = Mode::Draining;
        }
    }

    /// Drops everything at once, the call under way too; the app may have seen its record.
    pub(super) fn drop_all(&mut self) {
        self.waiting.clear();
        self.hand = Hand::Empty;
        self.mode = Mode::Settled;
    }

    /// The next thing to tell; waits for ever when there is nothing. Cancel-safe: calls go on when polled again.
    pub(super) async fn next(&mut self) -> Delivered {
        loop {
            match &mut self.hand {
                Hand::Empty => {
                    if self.mode == Mode::Draining {
                        self.mode = Mode::Settled;
                        return Delivered::Settled;
                    }
                    match self.waiting.pop_front() {
                        Some(record) => self.hand = Hand::Pausing { record, attempt: 1, until: Instant::now() },
                        None => std::future::pending().await,
                    }
                }
                Hand::Pausing { until, .. } => {
                    let until = *until;
                    if until > Instant::now() {
                        tokio::time::sleep_until(until).await;
                    }
                    if Instant::now() >= self.fence {
                        // The lease is no longer surely ours; its consumer is about to end.
                        std::future::pending::<()>().await;
                    }
                    self.begin();
                }
                Hand::Trying { call, .. } => {
                    let answer = call.await;
                    if let Some(accepted) = self.settle(answer) {
                        return Delivered::Accepted(accepted);
                    }
                }
            }
        }
    }

    fn begin(&mut self) {
        if let Hand::Pausing { record, attempt, .. } = std::mem::replace(&mut self.hand, Hand::Empty) {
            let event = self.event(&record, attempt);
            let handler = Arc::clone(&self.to.handler);
            let call = Box::pin(async move { handler.handle(&event).await });
            self.hand = Hand::Trying { record, attempt, call };
        }
    }

    fn settle(&mut self, answer: Result<(), DeliveryError>) -> Option<RecordPosition> {
        let Hand::Trying { record, attempt, .. } = std::mem::replace(&mut self.hand, Hand::Empty) else { return None };
        let error = match answer {
            Ok(()) => {
                self.waits.reset();
                self.has_resent = false;
                self.logged.clear();
                self.vitals.metrics.delivered();
                return Some(record.position);
            }
            Err(error) => error,
        };
        if self.mode == Mode::Running {
            let pause = self.pause_after(&error);
            self.log_failure(&record.position, attempt, pause, &error);
            self.vitals.metrics.retried();
            let attempt = attempt.saturating_add(1);
            self.hand = Hand::Pausing { record, attempt, until: Instant::now() + pause };
        }
        None
    }

    /// How long to pause before the record is sent again. Pauses grow, and the app may ask for longer ones only.
    fn pause_after(&mut self, error: &DeliveryError) -> Duration {
        // An idle connection that the app had closed is found out by sending over it; that is no reason to wait, once.
        let may_resend = matches!(error, DeliveryError::Unanswered { was_idle: true, .. }) && !self.has_resent;
        self.has_resent = may_resend;
        if may_resend {
            return Duration::ZERO;
        }
        let pause = self.waits.next_wait();
        match error {
            // An app that is down is called often: it costs little, and records flow sooner when it is back.
            DeliveryError::Unreachable { .. } => pause.min(MAX_PAUSE_WHILE_DOWN),
            _ => pause.max(error.retry_after().unwrap_or_default()),
        }
    }

    /// Logs a failure, but one that repeats only after twice as many attempts each time.
    fn log_failure(&mut self, position: &RecordPosition, attempt: u32, pause: Duration, error: &DeliveryError) {
        let (shard, error) = (&self.to.shard, cause_line(error));
        if self.has_resent {
            tracing::info!(%shard, %position, attempt, %error, "delivery failed on an idle connection; sent again");
        } else if attempt.is_power_of_two() || error != self.logged {
            tracing::warn!(%shard, %position, attempt, wait = ?pause, %error, "delivery failed");
        } else {
            tracing::debug!(%shard, %position, attempt, wait = ?pause, %error, "delivery failed again");
        }
        self.logged = error;
    }

    fn event(&self, record: &Record, attempt: u32) -> BindingEvent {
        BindingEvent {
            binding: self.to.binding.clone(),
            data: record.data.clone(),
            origin: EventOrigin {
                shard: self.to.shard.clone(),
                position: record.position.clone(),
                partition_key: record.partition_key.clone(),
                arrival: record.arrival,
            },
            attempt,
        }
    }
}

#[cfg(test)]
#[path = "tests/delivery.rs"]
mod tests;
