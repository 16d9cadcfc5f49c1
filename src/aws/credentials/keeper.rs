//! The one task that loads a component's credentials and says what stands.

use super::files::prints;
use super::sources::Sources;
use super::standing::{Held, Loaded, NoCredentials, Standing, life, refresh_in, retry_in};
use crate::telemetry::CredentialMetrics;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often watched files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What the keeper and those who ask share.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The generation up to which credentials were refused.
    pub(super) upto: AtomicU64,
    /// Told at each refusal.
    pub(super) told: Notify,
}

/// Owns the state.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) sources: Sources,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) metrics: Option<CredentialMetrics>,
    /// What is held, if anything.
    pub(super) held: Option<Arc<Held>>,
}

impl Keeper {
    /// Loads, publishes, waits, for ever. Dropping the future ends the keeping; nothing is left half done.
    pub(super) async fn keep(mut self) {
        let files = self.sources.files();
        let mut failures = 0;
        loop {
            // Looked at before loading: what changes meanwhile is seen as a change.
            let seen = prints(&files);
            let forced = self.is_refused().then(Instant::now);
            let wait = match Box::pin(self.sources.load()).await {
                Ok(loaded) => {
                    failures = 0;
                    self.hold(loaded, forced)
                }
                Err(error) => {
                    failures += 1;
                    self.go_without(error, forced, failures)
                }
            };
            self.wait(wait, &files, &seen).await;
        }
    }

    fn is_refused(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.generation <= self.refusals.upto.load(Ordering::SeqCst))
    }

    fn hold(&mut self, loaded: Loaded, forced: Option<Instant>) -> Duration {
        let life = life(&loaded.credentials);
        let is_new = self.held.as_ref().is_none_or(|held| !is_same(&held.loaded, &loaded));
        if is_new {
            let key = tail(loaded.credentials.access_key_id());
            tracing::info!(source = loaded.source, key, expires_in = ?life, "aws credentials were loaded");
        }
        if let Some(metrics) = &self.metrics {
            let since_1970 = |moment: SystemTime| moment.duration_since(SystemTime::UNIX_EPOCH).ok();
            metrics.loaded(loaded.credentials.expiry().and_then(since_1970));
        }
        self.publish(loaded, forced, life.map(|life| Instant::now() + life));
        refresh_in(life, fastrand::f64())
    }

    /// What is held stays until its own end; refused or not, it is the best there is.
    fn go_without(&mut self, error: NoCredentials, forced: Option<Instant>, failures: u32) -> Duration {
        if let Some(metrics) = &self.metrics {
            metrics.failed();
        }
        let mut wait = retry_in(failures);
        let now = Instant::now();
        match self.held.take().filter(|held| held.ends.is_none_or(|end| now < end)) {
            Some(held) => {
                let left = held.ends.map(|end| end.duration_since(now));
                tracing::warn!(%error, expires_in = ?left, "aws credentials could not be renewed, the old ones are kept");
                wait = wait.min(left.unwrap_or(wait));
                self.publish(held.loaded.clone(), forced, held.ends);
            }
            None => {
                tracing::warn!(%error, retry_in = ?wait, "no aws credentials could be loaded");
                self.standing.send_replace(Standing::Missing(NoCredentials { retry_at: now + wait, ..error }));
            }
        }
        wait
    }

    fn publish(&mut self, loaded: Loaded, forced: Option<Instant>, ends: Option<Instant>) {
        // Above all that was refused, so that nobody waits for what is the best there is.
        let generation = self.refusals.upto.load(Ordering::SeqCst) + 1;
        let held = Arc::new(Held { loaded, generation, forced, ends });
        self.held = Some(Arc::clone(&held));
        self.standing.send_replace(Standing::Held(held));
    }

    /// Until the time is over, a watched file changed, or what is held was refused.
    async fn wait(&self, time: Duration, files: &[PathBuf], seen: &[super::files::Print]) {
        let due = Instant::now() + time;
        loop {
            let look = if files.is_empty() { due } else { due.min(Instant::now() + LOOK) };
            tokio::select! {
                () = self.refusals.told.notified() => {
                    if self.is_refused() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(look) => {
                    if look == due || prints(files) != seen {
                        return;
                    }
                }
            }
        }
    }
}

fn is_same(one: &Loaded, other: &Loaded) -> bool {
    let facts = |loaded: &Loaded| {
        let keys = &loaded.credentials;
        (keys.access_key_id().to_owned(), keys.session_token().map(str::to_owned), keys.expiry())
    };
    facts(one) == facts(other)
}

/// The last four letters of an access key's id: enough to tell keys apart, too few to use one.
pub(super) fn tail(key: &str) -> String {
    let start = key.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    if key.len() < 8 { "…".to_owned() } else { format!("…{}", key.get(start..).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_by_its_last_letters_only() {
        assert_eq!(tail("AKIAIOSFODNN7EXAMPLE"), "…MPLE");
        assert_eq!(tail("short"), "…");
    }
}
