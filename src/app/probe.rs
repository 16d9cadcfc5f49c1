//! Asks the app whether it wants a binding.

use super::{AppChannel, Route};
use crate::domain::{DeliveryError, Stop};
use crate::resilience::Backoff;

/// Waits between probes that came to no answer.
const BETWEEN_PROBES: Backoff = Backoff::millis(500, 10_000);

const METHOD_NOT_ALLOWED: u16 = 405;

/// What the app said to `OPTIONS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 2xx or 405: it takes events there.
    Wanted,
    /// Any other status: it does not.
    NotWanted,
}

impl AppChannel {
    /// Asks once, by `OPTIONS` on the route: 2xx and 405 mean yes, any other status no (the rule of daprd).
    ///
    /// # Errors
    /// When the app gave no answer in time; then nothing is known.
    pub async fn wants(&self, route: &Route) -> Result<Answer, DeliveryError> {
        match self.options(route).await {
            Ok(()) | Err(DeliveryError::Refused { status: METHOD_NOT_ALLOWED, .. }) => Ok(Answer::Wanted),
            Err(DeliveryError::Refused { .. }) => Ok(Answer::NotWanted),
            Err(unanswered @ (DeliveryError::TimedOut { .. } | DeliveryError::Unreachable { .. })) => Err(unanswered),
        }
    }

    /// Asks until the app answers, each try under the same limit, with waits of up to 10 s between them; `None` when
    /// told to stop. daprd asks once and gives up on every binding it has not yet asked about. Cancel-safe.
    pub async fn until_answered(&self, route: &Route, stop: &Stop) -> Option<Answer> {
        let mut waits = BETWEEN_PROBES.waits(fastrand::u64(..));
        loop {
            let asked = tokio::select! {
                // Stopping outranks an answer that arrives in the same moment.
                biased;
                () = stop.asked() => return None,
                asked = self.wants(route) => asked,
            };
            let wait = waits.next_wait();
            match asked {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!(%route, %error, retry_in = ?wait, "app did not answer the probe"),
            }
            tokio::select! {
                biased;
                () = stop.asked() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
