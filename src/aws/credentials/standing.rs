//! What is known about a component's credentials, and when to look again. Pure but for the wall clock's one reading.

use aws_credential_types::Credentials;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long before expiry credentials are loaded anew.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// How often credentials without an expiry are loaded anew; as the SDK's cache does.
const WITHOUT_EXPIRY: Duration = Duration::from_secs(15 * 60);
/// The shortest pause between two loads that both went well.
const SHORTEST: Duration = Duration::from_secs(5);
/// The least life that is believed of credentials that just came: by a clock that is ahead of the service's they would
/// seem expired at birth.
const NEWBORN: Duration = Duration::from_secs(60);
/// The longest pause after loads that failed.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What one load gave.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) credentials: Credentials,
    /// The source, and the roles on top of it, in words.
    pub(super) source: String,
}

/// The state that calls see.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Nothing came yet.
    Loading,
    /// There are credentials.
    Held(Arc<Held>),
    /// There are none.
    Missing(NoCredentials),
}

/// Credentials in use.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) loaded: Loaded,
    /// Counts what was published; a refusal names the last one that it is about.
    pub(super) generation: u64,
    /// When a refusal made us load these.
    pub(super) forced: Option<Instant>,
    /// When they end; `None` for never.
    pub(super) ends: Option<Instant>,
}

/// No source gave credentials. `Display` names every source that was asked and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct NoCredentials {
    /// Source and answer, in the order of asking.
    pub(super) tried: Vec<(String, String)>,
    /// When they are looked for again.
    pub(super) retry_at: Instant,
}

impl NoCredentials {
    /// How long until they are looked for again.
    pub(in super::super) fn retry_in(&self) -> Duration {
        self.retry_at.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
impl NoCredentials {
    pub(in super::super) fn for_tests(source: &str, said: &str, retry_in: Duration) -> Self {
        Self { tried: vec![(source.to_owned(), said.to_owned())], retry_at: Instant::now() + retry_in }
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no AWS credentials could be had: ")?;
        for (source, said) in &self.tried {
            write!(f, "{source}: {said}; ")?;
        }
        f.write_str("give one of these what it needs, or set `accessKey` and `secretKey` in the component's metadata")
    }
}

impl std::error::Error for NoCredentials {}

/// How much longer credentials live that were loaded just now; `None` for ever.
pub(super) fn life(credentials: &Credentials) -> Option<Duration> {
    #[expect(clippy::disallowed_methods, reason = "an expiry is a moment of the wall clock; read once for each load")]
    let now = SystemTime::now();
    credentials.expiry().map(|expiry| expiry.duration_since(now).unwrap_or_default().max(NEWBORN))
}

/// When to load again after a load that went well. `jitter` is from 0 to 1.
pub(super) fn refresh_in(life: Option<Duration>, jitter: f64) -> Duration {
    let wait = match life {
        None => WITHOUT_EXPIRY,
        Some(life) if life > 2 * AHEAD => life - AHEAD,
        // Some sources hand out the same credentials until shortly before their end.
        Some(life) => life / 2,
    };
    // Up to a tenth earlier, so that many sidecars do not ask at once.
    wait.mul_f64(1.0 - 0.1 * jitter.clamp(0.0, 1.0)).max(SHORTEST)
}

/// When to load again after so many loads in a row failed, at least 1.
pub(super) fn retry_in(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_refreshed_five_minutes_ahead() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(refresh_in(Some(hour), 0.0), Duration::from_secs(3_300));
        assert_eq!(refresh_in(Some(Duration::from_secs(400)), 0.0), Duration::from_secs(200));
        assert_eq!(refresh_in(None, 0.0), Duration::from_secs(900));
    }

    #[test]
    fn failed_loads_are_repeated_ever_slower() {
        let waits: Vec<u64> = (1..9).map(|failures| retry_in(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(retry_in(u32::MAX).as_secs(), 30);
    }

    #[test]
    fn what_seems_expired_at_birth_is_used_for_a_minute() {
        let stale = Credentials::new("AK", "SK", None, Some(SystemTime::UNIX_EPOCH), "test");
        assert_eq!(life(&stale), Some(NEWBORN));
        assert_eq!(life(&Credentials::new("AK", "SK", None, None, "test")), None);
    }

    #[test]
    fn the_error_names_each_source_and_what_it_said() {
        let tried = vec![("environment".to_owned(), "not set".to_owned()), ("instance".to_owned(), "no".to_owned())];
        let text = NoCredentials { tried, retry_at: Instant::now() }.to_string();
        assert!(text.contains("environment: not set; instance: no; give one"), "{text}");
    }

    proptest! {
        #[test]
        fn a_refresh_comes_before_the_end(life in 10_u64..100_000, jitter in 0.0_f64..1.0) {
            let life = Duration::from_secs(life);
            prop_assert!(refresh_in(Some(life), jitter) < life);
        }
    }
}
