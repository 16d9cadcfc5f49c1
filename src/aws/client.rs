//! The connection of one component to AWS: region, credentials, HTTP transport, and the SDK clients that share them.

use super::call_span::CallSpans;
use super::clock::ClockSkewInterceptor;
use super::credentials::{CredentialsProvider, RefusedCredentials, TrackSigner};
use super::direct_call::DirectCaller;
use super::region;
use super::settings::{ConnectionSettings, behavior_version};
use super::transport::Transport;
use super::unsent::NoCredentials;
use crate::domain::{BindingError, CredentialReport, FailureKind};
use crate::manifest::{Environment, ProcessEnvironment};
use crate::telemetry::Tracer;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{Region, SdkConfig};
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

/// How long one attempt of a call may take, from its start to the last byte of its response.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for a read, whose response may be 10 MiB.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// No call takes less time; the timer's resolution is half of it.
const MIN_CALL_TIME: Duration = Duration::from_millis(2);
/// How long the default chain may look for a region. Outside of EC2 its last source is an address that does not answer.
const REGION_TIMEOUT: Duration = Duration::from_secs(5);

/// Cheap to clone; clones share pool, credentials and the limit on open calls.
#[derive(Clone)]
pub struct Connection {
    sdk: SdkConfig,
    transport: Transport,
    credentials: CredentialsProvider,
    max_calls: Option<NonZeroUsize>,
    calls: Option<Arc<Semaphore>>,
    tracer: Tracer,
}

/// Determines region and TLS trust, and starts to load credentials. Sends nothing to Kinesis or DynamoDB; the default chain
/// may call the instance metadata service for the region, for at most 5 s. Does not wait for credentials, unless the
/// settings say `fail_fast`: calls fail with `Unavailable` until there are some.
///
/// # Errors
/// `Caller` when no region can be found or the CA file can't be used; with `fail_fast`, `Unavailable` when no source has
/// credentials.
pub async fn connect(settings: &ConnectionSettings) -> Result<Connection, BindingError> {
    check_endpoint_variables(settings, &ProcessEnvironment)?;
    let transport = Transport::new(settings)?;
    let http = transport.http_client();
    let region = region(settings, transport.direct_client()).await?;
    let credentials = Box::pin(CredentialsProvider::start(settings, &region, &transport)).await?;
    let mut loader = aws_config::defaults(behavior_version())
        .region(region)
        .retry_config(one_retry())
        .timeout_config(timeouts(settings, ATTEMPT_TIMEOUT))
        .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
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
    // Boxed, because the SDK's futures are large.
    Ok(Connection {
        sdk: Box::pin(loader.load()).await,
        transport,
        credentials,
        max_calls,
        calls: call_limit(max_calls),
        tracer: settings.tracer.clone(),
    })
}

fn call_limit(max_calls: Option<NonZeroUsize>) -> Option<Arc<Semaphore>> {
    max_calls.map(|max| Arc::new(Semaphore::new(max.get())))
}

/// The engines retry, not the SDK. Its one retry is for refused credentials or a clock that is off; [`RefusedCredentials`]
/// forbids it for all other failures.
fn one_retry() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(10))
}

/// A service's configuration with the handling of refused credentials, and with spans if there is a tracer. A macro,
/// because each service has its own types.
macro_rules! service_config {
    ($service:ident, $connection:expr) => {{
        let unlimited = $service::config::retry::TokenBucket::unlimited();
        let partition = $service::config::retry::RetryPartition::custom("bindd").token_bucket(unlimited).build();
        let mut config = $service::config::Builder::from(&$connection.sdk)
            .retry_partition(partition)
            .interceptor(ClockSkewInterceptor)
            .interceptor(TrackSigner)
            .retry_classifier(RefusedCredentials($connection.credentials.clone()));
        if $connection.tracer.is_on() {
            config = config.interceptor(CallSpans::new(&$connection.tracer, $connection.region()));
        }
        config
    }};
}

