//! The state of a component's credentials, and when they are loaded again. Pure, but for one reading of the wall clock.

use super::super::unsent::NoCredentials;
use crate::resilience::Backoff;
use aws_credential_types::Credentials;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long before their expiry credentials are loaded again.
const REFRESH_BEFORE_EXPIRY: Duration = Duration::from_secs(5 * 60);
/// How often credentials without an expiry are loaded again; as in the SDK's cache.
const REFRESH_WITHOUT_EXPIRY: Duration = Duration::from_secs(15 * 60);
/// The shortest pause between two loads that both succeeded.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// New credentials are used for at least this long. If the local clock is ahead of the service's, they seem to be expired
/// when they arrive.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// Pauses after loads that failed.
const RETRY: Backoff = Backoff::millis(1_000, 30_000);

/// The result of one load.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) credentials: Credentials,
    /// The source and the roles on top of it, as error texts and logs show them.
    pub(super) source: String,
}

#[derive(Debug, Clone)]
pub(super) enum CredentialState {
    /// The first load is running.
    Loading,
    Available(Arc<ActiveCredentials>),
    Missing(NoCredentials),
}

#[derive(Debug)]
pub(super) struct ActiveCredentials {
    pub(super) loaded: Loaded,
    /// `None` for never.
    pub(super) expires_at: Option<Instant>,
    /// When these were loaded, if a refusal caused the load.
    pub(super) reloaded_at: Option<Instant>,
    /// A service refused these: requests wait for the reload.
    pub(super) is_refused: AtomicBool,
}

impl ActiveCredentials {
    pub(super) const fn new(loaded: Loaded, expires_at: Option<Instant>, reloaded_at: Option<Instant>) -> Self {
        Self { loaded, expires_at, reloaded_at, is_refused: AtomicBool::new(false) }
    }
}

/// How long credentials are valid that were loaded just now; `None` for ever.
pub(super) fn lifetime(credentials: &Credentials) -> Option<Duration> {
    #[expect(clippy::disallowed_methods, reason = "an expiry is a moment of the wall clock; read once for each load")]
    let now = SystemTime::now();
    credentials.expiry().map(|expiry| expiry.duration_since(now).unwrap_or_default().max(MIN_LIFETIME))
}

/// When to load again after a load that succeeded. `jitter` is from 0 to 1.
pub(super) fn refresh_in(lifetime: Option<Duration>, jitter: f64) -> Duration {
    let wait = match lifetime {
        None => REFRESH_WITHOUT_EXPIRY,
        Some(lifetime) if lifetime > 2 * REFRESH_BEFORE_EXPIRY => lifetime - REFRESH_BEFORE_EXPIRY,
        // Some sources return the same credentials until shortly before their expiry.
        Some(lifetime) => lifetime / 2,
    };
    // Up to a tenth earlier, so that many sidecars do not refresh at the same moment.
    wait.mul_f64(1.0 - 0.1 * jitter.clamp(0.0, 1.0)).max(MIN_REFRESH_INTERVAL)
}

/// When to load again after this many loads in a row failed, at least 1.
pub(super) fn retry_in(failures: u32) -> Duration {
    RETRY.bound(failures.saturating_sub(1))
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
    fn pauses_between_failed_loads_grow() {
        let waits: Vec<u64> = (1..9).map(|failures| retry_in(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(retry_in(u32::MAX).as_secs(), 30);
    }

    #[test]
    fn credentials_that_seem_expired_when_they_arrive_are_used_for_a_minute() {
        let stale = Credentials::new("AK", "SK", None, Some(SystemTime::UNIX_EPOCH), "test");
        assert_eq!(lifetime(&stale), Some(MIN_LIFETIME));
        assert_eq!(lifetime(&Credentials::new("AK", "SK", None, None, "test")), None);
    }

    proptest! {
        #[test]
        fn a_refresh_comes_before_the_expiry(lifetime in 10_u64..100_000, jitter in 0.0_f64..1.0) {
            let lifetime = Duration::from_secs(lifetime);
            prop_assert!(refresh_in(Some(lifetime), jitter) < lifetime);
        }
    }
}
