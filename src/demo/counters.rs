//! Counts orders on their way through the demo.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Which of the two inputs delivered an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Polling.
    Shared,
    /// Enhanced fan-out.
    FanOut,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::FanOut => "fan-out",
        })
    }
}

/// Incremented by traffic and shop, shown by the screen.
#[derive(Debug, Clone)]
pub(super) struct Counters(Arc<Values>);

#[derive(Debug)]
struct Values {
    started: Instant,
    put: AtomicU64,
    shared: AtomicU64,
    fan_out: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
    /// Microseconds from the start to the first delivery; 0 before it.
    first_delivery: AtomicU64,
}

/// The values at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) put: u64,
    pub(super) shared: u64,
    pub(super) fan_out: u64,
    pub(super) stored: u64,
    pub(super) failed: u64,
    pub(super) first_delivery: Option<Duration>,
}

impl Counters {
    pub(super) fn new(started: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Values {
            started,
            put: zero(),
            shared: zero(),
            fan_out: zero(),
            stored: zero(),
            failed: zero(),
            first_delivery: zero(),
        }))
    }

    pub(super) fn put(&self) {
        self.0.put.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn delivered(&self, mode: Mode) {
        let elapsed = u64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Only the first delivery sets it.
        self.0.first_delivery.update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |first| if first == 0 { elapsed } else { first },
        );
        let counter = match mode {
            Mode::Shared => &self.0.shared,
            Mode::FanOut => &self.0.fan_out,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stored(&self) {
        self.0.stored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let first = read(&self.0.first_delivery);
        Totals {
            put: read(&self.0.put),
            shared: read(&self.0.shared),
            fan_out: read(&self.0.fan_out),
            stored: read(&self.0.stored),
            failed: read(&self.0.failed),
            first_delivery: (first > 0).then(|| Duration::from_micros(first)),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { put, shared, fan_out, stored, failed, first_delivery: _ } = self;
        write!(f, "put {put}, delivered shared {shared}, fan-out {fan_out}, stored {stored}, failed {failed}")
    }
}