impl Connection {
    /// A Kinesis client on the shared pool.
    pub(crate) fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::from_conf(service_config!(aws_sdk_kinesis, self).build())
    }

    /// A Kinesis client on the shared pool for reads, whose responses of up to 10 MiB need more time.
    pub(crate) fn kinesis_reader(&self) -> aws_sdk_kinesis::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.transport.connect_timeout)
            .operation_attempt_timeout(READ_TIMEOUT)
            .build();
        let config = service_config!(aws_sdk_kinesis, self)
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        aws_sdk_kinesis::Client::from_conf(config)
    }

    /// For reads that are made as the SDK makes them, with the time limit of [`Connection::kinesis_reader`].
    pub(crate) fn direct_reader(&self) -> DirectCaller {
        DirectCaller::new(self.credentials.clone(), self.transport.connect_timeout, READ_TIMEOUT, self.tracer.clone())
    }

    /// A Kinesis client on the shared pool whose attempts end after `limit`.
    pub(crate) fn kinesis_within(&self, limit: Duration) -> aws_sdk_kinesis::Client {
        let config = service_config!(aws_sdk_kinesis, self)
            .timeout_config(self.within(limit))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .credentials_provider(self.credentials.with_attempt_timeout(limit));
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    /// A DynamoDB client on the shared pool whose attempts end after `limit`.
    pub(crate) fn dynamodb_within(&self, limit: Duration) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(self.dynamodb_config(limit).build())
    }

    /// As `dynamodb_within`, with its own HTTP client. Its connections belong to the runtime of its first call.
    pub(crate) fn own_dynamodb_within(&self, limit: Duration) -> aws_sdk_dynamodb::Client {
        let config = self.dynamodb_config(limit).http_client(self.transport.http_client());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    fn dynamodb_config(&self, limit: Duration) -> aws_sdk_dynamodb::config::Builder {
        service_config!(aws_sdk_dynamodb, self)
            .timeout_config(self.within(limit))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .credentials_provider(self.credentials.with_attempt_timeout(limit))
    }

    /// A Secrets Manager client whose attempts end after `limit`.
    pub(crate) fn secrets_manager_within(&self, limit: Duration) -> aws_sdk_secretsmanager::Client {
        let config = service_config!(aws_sdk_secretsmanager, self).timeout_config(self.within(limit));
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// A client of Systems Manager whose attempts end after `limit`.
    pub(crate) fn ssm_within(&self, limit: Duration) -> aws_sdk_ssm::Client {
        let config = service_config!(aws_sdk_ssm, self).timeout_config(self.within(limit));
        aws_sdk_ssm::Client::from_conf(config.build())
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
        aws_sdk_dynamodb::Client::from_conf(service_config!(aws_sdk_dynamodb, self).build())
    }

    /// A Kinesis client with its own HTTP client, for one subscription.
    ///
    /// Over TLS the SDK runs all calls of an HTTP client on one HTTP/2 connection, whose receive window is shared: three
    /// subscriptions that are not read would stall every other call. There is no attempt timeout; the caller limits
    /// `send()`.
    pub(crate) fn fan_out_kinesis(&self) -> aws_sdk_kinesis::Client {
        let config = service_config!(aws_sdk_kinesis, self)
            .http_client(self.transport.http_client())
            .timeout_config(TimeoutConfig::builder().connect_timeout(self.transport.connect_timeout).build())
            .build();
        aws_sdk_kinesis::Client::from_conf(config)
    }

    /// The same connection with a separate limit on open calls, of the same size. So the input and the output of a
    /// component never wait for each other's calls.
    #[must_use]
    pub fn with_own_call_limit(&self) -> Self {
        Self { calls: call_limit(self.max_calls), ..self.clone() }
    }

    /// Waits until one more call may be open (`maxConnections`); hold the permit until the call is over. HTTP/2 shares a
    /// connection between calls, so the limit is on calls; fan-out subscriptions do not count.
    pub(crate) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        match &self.calls {
            // The semaphore is never closed.
            Some(calls) => calls.acquire().await.ok(),
            None => None,
        }
    }

    /// As [`Connection::permit`], but waits at most `limit`, so that the outcome of a call that was not sent is known.
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

    /// As [`Connection::permit_within`], for a call that must be answered by `deadline`; waits for the first credentials
    /// too. Gives up a moment earlier: a call that starts in the last moment would time out, and its outcome would be
    /// unknown.
    ///
    /// # Errors
    /// `Unavailable` without credentials, `Throttled` without a permit; both with nothing done.
    pub(crate) async fn permit_before(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, BindingError> {
        let left = || deadline.saturating_duration_since(Instant::now()).saturating_sub(MIN_CALL_TIME);
        self.credentials.loaded(left()).await.map_err(|missing| unavailable(missing).unsent())?;
        self.permit_within(left()).await
    }

    /// The source of the credentials and the last four characters of their access key id; with `CallSts::Yes` also the ARN
    /// of their identity (`GetCallerIdentity`, which needs no permission). Waits at most `limit` for the first credentials.
    ///
    /// # Errors
    /// `Unavailable` with the reason of each source; the error of STS.
    pub async fn identity(&self, limit: Duration, call: CallSts) -> Result<String, BindingError> {
        let known = self.credentials.describe(limit).await.map_err(unavailable)?;
        match call {
            CallSts::No => Ok(known),
            CallSts::Yes => {
                let who = SharedCredentialsProvider::new(self.credentials.clone());
                let arn = self.credentials.sts().caller_arn(who).await?;
                Ok(format!("{arn} from {known}"))
            }
        }
    }

    /// The state of the credentials, without a call.
    #[must_use]
    pub fn credentials(&self) -> CredentialReport {
        self.credentials.report()
    }

    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.sdk.region().map(Region::as_ref)
    }

    /// The endpoint, where it is not AWS's own. Without a user and a password, since messages show it.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        self.sdk.endpoint_url().map(|url| match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}{path}")
            }
            None => url.to_owned(),
        })
    }
}

