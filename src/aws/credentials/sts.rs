//! Calls of STS: it follows the component's region, never the component's `endpoint`.

use super::super::clock::NoteClock;
use super::super::failure::{Failed, classify};
use super::refusal::LogClock;
use crate::domain::{FailureKind, Outcome};
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::types::Credentials as Issued;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, SystemTime};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients for STS on one configuration without credentials; each call brings its own.
#[derive(Debug, Clone)]
pub(in super::super) struct Sts {
    config: SdkConfig,
}

/// Where STS is.
#[derive(Debug, Clone)]
pub(in super::super) struct StsPlace {
    pub(in super::super) region: Region,
    /// `stsEndpoint`
    pub(in super::super) endpoint: Option<String>,
    pub(in super::super) use_fips: bool,
    pub(in super::super) use_dual_stack: bool,
}

/// One role to assume.
#[derive(Debug, Clone)]
pub(super) struct Role<'a> {
    pub(super) arn: &'a str,
    pub(super) session_name: &'a str,
    pub(super) external_id: Option<&'a SecretString>,
    pub(super) duration: Option<Duration>,
}

impl Sts {
    /// Contacts nothing. Without an endpoint, `AWS_ENDPOINT_URL_STS` and the profile's settings apply, else AWS's own
    /// endpoint of the region.
    pub(in super::super) async fn new(place: StsPlace, http: SharedHttpClient) -> Self {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut loader = aws_config::defaults(super::super::client::behaviour())
            .region(place.region)
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(100)))
            .timeout_config(timeouts.build())
            .http_client(http)
            .use_fips(place.use_fips)
            .use_dual_stack(place.use_dual_stack)
            .no_credentials();
        if let Some(endpoint) = place.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self { config: Box::pin(loader.load()).await }
    }

    /// `AssumeRole` with these credentials.
    pub(super) async fn assume(&self, with: Credentials, role: Role<'_>) -> Result<Credentials, Failed> {
        let seconds = role.duration.and_then(|duration| i32::try_from(duration.as_secs()).ok());
        let call = self
            .client(Some(SharedCredentialsProvider::new(with)))
            .assume_role()
            .role_arn(role.arn)
            .role_session_name(role.session_name)
            .set_external_id(role.external_id.map(|id| id.expose_secret().to_owned()))
            .set_duration_seconds(seconds);
        let answer = call.send().await.map_err(|error| classify("STS: AssumeRole", error))?;
        issued(answer.credentials, "STS: AssumeRole")
    }

    /// `AssumeRoleWithWebIdentity`; the token is the credential.
    pub(super) async fn assume_by_token(&self, token: String, role: Role<'_>) -> Result<Credentials, Failed> {
        let call = self
            .client(None)
            .assume_role_with_web_identity()
            .role_arn(role.arn)
            .role_session_name(role.session_name)
            .web_identity_token(token);
        let answer = call.send().await.map_err(|error| classify("STS: AssumeRoleWithWebIdentity", error))?;
        issued(answer.credentials, "STS: AssumeRoleWithWebIdentity")
    }

    /// The ARN that AWS knows these credentials by. Needs no permission.
    pub(in super::super) async fn caller(&self, who: SharedCredentialsProvider) -> Result<String, Failed> {
        let answer = self.client(Some(who)).get_caller_identity().send().await;
        let answer = answer.map_err(|error| classify("STS: GetCallerIdentity", error))?;
        answer.arn.ok_or_else(|| odd("STS: GetCallerIdentity", "an ARN"))
    }

    fn client(&self, who: Option<SharedCredentialsProvider>) -> aws_sdk_sts::Client {
        let mut config = self.config.to_builder();
        config.set_credentials_provider(who);
        let config = aws_sdk_sts::config::Builder::from(&config.build());
        aws_sdk_sts::Client::from_conf(config.interceptor(NoteClock).retry_classifier(LogClock).build())
    }
}

fn issued(credentials: Option<Issued>, operation: &str) -> Result<Credentials, Failed> {
    let issued = credentials.ok_or_else(|| odd(operation, "credentials"))?;
    let expiry = SystemTime::try_from(issued.expiration).map_err(|_| odd(operation, "an expiry that can be read"))?;
    Ok(Credentials::new(
        issued.access_key_id,
        issued.secret_access_key,
        Some(issued.session_token),
        Some(expiry),
        "STS",
    ))
}

fn odd(operation: &str, missing: &str) -> Failed {
    let text = format!("operation error {operation}, the answer holds not {missing}");
    Failed {
        kind: FailureKind::Transient,
        outcome: Outcome::NotDone,
        source: text.clone().into(),
        text,
        code: None,
        request_id: None,
    }
}
