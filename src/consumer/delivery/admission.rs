//! Admits requests to the app: a limited number at a time, and one probe at a time while the app is down. Shared by all
//! inputs of the process, since they have one app.

use super::adaptive_limit::AdaptiveLimit;
use super::circuit::{Admission, Circuit};
use crate::domain::{Accepted, DeliveryError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(in super::super) struct AppAdmission {
    slots: Arc<Semaphore>,
    // A lock and not an owner task: held for a few comparisons, never across a wait.
    state: Mutex<State>,
    /// The circuit changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limit: AdaptiveLimit,
    max: usize,
    /// Slots that are withheld because the limit is below the maximum.
    withheld: usize,
    in_flight: usize,
    circuit: Circuit,
    /// When the app last answered a request.
    answered_at: Option<Instant>,
}

/// The right to send one request. It must be reported with [`AppPermit::finish`]; dropping it means that the request was
/// given up.
#[derive(Debug)]
pub(super) struct AppPermit {
    admission: Arc<AppAdmission>,
    slot: Option<OwnedSemaphorePermit>,
    /// The slot of the input.
    _input_slot: OwnedSemaphorePermit,
    is_probe: bool,
    begun: Instant,
}

impl AppAdmission {
    pub(in super::super) fn new(max: usize, seed: u64) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        let limit = AdaptiveLimit::new(max, Instant::now());
        let state = State { limit, max, withheld: 0, in_flight: 0, circuit: Circuit::new(seed), answered_at: None };
        Self { slots: Arc::new(Semaphore::new(max)), state: Mutex::new(state), changed: Notify::new() }
    }

    /// At once, if a slot is free and the app is not known to be down.
    pub(super) fn try_acquire(self: &Arc<Self>, input_slots: &Arc<Semaphore>) -> Option<AppPermit> {
        if !self.state().circuit.is_closed() {
            return None;
        }
        let input_slot = Arc::clone(input_slots).try_acquire_owned().ok()?;
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some(self.begin(slot, input_slot, false))
    }

    /// Waits for a slot and for the app. Slots are given in the order of the requests; dropping the future loses the place.
    /// `None` never happens, as semaphores are not closed.
    pub(super) async fn acquire(self: Arc<Self>, input_slots: Arc<Semaphore>) -> Option<AppPermit> {
        let input_slot = input_slots.acquire_owned().await.ok()?;
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let is_probe = self.admitted().await;
        Some(self.begin(slot, input_slot, is_probe))
    }

    /// Waits for the slot of a request that the circuit and the adaptive limit do not learn from. `None` never happens.
    pub(in super::super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Since when the app is down; `None` while it answers.
    pub(in super::super) fn down_since(&self) -> Option<Instant> {
        self.state().circuit.down_since()
    }

    /// The app answered something that was no event.
    pub(in super::super) fn app_answered(&self) {
        if self.state().circuit.answered() {
            tracing::info!("the app is up again");
            self.changed.notify_waiters();
        }
    }

    /// Waits until the circuit admits a request, and returns whether that is a probe.
    async fn admitted(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            let admission = self.state().circuit.admit(Instant::now());
            match admission {
                Admission::Send => return false,
                Admission::Probe => return true,
                Admission::Wait(None) => changed.await,
                Admission::Wait(Some(until)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    fn begin(
        self: &Arc<Self>,
        slot: OwnedSemaphorePermit,
        input_slot: OwnedSemaphorePermit,
        is_probe: bool,
    ) -> AppPermit {
        let mut state = self.state();
        state.in_flight += 1;
        let in_flight = state.in_flight;
        state.limit.started(in_flight);
        AppPermit {
            admission: Arc::clone(self),
            slot: Some(slot),
            _input_slot: input_slot,
            is_probe,
            begun: Instant::now(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the number of slots follow the limit. Slots that are in use are withheld when they come back.
    fn adjust(&self, state: &mut State) {
        let wanted = state.max - state.limit.limit();
        if wanted > state.withheld {
            state.withheld += self.slots.forget_permits(wanted - state.withheld);
        } else {
            self.slots.add_permits(state.withheld - wanted);
            state.withheld = wanted;
        }
    }
}

impl AppPermit {
    /// The request begins now: the time before it is no latency of the app.
    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Reports the result of the request, and returns whether the app is down. `not_http_since`: since when the answers to
    /// these events are not HTTP; if the app has answered others meanwhile, it is not down.
    pub(super) fn finish(mut self, result: &Result<Accepted, DeliveryError>, not_http_since: Option<Instant>) -> bool {
        // Nothing was sent, so nothing is known about the app; dropping the permit gives its place back.
        if matches!(result, Err(DeliveryError::Held { .. })) {
            return false;
        }
        let now = Instant::now();
        let admission = Arc::clone(&self.admission);
        let mut state = admission.state();
        let error = result.as_ref().err();
        let others_answered = not_http_since.is_some_and(|since| state.answered_at.is_some_and(|at| at > since));
        let is_down = error.is_some_and(DeliveryError::is_app_down) && !others_answered;
        let is_response = error.is_none_or(DeliveryError::is_response);
        if is_response {
            state.answered_at = Some(now);
        }
        // A probe without a response does not show that the app is up.
        let is_changed = if is_down || (self.is_probe && !is_response && !others_answered) {
            if state.circuit.app_down(self.is_probe, now) {
                tracing::warn!("the app is down; inputs wait for it");
            }
            true
        } else {
            let is_overload = error.is_some_and(|error| matches!(error.status(), Some(429 | 503)));
            state.limit.answered(self.begun, is_overload, now);
            let was_down = state.circuit.answered();
            if was_down {
                tracing::info!("the app is up again");
            }
            was_down
        };
        self.is_probe = false;
        drop(state);
        if is_changed {
            admission.changed.notify_waiters();
        }
        is_down
    }
}

impl Drop for AppPermit {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.in_flight -= 1;
        if self.is_probe {
            state.circuit.probe_dropped(Instant::now());
        }
        let wanted = state.max - state.limit.limit();
        if state.withheld < wanted
            && let Some(slot) = self.slot.take()
        {
            slot.forget();
            state.withheld += 1;
        }
        self.admission.adjust(&mut state);
        drop(state);
        if self.is_probe {
            self.admission.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
#[path = "tests/admission.rs"]
mod tests;
