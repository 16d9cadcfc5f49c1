//! The request for a shutdown, over HTTP or gRPC.

use super::admission::ConnectInfo;
use super::state::ApiState;
use http::HeaderMap;

/// Metadata over gRPC.
const FORCE: &str = "dapr-force-shutdown";
const REMOTE: &str = "shutdown refused: it is accepted from loopback only; call it from there, or set DAPR_API_TOKEN and \
                      send the token";

impl ApiState {
    /// Why this client may not request a shutdown; `None` if it may. The caller has checked the token.
    #[must_use]
    pub fn shutdown_refusal(&self, info: ConnectInfo) -> Option<&'static str> {
        let settings = &self.settings;
        if info.is_peer_loopback || settings.api_token.is_some() || !settings.access.is_guarded() {
            return None;
        }
        tracing::warn!("shutdown was refused: it was requested from another machine, and no API token is set");
        Some(REMOTE)
    }

    /// Requests the shutdown, a forced one if the headers say so. The response reaches the client because the server
    /// finishes what it has read.
    pub fn shut_down(&self, headers: &HeaderMap) {
        // Tools of Dapr wait for these lines of the log.
        if headers.get_all(FORCE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
            tracing::warn!("Force shutdown requested, exiting immediately without graceful shutdown");
            self.stop.now();
        } else {
            tracing::info!("Shutdown requested via API");
            self.stop.finish();
        }
    }
}
