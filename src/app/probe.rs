//! Asks the app whether it wants a binding.

use super::{AppChannel, Route};
use crate::domain::{DeliveryError, Stop, cause_line};
use crate::resilience::Backoff;

/// Waits between probes that brought neither a yes nor a no.
const BETWEEN_PROBES: Backoff = Backoff::millis(500, 10_000);

const METHOD_NOT_ALLOWED: u16 = 405;

/// What the app said to `OPTIONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 2xx or 405: it takes events there.
    Wanted,
    /// A status that will not change while the app runs: it does not.
    NotWanted {
        /// The HTTP status.
        status: u16,
        /// The status and what came with it, for the log.
        reason: String,
    },
}

impl AppChannel {
    /// Asks once, by `OPTIONS` on the route: 2xx and 405 mean yes, any other status that will not change means no.
    ///
    /// # Errors
    /// When the app gave no answer in time, or one that says "not now"; then nothing is known.
    pub async fn wants(&self, route: &Route) -> Result<Answer, DeliveryError> {
        match self.options(route).await {
            Ok(()) => Ok(Answer::Wanted),
            Err(DeliveryError::Refused { status: METHOD_NOT_ALLOWED, .. }) => Ok(Answer::Wanted),
            Err(error) => match error {
                DeliveryError::Refused { status, .. } if !is_temporary(status) => {
                    Ok(Answer::NotWanted { status, reason: error.to_string() })
                }
                _ => Err(error),
            },
        }
    }

    /// Asks until the app says yes or no, each try under the same limit, with growing waits of up to 10 s between them,
    /// or what `Retry-After` asks for if that is longer; `None` when stopped. daprd asks once, takes each status but
    /// 2xx and 405 for a no, and gives up on every binding it has not yet asked about. Cancel-safe.
    pub async fn until_answered(&self, route: &Route, stop: &Stop) -> Option<Answer> {
        let mut waits = BETWEEN_PROBES.waits(fastrand::u64(..));
        loop {
            let asked = tokio::select! {
                // Stopping outranks an answer that arrives in the same moment.
                biased;
                () = stop.asked() => return None,
                asked = self.wants(route) => asked,
            };
            let error = match asked {
                Ok(answer) => return Some(answer),
                Err(error) => error,
            };
            let wait = waits.next_wait().max(error.retry_after().unwrap_or_default());
            // An app may take minutes to start: the first line, then each after twice as many tries.
            if waits.taken().is_power_of_two() {
                tracing::warn!(
                    path = %route, tries = waits.taken(), error = %cause_line(&error), retry_in = ?wait,
                    "app did not say whether it takes the input; set `direction: input` to read without asking"
                );
            }
            tokio::select! {
                biased;
                () = stop.asked() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Whether a status says "not now": an app, or a gateway before it, that is still starting or has too much to do. 501
/// and 505 are about what the server is able to do at all.
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
    fn statuses_that_say_not_now_are_told_from_those_that_say_no() {
        for status in [408, 425, 429, 500, 502, 503, 504, 507, 520, 529, 599] {
            assert!(is_temporary(status), "{status}");
        }
        for status in [101, 301, 302, 307, 308, 400, 401, 403, 404, 406, 410, 418, 426, 431, 451, 501, 505, 600] {
            assert!(!is_temporary(status), "{status}");
        }
    }
}
