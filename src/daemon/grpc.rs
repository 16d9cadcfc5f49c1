//! Starts the gRPC API, and the port for other sidecars.

use super::http_api::bind_api;
use super::running::{GRPC, Running, TaskResult};
use crate::grpc::{self, GrpcSettings};
use crate::http::{self, ApiState, BindError, Drained, Listeners};
use crate::settings::Settings;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
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
    let internal = match internal_address(settings) {
        Some(address) => Some(http::bind(&[address]).await?),
        None => None,
    };
    Ok(GrpcListeners { api, internal })
}

/// The flag's address, or else the first that can be had: it must not stop the start that a port is taken or IPv6 missing.
fn internal_address(settings: &Settings) -> Option<SocketAddr> {
    let address = settings.internal_grpc_address?;
    if !settings.internal_grpc_any_port {
        return Some(address);
    }
    let of_api = settings.grpc_addresses.iter().map(|api| SocketAddr::new(api.ip(), address.port()));
    let of_ipv4 = (address.ip() == Ipv6Addr::UNSPECIFIED).then(|| (Ipv4Addr::UNSPECIFIED, 0).into());
    let candidates = [address, SocketAddr::new(address.ip(), 0)].into_iter().chain(of_api).chain(of_ipv4);
    candidates.into_iter().find(|candidate| TcpListener::bind(candidate).is_ok())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internal_port_gives_way_unless_a_flag_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut settings = Settings::local("shop", "unused");
        assert_eq!(internal_address(&settings), None);
        settings.internal_grpc_address = Some(address);
        assert_eq!(internal_address(&settings), Some(address));
        settings.internal_grpc_any_port = true;
        assert_eq!(internal_address(&settings), Some("127.0.0.1:0".parse().unwrap()));
        // An address that no machine has, as `[::1]` without IPv6.
        settings.internal_grpc_address = Some("192.0.2.1:0".parse().unwrap());
        assert_eq!(internal_address(&settings), Some("127.0.0.1:0".parse().unwrap()), "that of the API");
    }
}
