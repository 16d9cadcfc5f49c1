//! The handle that the SDK asks for each call.

use super::super::ConnectionSettings;
use super::keeper::{Keeper, Refusals, tail};
use super::key_text::{fixed, usable};
use super::sources::{Source, Sources, TrimmedValues};
use super::standing::{Held, Loaded, NoCredentials, Standing};
use super::sts::{Sts, StsPlace};
use crate::domain::{BindingError, FailureKind};
use crate::tasks::Supervisor;
use aws_config::Region;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a call waits for credentials that are being loaded. Below the limits of attempts that we choose ourselves;
/// where the file chooses one, [`Identities::patient`] shortens the wait. So a call that was never sent does not look
/// like one whose answer was lost.
const CALL_WAIT: Duration = Duration::from_secs(3);
/// How long `failFast` waits for the first credentials.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// How soon after credentials were loaded because of a refusal another refusal may do so again.
const FORCED_PAUSE: Duration = Duration::from_secs(5);
/// The session's name where the file gives none.
const SESSION_NAME: &str = "bindd";

/// A component's credentials. Cheap to clone; the last clone ends the keeping.
#[derive(Debug, Clone)]
pub(in super::super) struct Identities {
    standing: watch::Receiver<Standing>,
    refusals: Arc<Refusals>,
    keeping: Arc<Keeping>,
    call_wait: Duration,
}

/// Ends the keeper with its last holder.
#[derive(Debug)]
struct Keeping {
    /// Keys of the file need no keeper, but somebody who holds the sending side.
    _fixed: Option<watch::Sender<Standing>>,
    _keeper: Supervisor<()>,
    sts: Sts,
    trimmed: TrimmedValues,
}

/// What the world around a component offers.
#[derive(Debug, Clone)]
pub(in super::super) struct Surroundings {
    /// The component's region.
    pub(in super::super) region: Region,
    /// Goes through proxies, where the environment names some.
    pub(in super::super) proxied: SharedHttpClient,
    /// Never does.
    pub(in super::super) direct: SharedHttpClient,
}

/// What came of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Other credentials are in use already, or are being loaded.
    Renewed,
    /// There are no others to be had.
    Final,
}

impl Identities {
    /// Begins to load, unless the file has keys and no roles. With `failFast` waits for the first credentials.
    ///
    /// # Errors
    /// `Caller` when keys of the file cannot be signed with; with `failFast`, `Unavailable` when no source has credentials,
    /// with what each said.
    pub(in super::super) async fn start(
        settings: &ConnectionSettings,
        around: Surroundings,
    ) -> Result<Self, BindingError> {
        let sources = sources(settings, around).await;
        let identities = match &settings.credentials {
            Some(keys) if sources.roles.is_empty() => {
                let usable = usable(fixed(keys)).map_err(|unusable| {
                    BindingError::new(FailureKind::Caller, format!("keys of the component file: {unusable}"))
                })?;
                let loaded = Loaded { credentials: usable.credentials, source: "component file".to_owned() };
                Self::fixed(loaded, sources.sts, sources.trimmed)
            }
            Some(_) | None => Self::kept(sources, settings),
        };
        if settings.fail_fast {
            let first = identities.wait(FIRST_WAIT).await;
            first.map_err(|missing| {
                BindingError::new(FailureKind::Unavailable, missing.to_string()).with_source(missing)
            })?;
        }
        Ok(identities)
    }

    fn fixed(loaded: Loaded, sts: Sts, trimmed: TrimmedValues) -> Self {
        let held = Held { loaded, generation: 1, forced: None, ends: None };
        let (sender, standing) = watch::channel(Standing::Held(Arc::new(held)));
        let keeping = Keeping { _fixed: Some(sender), _keeper: Supervisor::new(), sts, trimmed };
        Self { standing, refusals: Arc::default(), keeping: Arc::new(keeping), call_wait: CALL_WAIT }
    }

    fn kept(sources: Sources, settings: &ConnectionSettings) -> Self {
        let (sender, standing) = watch::channel(Standing::Loading);
        let (refusals, sts, trimmed) = (Arc::<Refusals>::default(), sources.sts.clone(), sources.trimmed.clone());
        let keeper = Keeper {
            sources,
            standing: sender,
            refusals: Arc::clone(&refusals),
            metrics: settings.metrics.clone(),
            held: None,
        };
        let mut tasks = Supervisor::new();
        tasks.spawn("credentials", keeper.keep());
        let keeping = Keeping { _fixed: None, _keeper: tasks, sts, trimmed };
        Self { standing, refusals, keeping: Arc::new(keeping), call_wait: CALL_WAIT }
    }

    /// The same credentials for calls whose attempts end after `limit`: half of it is left for the call itself.
    pub(in super::super) fn patient(&self, limit: Duration) -> Self {
        Self { call_wait: CALL_WAIT.min(limit / 2), ..self.clone() }
    }

    /// STS, as these credentials use it.
    pub(in super::super) fn sts(&self) -> &Sts {
        &self.keeping.sts
    }

    /// Where the credentials came from, the last characters of their access key's id, and what had to be trimmed. Waits
    /// for the first load.
    ///
    /// # Errors
    /// With what each source said.
    pub(in super::super) async fn describe(&self, limit: Duration) -> Result<String, NoCredentials> {
        let held = self.wait(limit).await?;
        let key = tail(held.loaded.credentials.access_key_id());
        Ok(format!("{} ({key}){}", held.loaded.source, self.keeping.trimmed.remark()))
    }

