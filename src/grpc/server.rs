//! Serves the connections of the gRPC API, and of the port for other sidecars.

use super::internal::InternalApi;
use super::service::Api;
use crate::domain::Stop;
use crate::http::{ApiState, ConnectionSettings, Drained, Listeners, Protocol, serve_with};
use std::sync::Arc;
use std::time::Duration;

/// Connections of other sidecars. There is nothing that these could do here.
const MAX_INTERNAL_CONNECTIONS: usize = 64;
/// How long a refusal may take after a stop.
const INTERNAL_DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How gRPC is served. The limits of requests are those of the HTTP API.
#[derive(Debug, Clone, Copy)]
pub struct GrpcSettings {
    /// Open connections of all listeners.
    pub max_connections: usize,
    /// A connection without a request for this time is closed (`DAPR_GRPC_MAX_CONN_IDLE`, 3 minutes).
    pub max_idle: Duration,
}

/// Serves the API until `stop` asks to finish. Then accepts no more, answers the requests that were read, and aborts what
/// is left after `drain_limit` or when the stop is forced. Joins every connection. Dropping the future aborts all.
pub async fn serve(
    listeners: Listeners,
    state: Arc<ApiState>,
    settings: GrpcSettings,
    stop: Stop,
    drain_limit: Duration,
) -> Drained {
    let connections = connections(&state, settings.max_connections, settings.max_idle);
    serve_with(listeners, Api::new(state, stop.clone()), connections, stop, drain_limit).await
}

/// Serves the port that sidecars of Dapr call each other on: refuses every request.
pub async fn serve_internal(listeners: Listeners, state: Arc<ApiState>, settings: GrpcSettings, stop: Stop) -> Drained {
    let connections = connections(&state, MAX_INTERNAL_CONNECTIONS, settings.max_idle);
    serve_with(listeners, InternalApi, connections, stop, INTERNAL_DRAIN_LIMIT).await
}

fn connections(state: &ApiState, max_connections: usize, max_idle: Duration) -> ConnectionSettings {
    let max_header_bytes = state.settings.max_header_bytes;
    ConnectionSettings { max_header_bytes, max_connections, protocol: Protocol::Grpc { max_idle } }
}
