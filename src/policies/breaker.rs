//! The circuit breaker: stops calls that are likely to fail. Pure, the caller passes the time.
//!
//! ```text
//!  Closed ──trip──► Open ──timeout──► HalfOpen ──maxRequests successes──► Closed
//!                    ▲                    │ a failure
//!                    └────────────────────┘
//! ```

use super::counts::Counts;
use super::expression::Trip;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// `circuitBreakers.<name>`
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSpec {
    /// `maxRequests`: calls that are admitted while half-open, and successes that close it; at least 1, default 1.
    pub max_requests: u32,
    /// `interval`: how often the counts of a closed breaker are cleared; `None`, written 0, is never.
    pub interval: Option<Duration>,
    /// `timeout`: how long it stays open; default 60 s.
    pub timeout: Duration,
    /// `trip`: whether a failure opens it; default `consecutiveFailures > 5`.
    pub trip: Trip,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self { max_requests: 1, interval: None, timeout: Duration::from_secs(60), trip: Trip::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

impl BreakerState {
    /// Dapr's word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call is not admitted. The texts are Dapr's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("circuit breaker is open")]
    Open {
        /// How long it stays open.
        remaining: Duration,
    },
    /// It is half-open, and enough calls are in flight.
    #[error("too many requests")]
    TooManyRequests,
}

impl Rejection {
    /// When the next call may be admitted, as far as that is known.
    #[must_use]
    pub const fn wait(self) -> Duration {
        match self {
            Self::Open { remaining } => remaining,
            Self::TooManyRequests => Duration::from_secs(1),
        }
    }
}

/// An admitted call. It must be given back by [`CircuitBreaker::report`] or [`CircuitBreaker::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Ticket {
    generation: u64,
}

#[derive(Debug)]
pub struct CircuitBreaker {
    spec: BreakerSpec,
    state: BreakerState,
    /// Grows whenever the counts are cleared, so that a call counts only for the counts that it began with.
    generation: u64,
    counts: Counts,
    /// When a closed breaker clears its counts, and when an open one becomes half-open.
    expiry: Option<Instant>,
}

impl CircuitBreaker {
    /// A closed one.
    #[must_use]
    pub fn new(spec: BreakerSpec, now: Instant) -> Self {
        let expiry = spec.interval.map(|interval| now + interval);
        Self { spec, state: BreakerState::Closed, generation: 0, counts: Counts::default(), expiry }
    }

    #[must_use]
    pub const fn spec(&self) -> &BreakerSpec {
        &self.spec
    }

    /// The state at the last call of another method.
    #[must_use]
    pub const fn last_state(&self) -> BreakerState {
        self.state
    }

    /// The state at the moment `now`.
    pub fn state_at(&mut self, now: Instant) -> BreakerState {
        if self.expiry.is_some_and(|expiry| now >= expiry) {
            match self.state {
                BreakerState::Closed => self.begin(BreakerState::Closed, now),
                BreakerState::Open => self.begin(BreakerState::HalfOpen, now),
                BreakerState::HalfOpen => {}
            }
        }
        self.state
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// When it may not.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Rejection> {
        match self.state_at(now) {
            BreakerState::Open => {
                let remaining = self.expiry.map_or(Duration::ZERO, |expiry| expiry.saturating_duration_since(now));
                return Err(Rejection::Open { remaining });
            }
            BreakerState::HalfOpen if self.counts.requests >= self.spec.max_requests.max(1) => {
                return Err(Rejection::TooManyRequests);
            }
            BreakerState::HalfOpen | BreakerState::Closed => {}
        }
        self.counts.requests = self.counts.requests.saturating_add(1);
        Ok(Ticket { generation: self.generation })
    }

    /// Counts the result of a call.
    pub fn report(&mut self, ticket: Ticket, is_success: bool, now: Instant) {
        let state = self.state_at(now);
        if ticket.generation != self.generation {
            return;
        }
        let counts = &mut self.counts;
        if is_success {
            counts.total_successes = counts.total_successes.saturating_add(1);
            counts.consecutive_successes = counts.consecutive_successes.saturating_add(1);
            counts.consecutive_failures = 0;
            if state == BreakerState::HalfOpen && counts.consecutive_successes >= self.spec.max_requests.max(1) {
                self.begin(BreakerState::Closed, now);
            }
            return;
        }
        counts.total_failures = counts.total_failures.saturating_add(1);
        counts.consecutive_failures = counts.consecutive_failures.saturating_add(1);
        counts.consecutive_successes = 0;
        if state == BreakerState::HalfOpen || self.spec.trip.is_met(&self.counts) {
            self.begin(BreakerState::Open, now);
        }
    }

    /// A call that says nothing about the service: its caller went away, or the request itself was wrong.
    pub fn cancel(&mut self, ticket: Ticket) {
        if ticket.generation == self.generation {
            self.counts.requests = self.counts.requests.saturating_sub(1);
        }
    }

    fn begin(&mut self, state: BreakerState, now: Instant) {
        self.state = state;
        self.generation += 1;
        self.counts = Counts::default();
        self.expiry = match state {
            BreakerState::Closed => self.spec.interval.map(|interval| now + interval),
            BreakerState::Open => Some(now + self.spec.timeout),
            BreakerState::HalfOpen => None,
        };
    }
}

#[cfg(test)]
#[path = "tests/breaker.rs"]
mod tests;
