//! The clock of one worker. Each runs at its own rate, and its time of day is ahead or behind, and may jump.

use bindd::domain::Timestamp;
use bindd::testing::MemoryStream;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Rates are between these. An owner stops a fifth of the lease duration early, so the slowest owner must stop before the
/// fastest other worker counts its lease as expired: 0.8 / 0.9 < 1 / 1.1.
pub(crate) const RATES: (f64, f64) = (0.9, 1.1);

/// Clones are the same clock.
#[derive(Debug, Clone)]
pub(crate) struct WorkerClock {
    stream: MemoryStream,
    rate: f64,
    /// How far the time of day is ahead, in milliseconds.
    ahead: Arc<AtomicI64>,
    max_ahead: Arc<AtomicI64>,
}

impl WorkerClock {
    pub(crate) fn new(stream: &MemoryStream, random: &mut fastrand::Rng) -> Self {
        let rate = match random.u32(0..4) {
            0 => RATES.0,
            1 => RATES.1,
            2 => RATES.0 + (RATES.1 - RATES.0) * random.f64(),
            _ => 1.0,
        };
        let ahead = random.i64(-2_000..2_000);
        Self { stream: stream.clone(), rate, ahead: Arc::new(ahead.into()), max_ahead: Arc::new(ahead.into()) }
    }

    /// The time that passes while this clock measures `duration`.
    pub(crate) fn lasts(&self, duration: Duration) -> Duration {
        duration.div_f64(self.rate)
    }

    /// The time of day of this clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.stream.now().as_millis() + self.ahead.load(Ordering::Relaxed))
    }

    /// Sets the time of day to another one, as an operator or NTP may do.
    pub(crate) fn jump(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
        self.max_ahead.fetch_max(ahead, Ordering::Relaxed);
    }

    /// The most that it was ahead at any time.
    pub(crate) fn max_ahead(&self) -> i64 {
        self.max_ahead.load(Ordering::Relaxed)
    }
}

impl fmt::Display for WorkerClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clock {} ms ahead, rate {:.2}", self.ahead.load(Ordering::Relaxed), self.rate)
    }
}
