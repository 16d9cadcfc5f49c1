//! How a component reaches AWS.

use secrecy::SecretString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a component file says about its connection. What is `None` comes from the AWS default chain.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Region, such as `eu-central-1`.
    pub region: Option<String>,
    /// Another endpoint than AWS's own, such as an emulator's URL.
    pub endpoint: Option<String>,
    /// Keys written in the file; without them the AWS default chain is asked.
    pub credentials: Option<StaticCredentials>,
    /// How many calls of one component may be open at once; `None` sets no bound.
    pub max_connections: Option<NonZeroUsize>,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// When an unused connection is closed.
    pub connection_idle_timeout: Duration,
    /// Interval of TCP keep-alive probes; `None` leaves them off.
    pub tcp_keep_alive: Option<Duration>,
    /// A PEM file of further certificate authorities to trust (`AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
}

impl Default for ConnectionSettings {
    /// No bound on calls, 3.1 s to connect (the SDK's own limit), 90 s idle, no keep-alive probes.
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            credentials: None,
            max_connections: None,
            connect_timeout: Duration::from_millis(3_100),
            connection_idle_timeout: Duration::from_secs(90),
            tcp_keep_alive: None,
            ca_bundle: None,
        }
    }
}

/// Keys from a component file. `Debug` does not print the secrets.
#[derive(Debug, Clone)]
pub struct StaticCredentials {
    /// `accessKey`
    pub access_key: String,
    /// `secretKey`
    pub secret_key: SecretString,
    /// `sessionToken`
    pub session_token: Option<SecretString>,
}
