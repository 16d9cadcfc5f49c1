//! Starts the gRPC API, and the port for other sidecars.

use super::http_api::bind_api;
use super::running::{GRPC, Running, TaskResult};
use crate::grpc::{self, GrpcSettings};
use crate::http::{self, ApiState, BindError, Drained, Listeners};
use crate::settings::Settings;
use std::sync::Arc;
use std::time::Duration;

/// The sockets of gRPC.
#[derive(Debug)]
pub(super) struct GrpcListeners {
    pub(super) api: Listeners,
    pub(super) internal: Option<Listeners>,
}

/// Listens on the addresses of the settings.
///
/// # Errors
/// When an address is unavailable; as for the HTTP API, one of several is enough.
pub(super) async fn listen(settings: &Settings) -> Result<GrpcListeners, BindError> {
    let api = bind_api(settings, "grpc", &settings.grpc_addresses).await?;
    let internal = match settings.internal_grpc_address {
        Some(address) => Some(http::bind(&[address]).await?),
        None => None,
    };
    Ok(GrpcListeners { api, internal })
}

impl Running {
    /// Serves gRPC. Tools wait for daprd's lines in the log, so these are the same.
    pub(super) fn spawn_grpc(
        &mut self,
        settings: GrpcSettings,
        listeners: GrpcListeners,
        state: &Arc<ApiState>,
        drain: Duration,
    ) {
        let GrpcListeners { api, internal } = listeners;
        for address in &self.grpc_addresses {
            tracing::info!("gRPC server listening on TCP address: {address}");
        }
        if let Some(path) = api.unix_path() {
            tracing::info!("gRPC server listening on UNIX socket: {}", path.display());
        }
        if state.settings.api_token.is_some() {
            tracing::info!("Enabled token authentication on gRPC server");
        }
        let serving = grpc::serve(api, Arc::clone(state), settings, self.stops.http.clone(), drain);
        let refusing = internal
            .map(|internal| grpc::serve_internal(internal, Arc::clone(state), settings, self.stops.http.clone()));
        tracing::info!("API gRPC server is running on port {}", self.grpc_address().port());
        if let Some(address) = self.internal_grpc_address {
            tracing::info!("Internal gRPC server is running on {address}");
        }
        self.tasks.spawn(GRPC, async move {
            let refused = async {
                match refusing {
                    Some(refusing) => refusing.await,
                    None => Drained::Clean,
                }
            };
            let (served, _) = tokio::join!(serving, refused);
            TaskResult::Grpc(served)
        });
    }
}
