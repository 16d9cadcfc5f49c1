//! The credentials of one component, as the SDK and the rest of `aws` see them.

use super::super::ConnectionSettings;
use super::super::transport::Transport;
use super::super::unsent::NoCredentials;
use super::keys::{masked_key_id, static_credentials, usable};
use super::loader::{Loader, TrimmedValues};
use super::refresher::CredentialRefresher;
use super::source::COMPONENT_FILE;
use super::state::{ActiveCredentials, CredentialState, Loaded};
use super::sts::StsClient;
use crate::domain::{BindingError, CredentialReport, FailureKind, Timestamp};
use crate::tasks::Supervisor;
use aws_config::Region;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long a request waits for credentials that are being loaded. It is below the attempt timeouts that we choose, so that
/// a request that was never sent does not look like one whose response was lost. Where the file chooses the timeout,
/// [`CredentialsProvider::with_attempt_timeout`] shortens the wait.
const REQUEST_WAIT: Duration = Duration::from_secs(3);
/// How long `failFast` waits for the first credentials.
const FAIL_FAST_WAIT: Duration = Duration::from_secs(30);
/// The least time between two reloads because of refusals.
const MIN_RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// Cheap to clone; dropping the last clone ends the refresh.
#[derive(Debug, Clone)]
pub(in super::super) struct CredentialsProvider {
    state: watch::Receiver<CredentialState>,
    shared: Arc<Shared>,
    request_wait: Duration,
}

#[derive(Debug)]
struct Shared {
    /// Keeps the channel open for static keys, which have no refresher.
    static_keys: Option<watch::Sender<CredentialState>>,
    _refresher: Supervisor<()>,
    refused: Arc<Notify>,
    sts: StsClient,
    trimmed: TrimmedValues,
}

/// What a refusal leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Other credentials are in use already, or are being loaded: send again.
    Renewed,
    /// There are no others.
    Final,
}

impl CredentialsProvider {
    /// Starts to load, unless the file has keys and no roles. With `failFast` waits for the first credentials.
    ///
    /// # Errors
    /// `Caller` when keys of the file cannot be signed with; with `failFast`, `Unavailable` when no source has credentials,
    /// with the reason of each.
    pub(in super::super) async fn start(
        settings: &ConnectionSettings,
        region: &Region,
        transport: &Transport,
    ) -> Result<Self, BindingError> {
        let loader = Loader::new(settings, region, transport).await;
        let (sts, trimmed, refused) = (loader.sts.clone(), loader.trimmed.clone(), Arc::<Notify>::default());
        let (sender, state) = watch::channel(CredentialState::Loading);
        let (mut refresher, mut static_keys) = (Supervisor::new(), None);
        match &settings.credentials {
            Some(keys) if settings.identity.roles.is_empty() => {
                let usable = usable(static_credentials(keys)).map_err(|unusable| {
                    BindingError::new(FailureKind::Caller, format!("keys of the component file: {unusable}"))
                })?;
                let loaded = Loaded { credentials: usable.credentials, source: COMPONENT_FILE.to_owned() };
                let active = ActiveCredentials::new(loaded, None, None);
                sender.send_replace(CredentialState::Available(Arc::new(active)));
                static_keys = Some(sender);
            }
            Some(_) | None => {
                let (refused, metrics) = (Arc::clone(&refused), settings.metrics.clone());
                refresher.spawn("credentials", CredentialRefresher { loader, state: sender, refused, metrics }.run());
            }
        }
        let shared = Shared { static_keys, _refresher: refresher, refused, sts, trimmed };
        let provider = Self { state, shared: Arc::new(shared), request_wait: REQUEST_WAIT };
        if settings.fail_fast {
            provider.wait(FAIL_FAST_WAIT).await.map_err(|missing| {
                BindingError::new(FailureKind::Unavailable, missing.to_string()).with_source(missing)
            })?;
        }
        Ok(provider)
    }

    /// The same credentials for requests with this attempt timeout: half of it is left for the request.
    pub(in super::super) fn with_attempt_timeout(&self, timeout: Duration) -> Self {
        Self { request_wait: REQUEST_WAIT.min(timeout / 2), ..self.clone() }
    }

    /// STS, as the assumed roles use it.
    pub(in super::super) fn sts(&self) -> &StsClient {
        &self.shared.sts
    }

    /// The source, the last characters of the access key's id, and the values that had white space around them. Waits for
    /// the first load, at most `limit`.
    pub(in super::super) async fn describe(&self, limit: Duration) -> Result<String, NoCredentials> {
        let active = self.wait(limit).await?;
        let loaded = &active.loaded;
        let key = masked_key_id(loaded.credentials.access_key_id());
        Ok(format!("{} ({key}){}", loaded.source, self.shared.trimmed.remark()))
    }

    /// What there is at this moment.
    pub(in super::super) fn report(&self) -> CredentialReport {
        match &*self.state.borrow() {
            CredentialState::Loading => CredentialReport::Loading,
            CredentialState::Available(active) => CredentialReport::Available {
                source: active.loaded.source.clone(),
                expires_at: active.loaded.credentials.expiry().and_then(timestamp),
                is_refused: active.is_refused.load(Ordering::SeqCst),
            },
            CredentialState::Missing(missing) => CredentialReport::Missing { reason: missing.to_string() },
        }
    }

    /// Waits until there are credentials, at most `limit`.
    pub(in super::super) async fn loaded(&self, limit: Duration) -> Result<(), NoCredentials> {
        match self.current() {
            Some(known) => known.map(drop),
            None => self.wait(limit).await.map(drop),
        }
    }

