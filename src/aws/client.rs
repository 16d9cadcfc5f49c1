//! What the clients of one component share.

use super::clock::NoteClock;
use super::credentials::{Identities, NoCredentials, NoteSigner, RefusedIdentity, Surroundings};
use super::transport::Transport;
use super::{ConnectionSettings, region};
use crate::domain::{BindingError, FailureKind};
use crate::manifest::{Environment, ProcessEnvironment};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How long one attempt of a call may take, from its start to the last byte of its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for a read, whose answer may be 10 MiB.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// No call is answered in less; the timer's smallest step is half of it.
const LEAST_CALL: Duration = Duration::from_millis(2);
/// How long the default chain may look for a region; off EC2 its last source is an address that nobody answers.
const REGION_TIMEOUT: Duration = Duration::from_secs(5);

/// The way of one component to AWS. Cheap to clone; clones share pool, credentials and the bound on open calls.
#[derive(Clone)]
pub struct Connection {
    sdk: SdkConfig,
    transport: Transport,
    identities: Identities,
    max_calls: Option<NonZeroUsize>,
    calls: Option<Arc<Semaphore>>,
}

/// What the SDK may do by itself. Fixed, so that a new version of it changes nothing unasked.
pub(crate) fn behaviour() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Settles region and TLS trust and begins to look for credentials. Sends nothing to Kinesis or DynamoDB; the default
/// chain may ask the machine's metadata service for the region, for at most 5 s. Credentials are not waited for, unless
/// the settings say `fail_fast`: calls fail with `Unavailable` until there are some.
///
/// `tcp_keep_alive` is accepted but has no effect: the SDK's HTTP client has no such setting. A warning says so.
///
/// # Errors
/// `Caller` when no region can be found or the CA file can't be used; with `fail_fast`, `Unavailable` when no source has
/// credentials.
pub async fn connect(settings: &ConnectionSettings) -> Result<Connection, BindingError> {
    if let Some(interval) = settings.tcp_keep_alive {
        tracing::warn!(?interval, "ignored tcpKeepAlive, the http client cannot set it");
    }
    environment_endpoints(settings, &ProcessEnvironment)?;
    let transport = Transport::new(settings)?;
    let http = transport.http_client();
    let direct = transport.direct_client();
    let region = region(settings, direct.clone()).await?;
    let around = Surroundings { region: region.clone(), proxied: transport.http_client(), direct };
    let identities = Box::pin(Identities::start(settings, around)).await?;
    let mut loader = aws_config::defaults(behaviour())
        .region(region)
        .retry_config(once_more())
        .timeout_config(timeouts(settings, ATTEMPT_TIMEOUT))
        .credentials_provider(SharedCredentialsProvider::new(identities.clone()))
        .identity_cache(IdentityCache::no_cache())
        .use_fips(settings.use_fips)
        .use_dual_stack(settings.use_dual_stack)
        .http_client(http);
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(profile) = &settings.identity.profile {
        loader = loader.profile_name(profile);
    }
    let max_calls = settings.max_connections;
    // The SDK's futures are large; boxed, they do not swell every future around them.
    Ok(Connection { sdk: Box::pin(loader.load()).await, transport, identities, max_calls, calls: places(max_calls) })
}

fn places(max_calls: Option<NonZeroUsize>) -> Option<Arc<Semaphore>> {
    max_calls.map(|most| Arc::new(Semaphore::new(most.get())))
}

/// Retries are made above, by the engines. The one second attempt is for a refused identity or a clock that is off;
/// [`RefusedIdentity`] forbids it for all else.
fn once_more() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(10))
}

/// A service's configuration with what watches over the identity. A macro, because each service has types of its own.
macro_rules! guarded {
    ($service:ident, $connection:expr) => {{
        let unlimited = $service::config::retry::TokenBucket::unlimited();
        let partition = $service::config::retry::RetryPartition::custom("bindd").token_bucket(unlimited).build();
        $service::config::Builder::from(&$connection.sdk)
            .retry_partition(partition)
            .interceptor(NoteClock)
            .interceptor(NoteSigner)
            .retry_classifier(RefusedIdentity($connection.identities.clone()))
    }};
}

