//! Asks the app by `ListInputBindings` which inputs it accepts.

use super::channel::GrpcChannel;
use crate::domain::{ComponentName, DeliveryError, Stop, cause_line};
use crate::resilience::Backoff;

/// Waits between calls without a clear result.
const BETWEEN_CALLS: Backoff = Backoff::millis(500, 10_000);

/// Whether the app accepts the events of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscribed {
    Yes,
    /// It does not name the input; why, for the log.
    No(String),
}

impl GrpcChannel {
    /// Calls until the app has answered, with growing waits of up to 10 s; `None` when stopped. daprd calls once, and takes
    /// a failure for an empty list. `after_first` is called after the first call, whatever its result. Cancel-safe.
    pub async fn is_subscribed(&self, name: &ComponentName, stop: &Stop, after_first: impl Fn()) -> Option<Subscribed> {
        let mut waits = BETWEEN_CALLS.waits(fastrand::u64(..));
        loop {
            let listed = tokio::select! {
                // Biased: a stop outranks a response that arrives at the same time.
                biased;
                () = stop.finishing() => return None,
                listed = self.list_input_bindings() => listed,
            };
            after_first();
            let error = match listed {
                Ok(names) => return Some(find(name, &names)),
                Err(DeliveryError::RefusedCall { code: "UNIMPLEMENTED", .. }) => {
                    return Some(Subscribed::No("the app does not implement AppCallback/ListInputBindings".to_owned()));
                }
                Err(error) => error,
            };
            let wait = waits.next_wait().max(error.retry_after().unwrap_or_default());
            // An app may take minutes to start, so the line is logged after 1, 2, 4, 8, … calls.
            if waits.taken().is_power_of_two() {
                tracing::warn!(
                    component = %name, tries = waits.taken(), error = %cause_line(&error), retry_in = ?wait,
                    "app did not say whether it accepts the input; set `direction: input` to read it without asking"
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

/// Names are compared exactly, as in daprd.
fn find(name: &ComponentName, names: &[String]) -> Subscribed {
    if names.iter().any(|listed| listed == name.as_str()) {
        return Subscribed::Yes;
    }
    let similar = names.iter().find(|listed| listed.eq_ignore_ascii_case(name.as_str()));
    Subscribed::No(match similar {
        Some(similar) => format!("ListInputBindings of the app names `{similar}`: the case must be the same"),
        None => "ListInputBindings of the app does not name it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_match_exactly() {
        let name: ComponentName = "Orders".parse().unwrap();
        assert_eq!(find(&name, &["x".to_owned(), "Orders".to_owned()]), Subscribed::Yes);
        let Subscribed::No(reason) = find(&name, &["orders".to_owned()]) else { panic!("accepted") };
        assert!(reason.contains("`orders`"), "{reason}");
        assert!(matches!(find(&name, &[]), Subscribed::No(_)));
    }
}
