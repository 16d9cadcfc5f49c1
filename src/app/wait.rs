//! Waits until the app listens, as daprd does.

use super::InvalidAppSettings;
use super::endpoint::Endpoint;
use crate::domain::{BoxError, Stop};
use std::sync::Arc;
use std::time::Duration;

/// How long one attempt to connect may take, and the pause after it; daprd's values.
const DIAL_LIMIT: Duration = Duration::from_millis(500);
const DIAL_PAUSE: Duration = Duration::from_millis(100);

/// One line is logged for this many attempts.
const DIALS_PER_LOG: u64 = 100;

/// The port of an app of any protocol.
#[derive(Debug, Clone)]
pub struct AppPort {
    endpoint: Arc<Endpoint>,
    protocol: &'static str,
}

impl AppPort {
    /// `protocol` is the word of `--app-protocol`. With TLS, the app is up once it completes a handshake.
    ///
    /// # Errors
    /// When the address is not a host.
    pub fn new(address: &str, port: u16, protocol: &'static str) -> Result<Self, InvalidAppSettings> {
        let has_tls = matches!(protocol, "https" | "grpcs");
        Ok(Self::at(Arc::new(Endpoint::new(address, port, has_tls)?), protocol))
    }

    pub(super) const fn at(endpoint: Arc<Endpoint>, protocol: &'static str) -> Self {
        Self { endpoint, protocol }
    }

    /// Waits without a limit until the app's port accepts a connection. False when stopped before that. Logs exactly the
    /// lines of daprd, because scripts wait for them.
    pub async fn wait_until_up(&self, stop: &Stop) -> bool {
        let (protocol, port) = (self.protocol, self.endpoint.port());
        tracing::info!(
            "application protocol: {protocol}. waiting on port {port}.  This will block until the app is listening on that port."
        );
        tokio::select! {
            // Biased: a stop outranks an app that comes up at the same time.
            biased;
            () = stop.finishing() => false,
            () = self.dial_until_up() => {
                tracing::info!("application discovered on port {port}");
                true
            }
        }
    }

    async fn dial_until_up(&self) {
        let mut dials = 0_u64;
        while let Err(error) = self.dial().await {
            dials += 1;
            if dials.is_multiple_of(DIALS_PER_LOG) {
                tracing::info!("waiting for application to listen on port {}", self.endpoint.port());
                if dials == DIALS_PER_LOG {
                    let address = self.endpoint.authority();
                    tracing::warn!(
                        error = %crate::domain::cause_line(&*error),
                        "nothing listens on {address} yet, so no input is read; start the app, or correct --app-port, \
                         --app-protocol and --app-channel-address"
                    );
                }
            }
            tokio::time::sleep(DIAL_PAUSE).await;
        }
    }

    async fn dial(&self) -> Result<(), BoxError> {
        tokio::time::timeout(DIAL_LIMIT, self.endpoint.connect()).await??;
        Ok(())
    }
}