impl Connection {
    /// A Kinesis client on the shared pool.
    pub(crate) fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::from_conf(guarded!(aws_sdk_kinesis, self).build())
    }

    /// A Kinesis client on the shared pool for reads, whose answers of up to 10 MiB need more time.
    pub(crate) fn kinesis_reader(&self) -> aws_sdk_kinesis::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.transport.connect_timeout)
            .operation_attempt_timeout(READ_TIMEOUT)
            .build();
        let config = guarded!(aws_sdk_kinesis, self).timeout_config(timeouts).build();
        aws_sdk_kinesis::Client::from_conf(config)
    }

    /// A Kinesis client on the shared pool whose attempts end after `limit`.
    pub(crate) fn kinesis_within(&self, limit: Duration) -> aws_sdk_kinesis::Client {
        let config = guarded!(aws_sdk_kinesis, self)
            .timeout_config(self.within(limit))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .credentials_provider(self.identities.patient(limit));
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    /// A DynamoDB client on the shared pool whose attempts end after `limit`.
    pub(crate) fn dynamodb_within(&self, limit: Duration) -> aws_sdk_dynamodb::Client {
        let config = guarded!(aws_sdk_dynamodb, self)
            .timeout_config(self.within(limit))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .credentials_provider(self.identities.patient(limit));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// The limit covers an attempt to its last byte, so clients with it need no protection against stalled streams, which
    /// would set one more timer for each call.
    fn within(&self, limit: Duration) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.transport.connect_timeout.min(limit))
            .operation_attempt_timeout(limit)
            .build()
    }

    /// A DynamoDB client on the shared pool.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(guarded!(aws_sdk_dynamodb, self).build())
    }

    /// A Kinesis client with an HTTP client of its own, for one subscription.
    ///
    /// Over TLS the SDK runs all calls of an HTTP client on one HTTP/2 connection, whose receive window is shared:
    /// three subscriptions that nobody reads would stall every other call. There is no attempt timeout, the caller
    /// bounds `send()`.
    pub(crate) fn fan_out_kinesis(&self) -> aws_sdk_kinesis::Client {
        let config = guarded!(aws_sdk_kinesis, self)
            .http_client(self.transport.http_client())
            .timeout_config(TimeoutConfig::builder().connect_timeout(self.transport.connect_timeout).build())
            .build();
        aws_sdk_kinesis::Client::from_conf(config)
    }

    /// The same way, with as many places for open calls again. One side of a component that never opens more calls than
    /// there are places never waits for the other side then.
    #[must_use]
    pub fn with_own_places(&self) -> Self {
        Self { calls: places(self.max_calls), ..self.clone() }
    }

    /// Waits until one more call may be open (`maxConnections`) and keeps its place until dropped. HTTP/2 shares a
    /// connection between calls, so the bound is on calls; fan-out subscriptions do not count.
    pub(crate) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        match &self.calls {
            // The semaphore is never closed.
            Some(calls) => calls.acquire().await.ok(),
            None => None,
        }
    }

    /// As [`Connection::permit`], but not for longer than `limit`: a call that never left is no call whose answer was lost.
    ///
    /// # Errors
    /// `Throttled`, with nothing done.
    pub(crate) async fn permit_within(&self, limit: Duration) -> Result<Option<SemaphorePermit<'_>>, BindingError> {
        tokio::time::timeout(limit, self.permit()).await.map_err(|_| {
            let text = format!(
                "all connections of the component were busy for {limit:?}, nothing was sent: raise `maxConnections`, or \
                 send less at once"
            );
            BindingError::new(FailureKind::Throttled, text).unsent()
        })
    }

    /// As [`Connection::permit_within`], for a call that must be answered by `deadline`; the first credentials are waited
    /// for too. Gives up a moment earlier: a call that begins in the last moment would be cut, and then nobody could tell
    /// that nothing was sent.
    ///
    /// # Errors
    /// `Unavailable` without credentials; as [`Connection::permit_within`]. Nothing was done then.
    pub(crate) async fn permit_before(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, BindingError> {
        let left = || deadline.saturating_duration_since(Instant::now()).saturating_sub(LEAST_CALL);
        self.identities.loaded(left()).await.map_err(|missing| unavailable(missing).unsent())?;
        self.permit_within(left()).await
    }

    /// Where the credentials came from and the last four letters of their access key's id; with `AskSts::Yes` also the
    /// ARN that AWS knows them by (`GetCallerIdentity`, which needs no permission). Waits at most `limit` for the first
    /// credentials.
    ///
    /// # Errors
    /// `Unavailable` with what each source said; as STS answered.
    pub async fn identity(&self, limit: Duration, ask: AskSts) -> Result<String, BindingError> {
        let known = self.identities.describe(limit).await.map_err(unavailable)?;
        match ask {
            AskSts::No => Ok(known),
            AskSts::Yes => {
                let who = SharedCredentialsProvider::new(self.identities.clone());
                let arn = self.identities.sts().caller(who).await?;
                Ok(format!("{arn} from {known}"))
            }
        }
    }

    /// The region that calls go to.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.sdk.region().map(Region::as_ref)
    }

    /// The endpoint, where it is not AWS's own.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.sdk.endpoint_url()
    }
}

