//! Since when the calls fail without which an input cannot read. Pure: the caller passes the time.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A failure that lasts longer makes the input unhealthy. Throttling and most outages are over sooner, and a deliberate
/// change of a key or policy takes effect within seconds.
pub(super) const MAX_FAILURE: Duration = Duration::from_secs(60);

pub(super) const PREPARE_FAILED: &str = "lease table could not be prepared";
pub(super) const SCAN_FAILED: &str = "leases could not be scanned";
pub(super) const LISTING_FAILED: &str = "stream could not be listed";

/// Each kind of call is independent of the others.
#[derive(Debug, Default)]
pub(super) struct FailingCalls {
    calls: BTreeMap<&'static str, Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    error: String,
}

impl FailingCalls {
    /// `what`: what could not be done.
    pub(super) fn failed(&mut self, what: &'static str, error: String, now: Instant) {
        self.calls.entry(what).or_insert(Failing { since: now, error: String::new() }).error = error;
    }

    pub(super) fn succeeded(&mut self, what: &'static str) {
        self.calls.remove(what);
    }

    /// Since when one of the calls has been failing.
    pub(super) fn since(&self) -> Option<Instant> {
        self.calls.values().map(|failing| failing.since).min()
    }

    /// Of the calls that count, the one that has failed for the longest time, if that is longer than [`MAX_FAILURE`].
    pub(super) fn lasting(&self, counts: impl Fn(&'static str) -> bool, now: Instant) -> Option<String> {
        let calls = self.calls.iter().filter(|(what, _)| counts(what));
        let (what, first) = calls.min_by_key(|(_, failing)| failing.since)?;
        let age = now.saturating_duration_since(first.since);
        (age > MAX_FAILURE).then(|| format!("{what} for {} s: {}", age.as_secs(), first.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_once_it_has_lasted_for_a_minute_and_until_the_call_succeeds() {
        let (mut calls, start) = (FailingCalls::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        calls.failed("leases could not be scanned", "throttled".to_owned(), at(0));
        calls.failed("leases could not be scanned", "timed out".to_owned(), at(50));
        calls.failed("stream could not be listed", "throttled".to_owned(), at(55));
        assert_eq!((calls.since(), calls.lasting(|_| true, at(60))), (Some(at(0)), None));
        assert_eq!(calls.lasting(|_| true, at(61)).as_deref(), Some("leases could not be scanned for 61 s: timed out"));
        assert_eq!(calls.lasting(|what| what != "leases could not be scanned", at(61)), None);
        calls.succeeded("leases could not be scanned");
        assert_eq!(calls.lasting(|_| true, at(61)), None);
        assert_eq!(calls.lasting(|_| true, at(120)).as_deref(), Some("stream could not be listed for 65 s: throttled"));
    }
}
