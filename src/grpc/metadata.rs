//! `GetMetadata` and `SetMetadata`.

use crate::domain::GoDuration;
use crate::http::{ApiState, AppHealth, VERSION};
use crate::protocol::runtime::actor_runtime::ActorRuntimeStatus;
use crate::protocol::runtime::{
    ActorRuntime, AppConnectionHealthProperties, AppConnectionProperties, GetMetadataResponse, MetadataResiliency,
    RegisteredComponents, SetMetadataRequest,
};
use tonic::Status;

pub(super) fn get(state: &ApiState) -> GetMetadataResponse {
    let components = state.host.describe().map(|described| RegisteredComponents {
        name: described.name,
        r#type: described.type_name,
        version: described.version,
        capabilities: described.capabilities.iter().map(|capability| (*capability).to_owned()).collect(),
    });
    let resiliencies = state.host.policies().names().into_iter().map(|name| MetadataResiliency { name });
    let app = &state.app;
    GetMetadataResponse {
        id: state.app_id.clone(),
        registered_components: components.collect(),
        extended_metadata: state.extended_metadata().into_iter().collect(),
        app_connection_properties: Some(AppConnectionProperties {
            port: app.port.map_or(0, i32::from),
            protocol: app.protocol.clone(),
            channel_address: app.channel_address.clone(),
            max_concurrency: app.max_concurrency.map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX)),
            health: app.health.as_ref().map(health),
        }),
        runtime_version: VERSION.to_owned(),
        enabled_features: state.features.clone(),
        // There are no actors; SDKs read the member nevertheless.
        actor_runtime: Some(ActorRuntime {
            runtime_status: ActorRuntimeStatus::Disabled.into(),
            host_ready: false,
            placement: "placement: disconnected".to_owned(),
        }),
        resiliencies: resiliencies.collect(),
    }
}

fn health(health: &AppHealth) -> AppConnectionHealthProperties {
    AppConnectionHealthProperties {
        health_check_path: health.path.clone().unwrap_or_default(),
        health_probe_interval: GoDuration(health.interval).to_string(),
        health_probe_timeout: GoDuration(health.timeout).to_string(),
        health_threshold: i32::try_from(health.threshold).unwrap_or(i32::MAX),
    }
}

pub(super) fn set(state: &ApiState, request: &SetMetadataRequest) -> Result<(), Status> {
    state.extended.set(&request.key, &request.value).map_err(|full| Status::resource_exhausted(full.to_string()))
}