/// Whether STS may be asked who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskSts {
    /// It is AWS's own, or named by the file.
    Yes,
    /// The component talks to an emulator, whose keys STS does not know.
    No,
}

fn unavailable(missing: NoCredentials) -> BindingError {
    BindingError::new(FailureKind::Unavailable, missing.to_string())
        .with_retry_after(missing.retry_in())
        .with_source(missing)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("region", &self.region())
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}

/// The SDK reads these itself; an error of its own would not name the variable.
fn environment_endpoints(settings: &ConnectionSettings, environment: &dyn Environment) -> Result<(), BindingError> {
    let services = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_DYNAMODB"];
    let services = services.into_iter().filter(|_| settings.endpoint.is_none());
    let sts = Some("AWS_ENDPOINT_URL_STS").filter(|_| settings.identity.sts_endpoint.is_none());
    for name in services.chain(sts) {
        let is_bad = |value: &String| value.contains(|letter: char| !letter.is_ascii_graphic());
        if environment.get(name).is_some_and(|value| is_bad(&value)) {
            let text = format!("{name} has white space or another character that no URL has: correct the variable");
            return Err(BindingError::new(FailureKind::Caller, text));
        }
    }
    Ok(())
}

fn timeouts(settings: &ConnectionSettings, attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(settings.connect_timeout).operation_attempt_timeout(attempt).build()
}

/// The file's region, else that of environment, profile or machine, which is asked without any proxy.
async fn region(settings: &ConnectionSettings, direct: SharedHttpClient) -> Result<Region, BindingError> {
    if let Some(region) = &settings.region {
        return Ok(Region::new(region.clone()));
    }
    let machine = ProviderConfig::without_region().with_http_client(direct);
    let mut profile = ProfileFileRegionProvider::builder().configure(&machine);
    if let Some(name) = &settings.identity.profile {
        profile = profile.profile_name(name);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(ImdsRegionProvider::builder().configure(&machine).build());
    let found = tokio::time::timeout(REGION_TIMEOUT, chain.region()).await.ok().flatten();
    let found = found.map(|found| region::usable(found.as_ref()).map(Region::new)).transpose()?;
    found.ok_or_else(|| {
        let text = "no AWS region is known: set `region` in the component's metadata, or AWS_REGION";
        BindingError::new(FailureKind::Caller, text)
    })
}

#[cfg(test)]
#[path = "tests/client.rs"]
mod tests;
