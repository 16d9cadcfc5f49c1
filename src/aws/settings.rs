//! How a component reaches AWS.

use crate::telemetry::{CredentialMetrics, Tracer};
use aws_config::BehaviorVersion;
use secrecy::SecretString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The defaults of the SDK. Fixed, so that an update of the SDK does not change behaviour silently.
pub(super) fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// The settings of a component file for its connection. Where a value is `None`, the AWS default chain applies.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    pub region: Option<String>,
    /// An endpoint that replaces AWS's own, such as an emulator's URL.
    pub endpoint: Option<String>,
    /// Keys of the file; without them `identity` says where to look.
    pub credentials: Option<StaticCredentials>,
    /// Where other credentials come from, and the roles that are assumed on top of either.
    pub identity: IdentitySettings,
    /// Whether AWS's FIPS endpoints are called (`useFips`); no effect where `endpoint` is set.
    pub use_fips: bool,
    /// Whether AWS's dual-stack endpoints are called (`useDualStack`); no effect where `endpoint` is set.
    pub use_dual_stack: bool,
    /// Whether the component must have credentials before it counts as connected (`failFast`).
    pub fail_fast: bool,
    /// How many calls of one component may be open at the same time (`maxConnections`); `None` for no limit.
    pub max_connections: Option<NonZeroUsize>,
    pub connect_timeout: Duration,
    pub connection_idle_timeout: Duration,
    /// A PEM file of further certificate authorities to trust (`caBundle`, else `AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    pub metrics: Option<CredentialMetrics>,
    /// Starts a span for each call.
    pub tracer: Tracer,
}

impl Default for ConnectionSettings {
    /// No limit on calls, 3.1 s to connect (the SDK's own limit), 90 s idle.
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            credentials: None,
            identity: IdentitySettings::default(),
            use_fips: false,
            use_dual_stack: false,
            fail_fast: false,
            max_connections: None,
            connect_timeout: Duration::from_millis(3_100),
            connection_idle_timeout: Duration::from_secs(90),
            ca_bundle: None,
            metrics: None,
            tracer: Tracer::default(),
        }
    }
}

/// Keys from a component file. `Debug` does not print the secrets.
#[derive(Debug, Clone)]
pub struct StaticCredentials {
    pub access_key: String,
    pub secret_key: SecretString,
    pub session_token: Option<SecretString>,
}

/// Where credentials that are not written in the file come from.
#[derive(Debug, Clone, Default)]
pub struct IdentitySettings {
    pub source: IdentitySource,
    /// `profile`: the profile of the shared files; that of `AWS_PROFILE`, else `default`, when absent.
    pub profile: Option<String>,
    /// `credentialsFile`: a file in the form of `~/.aws/credentials` that is read instead of the shared files.
    pub credentials_file: Option<PathBuf>,
    /// `assumeRoleArn`: roles to assume one after the other, each with the credentials of the one before.
    pub roles: Vec<String>,
    /// `assumeRoleExternalId`: sent to STS for the last role.
    pub external_id: Option<SecretString>,
    /// `sessionName`: the name of each assumed session; `bindd` when absent.
    pub session_name: Option<String>,
    /// `assumeRoleDuration`: duration of the last role's session, 15 min to 12 h; 1 h when absent.
    pub session_duration: Option<Duration>,
    /// `stsEndpoint`: replaces the STS endpoint of the component's region.
    pub sts_endpoint: Option<String>,
}

/// `credentialSource`; there is no `static`, because the keys of the file imply it.
///
/// `Debug` does not print the command, which may hold a secret.
#[derive(Debug, Clone, Default)]
pub enum IdentitySource {
    /// Environment, shared files, web identity, container, instance, in this order: the first that is set up.
    #[default]
    Chain,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Environment,
    /// The shared files, or `credentialsFile`.
    Profile,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` (IRSA on EKS).
    WebIdentity,
    /// The endpoint of `AWS_CONTAINER_CREDENTIALS_*` (ECS, EKS Pod Identity).
    Container,
    /// The EC2 instance metadata service, version 2.
    Imds,
    /// A command that prints credentials (`credentialProcess`).
    Process(SecretString),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_no_secret() {
        let keys = StaticCredentials {
            access_key: "AKIA".to_owned(),
            secret_key: "topsecret".into(),
            session_token: Some("topsecret".into()),
        };
        let identity = IdentitySettings {
            source: IdentitySource::Process("keys --password topsecret".into()),
            external_id: Some("topsecret".into()),
            ..IdentitySettings::default()
        };
        let settings = ConnectionSettings { credentials: Some(keys), identity, ..ConnectionSettings::default() };
        let text = format!("{settings:?}");
        assert!(text.contains("AKIA") && text.contains("Process") && !text.contains("topsecret"), "{text}");
    }
}
