//! What follows from a failed delivery. Pure.

use super::super::settings::DeliverySettings;
use super::lanes::History;
use crate::domain::{DeliveryError, GiveUpReason, RedeliveryPolicy};
use std::time::Duration;

/// What decides about events that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) settings: &'a DeliverySettings,
    /// Its pauses replace those of the settings.
    pub(super) policy: Option<&'a dyn RedeliveryPolicy>,
    /// Whether there is a place for events that a policy gives up. Without one they go on being delivered.
    pub(super) keeps_dead_letters: bool,
}

impl Rules<'_> {
    /// The lower limit counts.
    fn max_attempts(&self) -> Option<u32> {
        let of_policy = self.policy.filter(|_| self.keeps_dead_letters).and_then(RedeliveryPolicy::max_attempts);
        self.settings.max_attempts.into_iter().chain(of_policy).min()
    }

    fn is_permanent(&self, status: u16) -> bool {
        self.settings.permanent_statuses.contains(&status)
            || (self.keeps_dead_letters && self.policy.is_some_and(|policy| !policy.is_retried(status)))
    }
}

/// What happens next to a record whose delivery failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// It is sent again after this pause.
    Retry(Duration),
    GiveUp(GiveUpReason),
}

/// What a failed request means for each of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The app is down: the records wait for the circuit breaker, and no attempt counts.
    AppDown,
    /// What answered is not the app, or the app answers other events only. No attempt counts. The record waits, so that
    /// the next request is another one, which shows which of both it is.
    NotHttp,
    /// The app is overloaded and asked for a pause. No attempt counts.
    Overload,
    /// Nothing was sent: the circuit breaker of the component is open. No attempt counts.
    Held(Duration),
    /// The request used an idle connection that the app had closed. It is sent again once, at once.
    IdleConnectionClosed,
    /// The records are sent again in smaller batches. No attempt counts.
    Split,
    Counted,
    /// The app said that it will never accept the record.
    Permanent,
}

/// Classifies the failure of a request with `records` records; `history` is that of the first. `is_app_down`: what
/// [`AppPermit::finish`](super::admission::AppPermit::finish) concluded from it.
pub(super) fn classify(
    error: &DeliveryError,
    is_app_down: bool,
    records: usize,
    history: &History,
    rules: Rules<'_>,
) -> Failure {
    if let DeliveryError::Held { wait, .. } = error {
        return Failure::Held(*wait);
    }
    let is_permanent = error.status().is_some_and(|status| rules.is_permanent(status));
    if is_permanent && records == 1 {
        return Failure::Permanent;
    }
    // A permanent refusal of a batch does not say which record it is meant for.
    if is_permanent {
        return Failure::Split;
    }
    let is_overload = matches!(error.status(), Some(429 | 503)) && error.retry_after().is_some();
    if is_app_down {
        return if matches!(error, DeliveryError::NotHttp { .. }) { Failure::NotHttp } else { Failure::AppDown };
    }
    if is_overload {
        return Failure::Overload;
    }
    if matches!(error, DeliveryError::Unanswered { was_idle: true, .. }) && !history.was_resent {
        return Failure::IdleConnectionClosed;
    }
    if rules.settings.bisect_on_error && records > 1 { Failure::Split } else { Failure::Counted }
}

/// Records a failure of one record of a request with `records` records, and decides what happens to the record.
/// `random` is from 0 to 1.
pub(super) fn record_failure(
    history: &mut History,
    failure: Failure,
    error: &DeliveryError,
    (records, random): (usize, f64),
    rules: Rules<'_>,
) -> NextStep {
    if let Failure::Held(wait) = failure {
        return NextStep::Retry(wait.max(Duration::from_millis(1)));
    }
    history.was_resent = failure == Failure::IdleConnectionClosed;
    if matches!(failure, Failure::IdleConnectionClosed | Failure::AppDown) {
        return NextStep::Retry(Duration::ZERO);
    }
    let pause = pause(history.failures, error, random, rules);
    history.failures = history.failures.saturating_add(1);
    match failure {
        Failure::AppDown | Failure::NotHttp | Failure::Overload | Failure::Held(_) | Failure::IdleConnectionClosed => {}
        Failure::Split => history.max_batch = Some((records / 2).max(1)),
        Failure::Counted => {
            let attempts = history.attempts.saturating_add(1);
            match rules.max_attempts().filter(|max| attempts >= *max) {
                Some(_) if records == 1 => {
                    history.attempts = attempts;
                    return NextStep::GiveUp(GiveUpReason::Attempts);
                }
                // The request does not say which of its records fails, and the others are not given up for it.
                Some(_) => history.max_batch = Some((records / 2).max(1)),
                None => history.attempts = attempts,
            }
        }
        Failure::Permanent => {
            history.attempts = history.attempts.saturating_add(1);
            return NextStep::GiveUp(GiveUpReason::PermanentStatus);
        }
    }
    NextStep::Retry(pause)
}

/// As the policy says, else full jitter; at least a millisecond. `Retry-After` can only make it longer.
pub(super) fn pause(failures: u32, error: &DeliveryError, random: f64, rules: Rules<'_>) -> Duration {
    let own = || rules.settings.retry.bound(failures).mul_f64(random);
    let backoff = rules.policy.map_or_else(own, |policy| policy.wait(failures, random));
    backoff.max(Duration::from_millis(1)).max(error.retry_after().unwrap_or_default())
}

#[cfg(test)]
#[path = "tests/attempts.rs"]
mod tests;