    /// Waits until there are credentials, at most `limit`.
    ///
    /// # Errors
    /// With what each source said.
    pub(in super::super) async fn loaded(&self, limit: Duration) -> Result<(), NoCredentials> {
        match self.now() {
            Some(known) => known.map(drop),
            None => self.wait(limit).await.map(drop),
        }
    }

    /// The service refused credentials with this key and token. Begins a new load where one may help.
    pub(super) fn refuse(&self, key: &str, token: Option<&str>) -> Refusal {
        let standing = self.standing.borrow();
        let held = match &*standing {
            Standing::Held(held) => held,
            Standing::Loading | Standing::Missing(_) => return Refusal::Renewed,
        };
        let keys = &held.loaded.credentials;
        let is_other = keys.access_key_id() != key || keys.session_token() != token;
        if is_other || held.generation <= self.refusals.upto.load(Ordering::SeqCst) {
            return Refusal::Renewed;
        }
        let is_too_soon = held.forced.is_some_and(|at| at.elapsed() < FORCED_PAUSE);
        if self.keeping._fixed.is_some() || is_too_soon {
            return Refusal::Final;
        }
        tracing::warn!(source = held.loaded.source, "aws refused the credentials, they are loaded again");
        self.refusals.upto.fetch_max(held.generation, Ordering::SeqCst);
        self.refusals.told.notify_one();
        Refusal::Renewed
    }

    /// What stands now, unless it is worth waiting.
    fn now(&self) -> Option<Result<Arc<Held>, NoCredentials>> {
        match &*self.standing.borrow() {
            Standing::Held(held) if held.generation > self.refusals.upto.load(Ordering::SeqCst) => {
                Some(Ok(Arc::clone(held)))
            }
            Standing::Held(_) | Standing::Loading => None,
            Standing::Missing(missing) => Some(Err(missing.clone())),
        }
    }

    async fn wait(&self, limit: Duration) -> Result<Arc<Held>, NoCredentials> {
        let mut changes = self.standing.clone();
        let deadline = Instant::now() + limit;
        loop {
            changes.mark_unchanged();
            if let Some(known) = self.now() {
                return known;
            }
            let said = match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => "the task that loads them has ended; see the log".to_owned(),
                Err(_) => format!("not loaded after {limit:?}"),
            };
            return Err(NoCredentials { tried: vec![("sources".to_owned(), said)], retry_at: Instant::now() });
        }
    }

    async fn provide(&self) -> provider::Result {
        self.wait(self.call_wait)
            .await
            .map(|held| held.loaded.credentials.clone())
            .map_err(CredentialsError::provider_error)
    }
}

impl ProvideCredentials for Identities {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.now() {
            Some(known) => future::ProvideCredentials::ready(
                known.map(|held| held.loaded.credentials.clone()).map_err(CredentialsError::provider_error),
            ),
            None => future::ProvideCredentials::new(self.provide()),
        }
    }
}

async fn sources(settings: &ConnectionSettings, around: Surroundings) -> Sources {
    let identity = &settings.identity;
    let places = match &settings.credentials {
        Some(keys) => vec![Source::Static(keys.clone())],
        None => Source::all(&identity.source, identity.profile.as_deref(), identity.credentials_file.as_deref()),
    };
    let place = StsPlace {
        region: around.region.clone(),
        endpoint: identity.sts_endpoint.clone(),
        use_fips: settings.use_fips,
        use_dual_stack: settings.use_dual_stack,
    };
    let config = |http: SharedHttpClient| {
        ProviderConfig::without_region()
            .with_region(Some(around.region.clone()))
            .with_use_fips(Some(settings.use_fips))
            .with_use_dual_stack(Some(settings.use_dual_stack))
            .with_http_client(http)
    };
    Sources {
        places,
        roles: identity.roles.clone(),
        external_id: identity.external_id.clone(),
        session_name: identity.session_name.clone().unwrap_or_else(|| SESSION_NAME.to_owned()),
        session_duration: identity.session_duration,
        sts: Sts::new(place, around.proxied.clone()).await,
        proxied: config(around.proxied.clone()),
        direct: config(around.direct.clone()),
        trimmed: TrimmedValues::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::StaticCredentials;
    use super::*;

    #[tokio::test]
    async fn a_call_waits_for_credentials_no_longer_than_half_of_its_attempt() {
        let keys = StaticCredentials { access_key: "key".to_owned(), secret_key: "s".into(), session_token: None };
        let settings = ConnectionSettings { credentials: Some(keys), ..ConnectionSettings::default() };
        let http = SharedHttpClient::new(aws_smithy_http_client::Builder::new().build_http());
        let around = Surroundings { region: Region::new("eu-central-1"), proxied: http.clone(), direct: http };
        let identities = Identities::start(&settings, around).await.unwrap();
        for (limit, wait) in [(60_000, CALL_WAIT), (500, Duration::from_millis(250)), (2, Duration::from_millis(1))] {
            assert_eq!(identities.patient(Duration::from_millis(limit)).call_wait, wait);
        }
    }
}
