//! Fetches secrets in rounds.

use super::open::open;
use super::store::SecretStore;
use crate::domain::{BindingError, FailureKind, cause_line};
use crate::manifest::{
    ComponentFiles, Document, FetchFailure, FetchedSecrets, Loaded, SecretKey, SecretValues, WantedSecret,
};
use futures_util::StreamExt as _;
use futures_util::stream;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Secrets that are read at the same time.
const CONCURRENT: usize = 8;
const MAX_ATTEMPTS: u32 = 4;
/// The pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Dapr's `initTimeout`, for the store that has no document.
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// What stores need to know about the sidecar.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions<'a> {
    /// Whether values without a store are secrets of Kubernetes (`--mode kubernetes`).
    pub builtin_kubernetes: bool,
    /// PEM file with further certificate authorities that connections to AWS trust.
    pub ca_bundle: Option<&'a Path>,
}

type Opened = Result<Arc<dyn SecretStore>, String>;

/// Fetches the secrets that component files refer to, and resolves their documents. Each secret is read within the
/// `initTimeout` of its store. A secret that cannot be read is a fault of the value.
pub async fn load(files: ComponentFiles<'_>, options: StoreOptions<'_>) -> Loaded {
    let files = files.with_builtin_kubernetes(options.builtin_kubernetes);
    let mut fetched = FetchedSecrets::default();
    let mut stores: HashMap<String, Opened> = HashMap::new();
    loop {
        // Every wanted secret gets a result, and a result is never wanted again, so this ends.
        let wanted = files.wanted(&fetched);
        if wanted.is_empty() {
            return files.resolved(&fetched);
        }
        for WantedSecret { store, key } in &wanted {
            if let Entry::Vacant(vacant) = stores.entry(key.store.clone()) {
                let opening = open(store.as_ref(), files.namespace(), options.ca_bundle);
                let opened = tokio::time::timeout(limit(store.as_ref()), Box::pin(opening)).await;
                let opened =
                    opened.unwrap_or_else(|_| Err("it could not be opened within its `initTimeout`".to_owned()));
                vacant.insert(opened);
            }
        }
        let fetching = wanted.into_iter().map(|WantedSecret { store, key }| {
            let opened = stores.get(&key.store).cloned();
            let limit = limit(store.as_ref());
            async move {
                let result = fetch(opened, &key, limit).await;
                (key, result)
            }
        });
        let results: Vec<_> = stream::iter(fetching).buffer_unordered(CONCURRENT).collect().await;
        for (key, result) in results {
            fetched.insert(key, result);
        }
    }
}

fn limit(store: Option<&Document>) -> Duration {
    store.map_or(DEFAULT_LIMIT, |document| document.init_timeout)
}

async fn fetch(opened: Option<Opened>, key: &SecretKey, limit: Duration) -> Result<SecretValues, FetchFailure> {
    let failure = |problem: String, remedy: &str| FetchFailure { problem, remedy: remedy.to_owned() };
    let store = match opened {
        Some(Ok(store)) => store,
        Some(Err(problem)) => return Err(failure(problem, "correct the secret store")),
        None => return Err(failure("the store is not open".to_owned(), "correct the secret store")),
    };
    let reading = with_retries(store.as_ref(), key);
    match tokio::time::timeout(limit, reading).await {
        Ok(Ok(values)) => Ok(values),
        Ok(Err(error)) => Err(failure(cause_line(&error), remedy(&error))),
        Err(_) => Err(failure(
            format!("there was no answer within {limit:?}"),
            "raise `initTimeout` of the secret store, or look at its network",
        )),
    }
}

const fn remedy(error: &BindingError) -> &'static str {
    match error.kind() {
        FailureKind::NotFound => "add the secret to the store, or correct its name",
        FailureKind::Denied => "allow the identity of bindd to read this secret",
        FailureKind::Transient | FailureKind::TimedOut | FailureKind::Throttled => {
            "look at the network and the secret store, then start again"
        }
        FailureKind::Unavailable
        | FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => "correct the secret, its reference or its store",
    }
}

async fn with_retries(store: &dyn SecretStore, key: &SecretKey) -> Result<SecretValues, BindingError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..MAX_ATTEMPTS {
        match store.get(key).await {
            // Credentials that are missing do not come within the limit.
            Err(error) if error.may_retry() && error.kind() != FailureKind::Unavailable => {
                tracing::debug!(store = key.store, secret = key.secret, %error, "reading a secret failed; it is tried again");
            }
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    store.get(key).await
}

#[cfg(test)]
#[path = "tests/fetch.rs"]
mod tests;