/// Whether STS is called for the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallSts {
    Yes,
    /// The component uses an emulator, whose keys STS does not know.
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

/// The SDK reads these variables too, but its error would not name the variable.
fn check_endpoint_variables(settings: &ConnectionSettings, environment: &dyn Environment) -> Result<(), BindingError> {
    let services = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_DYNAMODB"];
    let services = services.into_iter().filter(|_| settings.endpoint.is_none());
    let sts = Some("AWS_ENDPOINT_URL_STS").filter(|_| settings.identity.sts_endpoint.is_none());
    for name in services.chain(sts) {
        let is_bad = |value: &String| value.contains(|c: char| !c.is_ascii_graphic());
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

/// The region of the file, else of the environment, the profile or the instance, whose metadata is never behind a proxy.
async fn region(settings: &ConnectionSettings, direct: SharedHttpClient) -> Result<Region, BindingError> {
    if let Some(region) = &settings.region {
        return Ok(Region::new(region.clone()));
    }
    let instance = ProviderConfig::without_region().with_http_client(direct);
    let mut profile = ProfileFileRegionProvider::builder().configure(&instance);
    if let Some(name) = &settings.identity.profile {
        profile = profile.profile_name(name);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(ImdsRegionProvider::builder().configure(&instance).build());
    let found = tokio::time::timeout(REGION_TIMEOUT, chain.region()).await.ok().flatten();
    let found = found.map(|found| region::checked(found.as_ref()).map(Region::new)).transpose()?;
    found.ok_or_else(|| {
        let text = "no AWS region is known: set `region` in the component's metadata, or AWS_REGION";
        BindingError::new(FailureKind::Caller, text)
    })
}

#[cfg(test)]
#[path = "tests/client.rs"]
mod tests;
