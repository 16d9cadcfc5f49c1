//! Asks the app by `OPTIONS` whether it accepts the events of an input.

use super::{AppChannel, Route};
use crate::domain::{DeliveryError, Stop, cause_line};
use crate::resilience::Backoff;

/// Waits between probes without a clear result.
const BETWEEN_PROBES: Backoff = Backoff::millis(500, 10_000);

const METHOD_NOT_ALLOWED: u16 = 405;

/// The result of `OPTIONS` on a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 2xx or 405: the app accepts events there.
    Accepted,
    /// A status that will not change while the app runs: the app does not accept events there.
    Rejected {
        status: u16,
        /// The status and what the response says, for the log.
        reason: String,
    },
}

impl AppChannel {
    /// Sends one `OPTIONS` to the route: 2xx and 405 mean yes, any other status that will not change means no.
    ///
    /// # Errors
    /// When there was no response in time, or a temporary one such as 503; then nothing is known.
    pub async fn probe(&self, route: &Route) -> Result<Answer, DeliveryError> {
        match self.options(route).await {
            Ok(()) => Ok(Answer::Accepted),
            Err(DeliveryError::Refused { status: METHOD_NOT_ALLOWED, .. }) => Ok(Answer::Accepted),
            Err(error) => match error {
                DeliveryError::Refused { status, .. } if !is_temporary(status) => {
                    Ok(Answer::Rejected { status, reason: error.to_string() })
                }
                _ => Err(error),
            },
        }
    }

    /// Probes until the app says yes or no, with growing waits of up to 10 s, or those of `Retry-After` if they are longer;
    /// `None` when stopped. `probed` is called after each probe, whatever its result. daprd probes once, and reads every status
    /// except 2xx and 405 as a no. Cancel-safe.
    pub async fn until_answered(&self, route: &Route, stop: &Stop, probed: impl Fn() + Send + Sync) -> Option<Answer> {
        let mut waits = BETWEEN_PROBES.waits(fastrand::u64(..));
        loop {
            let result = tokio::select! {
                // Biased: a stop outranks a response that arrives at the same time.
                biased;
                () = stop.finishing() => return None,
                result = self.probe(route) => result,
            };
            probed();
            let error = match result {
                Ok(answer) => return Some(answer),
                Err(error) => error,
            };
            let wait = waits.next_wait().max(error.retry_after().unwrap_or_default());
            // An app may take minutes to start, so the line is logged after 1, 2, 4, 8, … probes.
            if waits.taken().is_power_of_two() {
                tracing::warn!(
                    path = %route, tries = waits.taken(), error = %cause_line(&error), retry_in = ?wait,
                    "app did not say whether it accepts the input; check --app-protocol (`https` with TLS), or set \
                     `direction: input` to read it without a probe"
                );
            }
            tokio::select! {
                biased;
                () = stop.finishing() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Whether an app, or a gateway before it, is starting or overloaded. 501 and 505 are permanent: they say what the server
/// supports.
const fn is_temporary(status: u16) -> bool {
    match status {
        408 | 425 | 429 => true,
        501 | 505 => false,
        _ => matches!(status, 500..=599),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_statuses_are_distinguished_from_a_rejection() {
        for status in [408, 425, 429, 500, 502, 503, 504, 507, 520, 529, 599] {
            assert!(is_temporary(status), "{status}");
        }
        for status in [101, 301, 302, 307, 308, 400, 401, 403, 404, 406, 410, 418, 426, 431, 451, 501, 505, 600] {
            assert!(!is_temporary(status), "{status}");
        }
    }
}
