//! Calls of STS. They go to the component's region, or to `stsEndpoint`, but never to the component's `endpoint`.

use super::super::call_span::CallSpans;
use super::super::clock::{ClockSkewInterceptor, LogClockSkew};
use super::super::failure::{CallError, classify};
use super::super::settings::{ConnectionSettings, behavior_version};
use crate::domain::{FailureKind, Outcome};
use crate::telemetry::Tracer;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::types::Credentials as StsCredentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, SystemTime};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// A configuration without credentials; each call brings its own.
#[derive(Debug, Clone)]
pub(in super::super) struct StsClient {
    config: SdkConfig,
    tracer: Tracer,
}

/// One role to assume.
#[derive(Debug, Clone)]
pub(super) struct Role<'a> {
    pub(super) arn: &'a str,
    pub(super) session_name: &'a str,
    pub(super) external_id: Option<&'a SecretString>,
    pub(super) duration: Option<Duration>,
}

impl StsClient {
    /// Sends nothing. Without `stsEndpoint`, `AWS_ENDPOINT_URL_STS` and the profile's settings apply, else AWS's own
    /// endpoint of the region.
    pub(super) async fn new(settings: &ConnectionSettings, region: &Region, http: SharedHttpClient) -> Self {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut loader = aws_config::defaults(behavior_version())
            .region(region.clone())
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(100)))
            .timeout_config(timeouts.build())
            .http_client(http)
            .use_fips(settings.use_fips)
            .use_dual_stack(settings.use_dual_stack)
            .no_credentials();
        if let Some(endpoint) = &settings.identity.sts_endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self { config: Box::pin(loader.load()).await, tracer: settings.tracer.clone() }
    }

    /// `AssumeRole` with these credentials.
    pub(super) async fn assume(&self, with: Credentials, role: Role<'_>) -> Result<Credentials, CallError> {
        let seconds = role.duration.and_then(|duration| i32::try_from(duration.as_secs()).ok());
        let call = self
            .client(Some(SharedCredentialsProvider::new(with)))
            .assume_role()
            .role_arn(role.arn)
            .role_session_name(role.session_name)
            .set_external_id(role.external_id.map(|id| id.expose_secret().to_owned()))
            .set_duration_seconds(seconds);
        let output = call.send().await.map_err(|error| classify("STS: AssumeRole", error))?;
        session(output.credentials, "STS: AssumeRole")
    }

    /// `AssumeRoleWithWebIdentity`; the token is the credential.
    pub(super) async fn assume_with_web_identity(
        &self,
        token: String,
        role: Role<'_>,
    ) -> Result<Credentials, CallError> {
        let call = self
            .client(None)
            .assume_role_with_web_identity()
            .role_arn(role.arn)
            .role_session_name(role.session_name)
            .web_identity_token(token);
        let output = call.send().await.map_err(|error| classify("STS: AssumeRoleWithWebIdentity", error))?;
        session(output.credentials, "STS: AssumeRoleWithWebIdentity")
    }

    /// The ARN of the identity that these credentials belong to. Needs no permission.
    pub(in super::super) async fn caller_arn(&self, who: SharedCredentialsProvider) -> Result<String, CallError> {
        let output = self.client(Some(who)).get_caller_identity().send().await;
        let output = output.map_err(|error| classify("STS: GetCallerIdentity", error))?;
        output.arn.ok_or_else(|| incomplete("STS: GetCallerIdentity", "an ARN"))
    }

    fn client(&self, who: Option<SharedCredentialsProvider>) -> aws_sdk_sts::Client {
        let mut config = self.config.to_builder();
        config.set_credentials_provider(who);
        let mut config = aws_sdk_sts::config::Builder::from(&config.build())
            .interceptor(ClockSkewInterceptor)
            .retry_classifier(LogClockSkew);
        if self.tracer.is_on() {
            let region = self.config.region().map(AsRef::as_ref);
            config = config.interceptor(CallSpans::new(&self.tracer, region));
        }
        aws_sdk_sts::Client::from_conf(config.build())
    }
}

fn session(credentials: Option<StsCredentials>, operation: &str) -> Result<Credentials, CallError> {
    let session = credentials.ok_or_else(|| incomplete(operation, "credentials"))?;
    let expiry = SystemTime::try_from(session.expiration).map_err(|_| incomplete(operation, "a readable expiry"))?;
    Ok(Credentials::new(
        session.access_key_id,
        session.secret_access_key,
        Some(session.session_token),
        Some(expiry),
        "STS",
    ))
}

fn incomplete(operation: &str, missing: &str) -> CallError {
    let text = format!("operation error {operation}, the response does not contain {missing}");
    CallError::new(FailureKind::Transient, Outcome::NotDone, text)
}