    /// A service refused credentials with this key and token. Starts a reload where one may help.
    pub(super) fn refuse(&self, key: &str, token: Option<&str>) -> Refusal {
        let state = self.state.borrow();
        let active = match &*state {
            CredentialState::Available(active) => active,
            CredentialState::Loading | CredentialState::Missing(_) => return Refusal::Renewed,
        };
        let keys = &active.loaded.credentials;
        let is_other = keys.access_key_id() != key || keys.session_token() != token;
        if is_other || active.is_refused.load(Ordering::SeqCst) {
            return Refusal::Renewed;
        }
        let is_too_soon = active.reloaded_at.is_some_and(|at| at.elapsed() < MIN_RELOAD_INTERVAL);
        if self.shared.static_keys.is_some() || is_too_soon {
            return Refusal::Final;
        }
        if !active.is_refused.swap(true, Ordering::SeqCst) {
            tracing::warn!(source = active.loaded.source, "AWS refused the credentials; they are loaded again");
            self.shared.refused.notify_one();
        }
        Refusal::Renewed
    }

    /// What there is now; `None` while a load is running that is worth waiting for.
    fn current(&self) -> Option<Result<Arc<ActiveCredentials>, NoCredentials>> {
        match &*self.state.borrow() {
            CredentialState::Available(active) if !active.is_refused.load(Ordering::SeqCst) => {
                Some(Ok(Arc::clone(active)))
            }
            CredentialState::Available(_) | CredentialState::Loading => None,
            CredentialState::Missing(missing) => Some(Err(missing.clone())),
        }
    }

    async fn wait(&self, limit: Duration) -> Result<Arc<ActiveCredentials>, NoCredentials> {
        let mut changes = self.state.clone();
        let deadline = Instant::now() + limit;
        loop {
            changes.mark_unchanged();
            if let Some(known) = self.current() {
                return known;
            }
            let reason = match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => "the task that loads them has ended; see the log".to_owned(),
                Err(_) => format!("not loaded after {limit:?}"),
            };
            return Err(NoCredentials { tried: vec![("sources".to_owned(), reason)], retry_at: Instant::now() });
        }
    }
}

fn timestamp(moment: SystemTime) -> Option<Timestamp> {
    let since_1970 = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since_1970.as_millis()).ok().map(Timestamp::from_millis)
}

impl ProvideCredentials for CredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        fn answer(known: Result<Arc<ActiveCredentials>, NoCredentials>) -> provider::Result {
            known.map(|active| active.loaded.credentials.clone()).map_err(CredentialsError::provider_error)
        }
        match self.current() {
            Some(known) => future::ProvideCredentials::ready(answer(known)),
            None => future::ProvideCredentials::new(async { answer(self.wait(self.request_wait).await) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::StaticCredentials;
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_credentials_no_longer_than_half_of_its_attempt() {
        let keys = StaticCredentials { access_key: "key".to_owned(), secret_key: "s".into(), session_token: None };
        let settings = ConnectionSettings { credentials: Some(keys), ..ConnectionSettings::default() };
        let transport = Transport::new(&settings).unwrap();
        let provider = CredentialsProvider::start(&settings, &Region::new("eu-central-1"), &transport).await.unwrap();
        for (timeout, wait) in
            [(60_000, REQUEST_WAIT), (500, Duration::from_millis(250)), (2, Duration::from_millis(1))]
        {
            assert_eq!(provider.with_attempt_timeout(Duration::from_millis(timeout)).request_wait, wait);
        }
    }

    #[tokio::test]
    async fn the_report_has_the_source_and_the_expiry_and_no_part_of_the_keys() {
        let keys = StaticCredentials { access_key: "AKIDKEY".to_owned(), secret_key: "s".into(), session_token: None };
        let settings = ConnectionSettings { credentials: Some(keys), ..ConnectionSettings::default() };
        let transport = Transport::new(&settings).unwrap();
        let mut provider =
            CredentialsProvider::start(&settings, &Region::new("eu-central-1"), &transport).await.unwrap();
        let source = COMPONENT_FILE.to_owned();
        let report = CredentialReport::Available { source, expires_at: None, is_refused: false };
        assert_eq!(provider.report(), report);
        let expiry = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_007);
        let credentials = aws_credential_types::Credentials::new("AKIDKEY", "s", None, Some(expiry), "test");
        let loaded = Loaded { credentials, source: "environment → arn".to_owned() };
        let active = ActiveCredentials::new(loaded, None, None);
        active.is_refused.store(true, Ordering::SeqCst);
        let (sender, state) = watch::channel(CredentialState::Available(Arc::new(active)));
        provider.state = state;
        let expires_at = Some(Timestamp::from_millis(1_700_000_000_007));
        let report =
            CredentialReport::Available { source: "environment → arn".to_owned(), expires_at, is_refused: true };
        assert_eq!(provider.report(), report);
        sender.send_replace(CredentialState::Loading);
        assert_eq!(provider.report(), CredentialReport::Loading);
        let tried = vec![("environment".to_owned(), "not set".to_owned())];
        sender.send_replace(CredentialState::Missing(NoCredentials { tried, retry_at: Instant::now() }));
        let CredentialReport::Missing { reason } = provider.report() else { panic!("there are none") };
        assert!(reason.contains("environment: not set"), "{reason}");
    }
}
