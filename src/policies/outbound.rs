//! Runs calls of an output under its policies: `retry(circuit breaker(timeout(call)))`.

use super::breaker::Rejection;
use super::observer::{Flow, PolicyKind};
use super::registry::{Active, Policies};
use crate::domain::{BindingError, FailureKind, GoDuration, Outcome, Stop, cause_line};
use tokio::time::Instant;

/// The policies of one call.
#[derive(Debug)]
pub struct OutboundPolicy<'p> {
    active: Active<'p>,
    stop: &'p Stop,
}

/// A failed attempt.
struct Failed {
    error: BindingError,
    /// Whether the breaker did not admit it; then nothing was sent, and no retry follows.
    is_rejected: bool,
}

impl Policies {
    /// The policies for one call of a component's output; `None` if none applies.
    #[must_use]
    pub fn outbound<'p>(&'p self, component: &'p str) -> Option<OutboundPolicy<'p>> {
        let active = self.active(component, Flow::Outbound)?;
        active.executed();
        Some(OutboundPolicy { active, stop: &self.stop })
    }
}

impl OutboundPolicy<'_> {
    /// Whether it repeats the call, so that the component must not do so too.
    #[must_use]
    pub const fn retries(&self) -> bool {
        self.active.retry.is_some()
    }

    /// Makes attempts until one succeeds, or no more may follow. Cancel-safe if the attempts are.
    ///
    /// As in Dapr, a call is repeated also if an earlier attempt may have taken effect. Unlike in Dapr, a request that is
    /// itself at fault is not repeated, and does not count for the breaker.
    ///
    /// # Errors
    /// The last failure; its outcome is unknown if that of any attempt is.
    pub async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, BindingError>
    where
        F: Future<Output = Result<T, BindingError>>,
    {
        let component = self.active.component;
        let (begun, mut random) = (Instant::now(), fastrand::Rng::new());
        let (mut attempts, mut outcome, mut has_timed_out) = (0_u32, Outcome::NotDone, false);
        loop {
            attempts = attempts.saturating_add(1);
            let failed = match self.once(&mut attempt, &mut has_timed_out).await {
                Ok(value) => {
                    if attempts > 1 {
                        tracing::info!(
                            "Recovered processing operation component[{component}] output after {attempts} attempts"
                        );
                    }
                    return Ok(value);
                }
                Err(failed) => failed,
            };
            if failed.error.outcome() == Outcome::Unknown {
                outcome = Outcome::Unknown;
            }
            let at_least = failed.error.retry_after().unwrap_or_default();
            let retry =
                self.active.retry.as_ref().filter(|_| !failed.is_rejected && !is_request_at_fault(&failed.error));
            let wait = retry.and_then(|retry| retry.next(attempts - 1, begun.elapsed(), at_least, random.f64()));
            let Some(wait) = wait.filter(|_| !self.stop.is_finishing()) else {
                return Err(failed.error.with_outcome(outcome));
            };
            if attempts == 1 {
                self.active.activated(PolicyKind::Retry);
                let shown = GoDuration(wait);
                tracing::warn!("Error processing operation component[{component}] output. Retrying in {shown}…");
                let error = cause_line(&failed.error);
                tracing::debug!(error, "Error for operation component[{component}] output");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.finishing() => return Err(failed.error.with_outcome(outcome)),
            }
        }
    }

    async fn once<T, F>(&self, attempt: &mut impl FnMut() -> F, has_timed_out: &mut bool) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, BindingError>>,
    {
        let admitted = match self.active.breaker.as_ref().map(|breaker| breaker.admit()).transpose() {
            Ok(admitted) => admitted,
            Err(rejection) => return Err(Failed { error: rejected(rejection), is_rejected: true }),
        };
        let result = match self.active.timeout {
            None => attempt().await,
            Some(limit) => tokio::time::timeout(limit, attempt()).await.unwrap_or_else(|_| {
                if !std::mem::replace(has_timed_out, true) {
                    self.active.activated(PolicyKind::Timeout);
                }
                let error = BindingError::new(FailureKind::TimedOut, "context deadline exceeded");
                Err(error.with_outcome(Outcome::Unknown))
            }),
        };
        // A request that is itself at fault says nothing about the service, so its place is given back by the drop.
        if let Some(admitted) = admitted.filter(|_| !result.as_ref().is_err_and(is_request_at_fault))
            && let Some(state) = admitted.report(result.is_ok())
        {
            self.active.activated(PolicyKind::CircuitBreaker(state));
        }
        result.map_err(|error| Failed { error, is_rejected: false })
    }
}

fn rejected(rejection: Rejection) -> BindingError {
    BindingError::new(FailureKind::Unavailable, rejection.to_string()).with_retry_after(rejection.wait()).unsent()
}

/// Whether the same request cannot succeed, whatever the state of the service is.
fn is_request_at_fault(error: &BindingError) -> bool {
    let is_final = match error.kind() {
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => true,
        FailureKind::NotFound
        | FailureKind::Denied
        | FailureKind::Throttled
        | FailureKind::Transient
        | FailureKind::Unavailable
        | FailureKind::TimedOut => false,
    };
    is_final && !error.may_retry()
}

#[cfg(test)]
#[path = "tests/outbound.rs"]
mod tests;
