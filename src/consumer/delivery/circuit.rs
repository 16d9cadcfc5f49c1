//! Circuit breaker for an app that is down. Pure.
//!
//! ```text
//!  Closed ──app is down──► Open(until) ──until──► HalfOpen: one request ──app answered──► Closed
//!                            ▲                        │ app is down, or the request was dropped
//!                            └────────────────────────┘
//! ```

use crate::resilience::{Backoff, Waits};
use tokio::time::Instant;

/// Short pauses, so that delivery resumes soon after the app is back.
const PAUSES: Backoff = Backoff::millis(100, 2_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Send,
    /// As the only request, which shows whether the app is up again.
    Probe,
    /// Not before this moment, or, with `None`, the result of the probe.
    Wait(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    waits: Waits,
    /// Since when it is not closed.
    opened_at: Option<Instant>,
}

impl Circuit {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: State::Closed, waits: PAUSES.waits(seed), opened_at: None }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Since when the app is down.
    pub(super) const fn down_since(&self) -> Option<Instant> {
        self.opened_at
    }

    /// Whether a request may be sent now. A request that is admitted as a probe must be reported.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Send,
            State::Open { until } if now < until => Admission::Wait(Some(until)),
            State::Open { .. } => {
                self.state = State::HalfOpen;
                Admission::Probe
            }
            State::HalfOpen => Admission::Wait(None),
        }
    }

    /// The app answered, whatever the answer was. True if that closed the circuit.
    pub(super) fn answered(&mut self) -> bool {
        self.waits.reset();
        self.opened_at = None;
        std::mem::replace(&mut self.state, State::Closed) != State::Closed
    }

    /// The app is down. True if that opened a circuit that was closed. Requests that were in flight when the circuit opened
    /// change nothing.
    pub(super) fn app_down(&mut self, is_probe: bool, now: Instant) -> bool {
        let was_closed = self.is_closed();
        if was_closed || is_probe {
            self.opened_at.get_or_insert(now);
            self.state = State::Open { until: now + self.waits.next_wait() };
        }
        was_closed
    }

    /// The probe was dropped before its result; another may be sent.
    pub(super) fn probe_dropped(&mut self, now: Instant) {
        if self.state == State::HalfOpen {
            self.state = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_open_circuit_admits_one_probe_at_a_time() {
        let (mut circuit, now) = (Circuit::new(1), Instant::now());
        assert_eq!(circuit.admit(now), Admission::Send);
        assert!(circuit.app_down(false, now));
        assert!(!circuit.app_down(false, now), "a request that was in flight changes nothing");
        let Admission::Wait(Some(until)) = circuit.admit(now) else { panic!("the circuit is not open") };
        assert!(until <= now + Duration::from_millis(100));
        assert_eq!(circuit.admit(until), Admission::Probe);
        assert_eq!(circuit.admit(until), Admission::Wait(None));
        assert!(!circuit.app_down(true, until));
        assert!(matches!(circuit.admit(until), Admission::Wait(Some(_))));
        let later = until + Duration::from_secs(3);
        assert_eq!(circuit.admit(later), Admission::Probe);
        assert!(circuit.answered());
        assert_eq!(circuit.admit(later), Admission::Send);
    }

    #[test]
    fn a_probe_that_was_dropped_is_replaced() {
        let (mut circuit, now) = (Circuit::new(1), Instant::now());
        circuit.app_down(false, now);
        let later = now + Duration::from_secs(3);
        assert_eq!(circuit.admit(later), Admission::Probe);
        circuit.probe_dropped(later);
        assert_eq!(circuit.admit(later), Admission::Probe);
    }

    #[test]
    fn pauses_grow_to_two_seconds() {
        let (mut circuit, mut now) = (Circuit::new(1), Instant::now());
        circuit.app_down(false, now);
        for _ in 0..50 {
            let Admission::Wait(Some(until)) = circuit.admit(now) else { panic!("the circuit is not open") };
            assert!(until > now && until - now <= Duration::from_secs(2));
            now = until;
            assert_eq!(circuit.admit(now), Admission::Probe);
            circuit.app_down(true, now);
        }
    }
}
