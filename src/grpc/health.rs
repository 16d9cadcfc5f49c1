//! `grpc.health.v1.Health/Check`, which `grpc_health_probe` and Kubernetes call. daprd has no such service.

use crate::http::ApiState;
use crate::protocol::health::health_check_response::ServingStatus;
use crate::protocol::health::{HealthCheckRequest, HealthCheckResponse};
use tonic::Status;

/// SERVING while outputs can be invoked, as `/v1.0/healthz/outbound` says.
pub(super) fn check(state: &ApiState, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
    if !matches!(request.service.as_str(), "" | "dapr.proto.runtime.v1.Dapr") {
        return Err(Status::not_found(
            "there is no such service: ask for the service dapr.proto.runtime.v1.Dapr, or for none",
        ));
    }
    let status = if state.outbound.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
    Ok(HealthCheckResponse { status: status.into() })
}
