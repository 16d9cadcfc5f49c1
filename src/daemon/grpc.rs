//! Starts the gRPC API, and the port for other sidecars.

use super::http_api::bind_api;
use super::running::{GRPC, Running, TaskResult};
use crate::grpc::{self, GrpcSettings};
use crate::http::{self, ApiState, BindError, Drained, Listeners};
use crate::settings::Settings;
use std::net::SocketAddr;
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
    let internal = listen_internally(settings).await?;
    Ok(GrpcListeners { api, internal })
}

/// Listens on the port for other sidecars. It must not stop the start that a port which no flag names is taken, or that
/// there is no IPv6; without any, there is no such port.
async fn listen_internally(settings: &Settings) -> Result<Option<Listeners>, BindError> {
    let Some(address) = settings.internal_grpc_address else { return Ok(None) };
    if !settings.internal_grpc_any_port {
        return http::bind(&[address]).await.map(Some);
    }
    let of_api = settings.grpc_addresses.iter().map(|api| SocketAddr::new(api.ip(), 0));
    for candidate in [address, SocketAddr::new(address.ip(), 0)].into_iter().chain(of_api) {
        match http::bind(&[candidate]).await {
            Ok(listeners) => return Ok(Some(listeners)),
            Err(error) => tracing::debug!(%error, "port for other sidecars cannot be had"),
        }
    }
    Ok(None)
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
            tracing::info!("API gRPC server is running on a Unix Domain Socket");
        } else {
            tracing::info!("API gRPC server is running on port {}", self.grpc_address().port());
        }
        if state.settings.api_token.is_some() {
            tracing::info!("Enabled token authentication on gRPC server");
        }
        let serving = grpc::serve(api, Arc::clone(state), settings, self.stops.http.clone(), drain);
        let refusing = internal
            .map(|internal| grpc::serve_internal(internal, Arc::clone(state), settings, self.stops.http.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_internal_port_gives_way_unless_a_flag_names_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut settings = Settings::local("shop", "unused");
        assert!(listen_internally(&settings).await.unwrap().is_none());
        settings.internal_grpc_address = Some(address);
        assert!(listen_internally(&settings).await.is_err(), "the flag's port is taken");
        settings.internal_grpc_any_port = true;
        let other = listen_internally(&settings).await.unwrap().unwrap().addresses()[0];
        assert!(other.ip() == address.ip() && other.port() != address.port(), "{other}");
        // An address that no machine has, as `[::1]` without IPv6.
        settings.internal_grpc_address = Some("192.0.2.1:0".parse().unwrap());
        let other = listen_internally(&settings).await.unwrap().unwrap().addresses()[0];
        assert_eq!(other.ip(), address.ip(), "that of the API");
    }
}
