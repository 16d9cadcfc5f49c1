//! Waits for the firings of a schedule, and delivers each to the app.

use super::civil::Civil;
use super::schedule::Schedule;
use super::ticker::{MAX_COUNTED, Tick, Ticker, seconds};
use crate::domain::{BindingError, ComponentName, DrainLimits, EventHandler, InputBinding, Message, Stop};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// As in Dapr, a firing does not wait for the one before it. But an app that does not answer must not fill the memory.
const MAX_IN_FLIGHT: usize = 64;
/// While the app fails, one line is logged for this many firings.
const FAILURES_PER_LOG: u64 = 100;

#[derive(Debug)]
pub(super) struct Input {
    pub(super) component: ComponentName,
    pub(super) schedule: Schedule,
    pub(super) metrics: InputMetrics,
    /// At a stop, how long deliveries may take to end.
    pub(super) drain_limits: DrainLimits,
    /// The time since 1970.
    pub(super) clock: fn() -> Duration,
    /// When the last read ended: firings between two reads were missed.
    pub(super) stopped_at: Mutex<Option<Duration>>,
    /// Firings in a row that the app did not accept.
    pub(super) failed: Mutex<u64>,
}

#[expect(clippy::disallowed_methods, reason = "a schedule is about wall-clock time")]
pub(super) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[async_trait]
impl InputBinding for Input {
    async fn read(&self, handler: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError> {
        self.report_missed();
        let mut ticker = Ticker::new(self.schedule.clone(), (self.clock)());
        let mut deliveries = FuturesUnordered::new();
        loop {
            let wait = match ticker.tick((self.clock)()) {
                Tick::Fire { skipped } => {
                    if skipped > 0 {
                        self.skipped(skipped, "the clock jumped or the process slept");
                    }
                    if deliveries.len() < MAX_IN_FLIGHT {
                        deliveries.push(self.deliver(handler.as_ref()));
                    } else {
                        self.skipped(1, "the app has not answered the firings before");
                    }
                    continue;
                }
                Tick::Wait(wait) => wait,
                Tick::Never => Duration::MAX,
            };
            tokio::select! {
                // Biased: nothing fires after a stop request.
                biased;
                () = stop.finishing() => break,
                Some(()) = deliveries.next() => {}
                () = sleep(wait) => {}
            }
        }
        *self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.clock)());
        let drained = async { while deliveries.next().await.is_some() {} };
        tokio::select! {
            () = drained => {}
            () = stop.overdue(self.drain_limits) => {
                tracing::warn!(component = %self.component, "app did not answer a firing before the end of the stop");
            }
            () = stop.forced() => {}
        }
        Ok(())
    }
}

impl Input {
    fn report_missed(&self) {
        let stopped = self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(stopped), false) = (stopped, self.schedule.is_every()) {
            let missed = self.schedule.count(seconds(stopped), seconds((self.clock)()), MAX_COUNTED);
            if missed > 0 {
                self.skipped(missed, "the input was not read, as the app was not healthy");
            }
        }
    }

    fn skipped(&self, count: usize, reason: &'static str) {
        tracing::warn!(component = %self.component, count, reason, "firings of the schedule were skipped");
        (0..count).for_each(|_| self.metrics.dropped());
    }

    async fn deliver(&self, handler: &dyn EventHandler) {
        let now = (self.clock)();
        // Dapr sends the zone of its process, which Go always names so, and not that of the schedule.
        let metadata = vec![("timeZone".to_owned(), "Local".to_owned()), ("readTimeUTC".to_owned(), go_time(now))];
        let message = Message { binding: self.component.clone(), data: Bytes::new(), metadata, max_reply: None };
        let result = handler.handle_message(&message).await;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => {
                self.metrics.delivered();
                if *failed > 0 {
                    tracing::info!(component = %self.component, failed = *failed, "app accepts firings again");
                }
                *failed = 0;
            }
            Err(error) => {
                self.metrics.dropped();
                if failed.is_multiple_of(FAILURES_PER_LOG) {
                    tracing::warn!(
                        component = %self.component, %error, failed = *failed + 1,
                        "firing was not accepted and is not repeated"
                    );
                }
                *failed += 1;
            }
        }
    }
}

/// A time in UTC as Go's `Time.String` prints it: `2026-11-27 13:17:09.5 +0000 UTC`.
fn go_time(time: Duration) -> String {
    let civil = Civil::from_local(seconds(time));
    let second = civil.second_of_day;
    let fraction = match time.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let Civil { year, month, day, .. } = civil;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

#[cfg(test)]
#[path = "tests/input.rs"]
mod tests;
