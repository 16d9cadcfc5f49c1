//! Starts the HTTP API and the public port.

use super::running::{HTTP, Running, TaskResult};
use crate::http::{self, ApiState, BindError, Drained, Listeners};
use crate::settings::Settings;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The sockets of HTTP.
#[derive(Debug)]
pub(super) struct HttpListeners {
    pub(super) api: Listeners,
    pub(super) public: Option<Listeners>,
}

/// Listens as the settings say: on TCP, or on a Unix socket instead.
///
/// # Errors
/// When no address of the API can be had, or not that of the public port.
pub(super) async fn listen(settings: &Settings) -> Result<HttpListeners, BindError> {
    let api = bind_api(settings, "http", &settings.http_addresses).await?;
    let public = match settings.public_address {
        Some(address) => Some(http::bind(&[address]).await?),
        None => None,
    };
    Ok(HttpListeners { api, public })
}

/// The sockets of one API. Its name is a part of that of its Unix socket, as in daprd.
pub(super) async fn bind_api(
    settings: &Settings,
    name: &str,
    addresses: &[SocketAddr],
) -> Result<Listeners, BindError> {
    match &settings.unix_socket_folder {
        Some(folder) => http::bind_unix(folder.join(format!("dapr-{}-{name}.socket", settings.app_id))),
        None => http::bind(addresses).await,
    }
}

impl Running {
    /// Serves HTTP. Tools wait for daprd's lines in the log, so these are the same.
    pub(super) fn spawn_http(&mut self, listeners: HttpListeners, state: Arc<ApiState>, drain: Duration) {
        let HttpListeners { api, public } = listeners;
        for address in &self.addresses {
            tracing::info!("HTTP server listening on TCP address: {address}");
        }
        if let Some(path) = api.unix_path() {
            tracing::info!("HTTP server listening on UNIX socket: {}", path.display());
            tracing::info!("HTTP server is running on a Unix Domain Socket");
        } else if let Some(address) = self.addresses.first() {
            tracing::info!("HTTP server is running on port {}", address.port());
        }
        if state.settings.api_token.is_some() {
            tracing::info!("Enabled token authentication on HTTP server");
        }
        let stop = self.stops.http.clone();
        let serving = http::serve(api, Arc::clone(&state), stop.clone(), drain);
        self.tasks.spawn(HTTP, async move {
            let public = async {
                match public {
                    Some(public) => http::serve_public(public, state, stop, drain).await,
                    None => Drained::Clean,
                }
            };
            let (served, _) = tokio::join!(serving, public);
            TaskResult::Http(served)
        });
    }
}
