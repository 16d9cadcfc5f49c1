//! `GetMetadata`, `SetMetadata` and `Shutdown`.

use crate::http::ApiState;
use crate::protocol::runtime::actor_runtime::ActorRuntimeStatus;
use crate::protocol::runtime::{
    ActorRuntime, AppConnectionProperties, GetMetadataResponse, RegisteredComponents, SetMetadataRequest,
};
use http::HeaderMap;
use tonic::Status;

/// bindd's version, where Dapr reports its own.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const FORCE: &str = "dapr-force-shutdown";

pub(super) fn get(state: &ApiState) -> GetMetadataResponse {
    let mut extended = state.extended.get_all();
    extended.insert("daprRuntimeVersion".to_owned(), VERSION.to_owned());
    let components = state.host.describe().map(|described| RegisteredComponents {
        name: described.name,
        r#type: described.type_name,
        version: described.version,
        capabilities: described.capabilities.iter().map(|capability| (*capability).to_owned()).collect(),
    });
    let app = &state.app;
    GetMetadataResponse {
        id: state.app_id.clone(),
        registered_components: components.collect(),
        extended_metadata: extended.into_iter().collect(),
        app_connection_properties: Some(AppConnectionProperties {
            port: app.port.map_or(0, i32::from),
            protocol: app.protocol.clone(),
            channel_address: app.channel_address.clone(),
            max_concurrency: app.max_concurrency.map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX)),
            health: None,
        }),
        runtime_version: VERSION.to_owned(),
        enabled_features: state.features.clone(),
        // There are no actors; SDKs read the member nevertheless.
        actor_runtime: Some(ActorRuntime {
            runtime_status: ActorRuntimeStatus::Disabled.into(),
            host_ready: false,
            placement: "placement: disconnected".to_owned(),
        }),
        resiliencies: Vec::new(),
    }
}

pub(super) fn set(state: &ApiState, request: &SetMetadataRequest) -> Result<(), Status> {
    state.extended.set(&request.key, &request.value).map_err(|full| Status::resource_exhausted(full.to_string()))
}

/// The response reaches the client because the server finishes what it has read.
pub(super) fn shutdown(state: &ApiState, headers: &HeaderMap) {
    if headers.get_all(FORCE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
        tracing::warn!("Force shutdown requested, exiting immediately without graceful shutdown");
        state.stop.now();
    } else {
        tracing::info!("Shutdown requested via API");
        state.stop.finish();
    }
}
