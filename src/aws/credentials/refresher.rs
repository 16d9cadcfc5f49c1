//! The one task that loads a component's credentials and publishes their state.

use super::super::unsent::NoCredentials;
use super::keys::masked_key_id;
use super::loader::Loader;
use super::state::{ActiveCredentials, CredentialState, Loaded, lifetime, refresh_in, retry_in};
use crate::telemetry::CredentialMetrics;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often watched files are checked.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Owns the state of a component's credentials.
#[derive(Debug)]
pub(super) struct CredentialRefresher {
    pub(super) loader: Loader,
    pub(super) state: watch::Sender<CredentialState>,
    /// Notified at each refusal.
    pub(super) refused: Arc<Notify>,
    pub(super) metrics: Option<CredentialMetrics>,
}

impl CredentialRefresher {
    /// Loads, publishes and waits, until it is dropped.
    pub(super) async fn run(self) {
        let files = self.loader.files();
        let mut failures = 0;
        loop {
            // Taken before loading, so that a change during the load counts as a change.
            let fingerprints = fingerprints(&files);
            let reloaded_at = self.is_refused().then(Instant::now);
            let wait = match Box::pin(self.loader.load()).await {
                Ok(loaded) => {
                    failures = 0;
                    self.loaded(loaded, reloaded_at)
                }
                Err(tried) => {
                    failures += 1;
                    self.failed(tried, reloaded_at, failures)
                }
            };
            self.wait(wait, &files, &fingerprints).await;
        }
    }

    fn active(&self) -> Option<Arc<ActiveCredentials>> {
        match &*self.state.borrow() {
            CredentialState::Available(active) => Some(Arc::clone(active)),
            CredentialState::Loading | CredentialState::Missing(_) => None,
        }
    }

    fn is_refused(&self) -> bool {
        self.active().is_some_and(|active| active.is_refused.load(Ordering::SeqCst))
    }

    fn loaded(&self, loaded: Loaded, reloaded_at: Option<Instant>) -> Duration {
        let lifetime = lifetime(&loaded.credentials);
        if self.active().is_none_or(|active| !is_same(&active.loaded, &loaded)) {
            let key = masked_key_id(loaded.credentials.access_key_id());
            tracing::info!(source = loaded.source, key, expires_in = ?lifetime, "AWS credentials loaded");
        }
        if let Some(metrics) = &self.metrics {
            let since_1970 = |moment: SystemTime| moment.duration_since(SystemTime::UNIX_EPOCH).ok();
            metrics.loaded(loaded.credentials.expiry().and_then(since_1970));
        }
        self.publish(loaded, lifetime.map(|lifetime| Instant::now() + lifetime), reloaded_at);
        refresh_in(lifetime, fastrand::f64())
    }

    /// Credentials that have not expired stay in use, refused or not: there are no better ones.
    fn failed(&self, tried: Vec<(String, String)>, reloaded_at: Option<Instant>, failures: u32) -> Duration {
        if let Some(metrics) = &self.metrics {
            metrics.failed();
        }
        let (now, wait) = (Instant::now(), retry_in(failures));
        let error = NoCredentials { tried, retry_at: now + wait };
        match self.active().filter(|active| active.expires_at.is_none_or(|end| now < end)) {
            Some(active) => {
                let left = active.expires_at.map(|end| end.duration_since(now));
                tracing::warn!(%error, expires_in = ?left, "AWS credentials could not be renewed; the old ones stay in use");
                self.publish(active.loaded.clone(), active.expires_at, reloaded_at);
                wait.min(left.unwrap_or(wait))
            }
            None => {
                tracing::warn!(%error, retry_in = ?wait, "AWS credentials could not be loaded");
                self.state.send_replace(CredentialState::Missing(error));
                wait
            }
        }
    }

    /// Replaces refused credentials too, so that no request waits for better ones than there are.
    fn publish(&self, loaded: Loaded, expires_at: Option<Instant>, reloaded_at: Option<Instant>) {
        let active = ActiveCredentials::new(loaded, expires_at, reloaded_at);
        self.state.send_replace(CredentialState::Available(Arc::new(active)));
    }

    /// Until the time is over, a watched file changed, or the credentials were refused.
    async fn wait(&self, time: Duration, files: &[PathBuf], seen: &[Option<Fingerprint>]) {
        let due = Instant::now() + time;
        loop {
            let next_check = if files.is_empty() { due } else { due.min(Instant::now() + FILE_CHECK_INTERVAL) };
            tokio::select! {
                // A refusal during the load notifies too, but that load has already replaced the credentials.
                () = self.refused.notified() => {
                    if self.is_refused() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(next_check) => {
                    if next_check == due || fingerprints(files) != seen {
                        return;
                    }
                }
            }
        }
    }
}

fn is_same(one: &Loaded, other: &Loaded) -> bool {
    let (one, other) = (&one.credentials, &other.credentials);
    one.access_key_id() == other.access_key_id()
        && one.session_token() == other.session_token()
        && one.expiry() == other.expiry()
}

/// Time of the last change, size, and inode (0 where there is none).
type Fingerprint = (Option<SystemTime>, u64, u64);

/// From the metadata of files; `None` for one that does not exist. Blocks for as long as the file system takes for `stat`.
fn fingerprints(paths: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    // Follows links: Kubernetes swaps a link when it renews a mounted secret.
    let metadata = paths.iter().map(|path| std::fs::metadata(path).ok());
    metadata.map(|found| found.map(|file| (file.modified().ok(), file.len(), inode(&file)))).collect()
}

#[cfg(unix)]
fn inode(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
const fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_a_replacement_and_a_new_file_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let paths = [path.clone()];
        let absent = fingerprints(&paths);
        fs::write(&path, "one").unwrap();
        let first = fingerprints(&paths);
        assert_ne!(absent, first);
        assert_eq!(first, fingerprints(&paths));
        fs::write(&path, "longer").unwrap();
        let second = fingerprints(&paths);
        assert_ne!(first, second);
        // The size is the same and the time may be: only the inode surely differs.
        fs::write(folder.path().join("new"), "LONGER").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_ne!(second, fingerprints(&paths));
    }
}
