//! `grpc.health.v1.Health`, which `grpc_health_probe` and Kubernetes call. daprd has no such service.

use super::{deadline, status, unary};
use crate::domain::Stop;
use crate::http::ApiState;
use crate::protocol::health::health_check_response::ServingStatus;
use crate::protocol::health::{HealthCheckRequest, HealthCheckResponse};
use crate::runtime::Readiness;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Status;

/// SERVING while outputs can be invoked, as `/v1.0/healthz/outbound` says.
pub(super) fn check(state: &ApiState, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
    if !is_known(request) {
        return Err(Status::not_found(
            "there is no such service: ask for the service dapr.proto.runtime.v1.Dapr, or for none",
        ));
    }
    Ok(response(serving(state.outbound.is_ready())))
}

/// The status now and at each change, until the client ends the stream, its deadline is over or the server stops.
pub(super) fn watch(
    state: Arc<ApiState>,
    request: &HealthCheckRequest,
    deadline: Option<Instant>,
    stop: Stop,
) -> Response {
    let changes = changes(state.outbound.clone(), is_known(request));
    let messages = changes.map(move |status| unary::framed(&state, &response(status)));
    let end = async move {
        tokio::select! {
            () = stop.finishing() => Status::unavailable("the sidecar is stopping"),
            () = deadline::passed(deadline) => status::deadline_exceeded(),
        }
    };
    unary::streamed(unary::until_ended(messages, end))
}

/// A status that is the same as before is not sent again, so a slow client only misses changes.
fn changes(outbound: Readiness, is_known: bool) -> impl Stream<Item = ServingStatus> {
    stream::unfold(None, move |sent| {
        let outbound = outbound.clone();
        async move {
            let status = match sent {
                None if is_known => serving(outbound.is_ready()),
                None => ServingStatus::ServiceUnknown,
                Some(ServingStatus::ServiceUnknown) => std::future::pending().await,
                Some(sent) => {
                    let is_ready = sent != ServingStatus::Serving;
                    outbound.becomes(is_ready).await;
                    serving(is_ready)
                }
            };
            Some((status, Some(status)))
        }
    })
}

fn is_known(request: &HealthCheckRequest) -> bool {
    matches!(request.service.as_str(), "" | "dapr.proto.runtime.v1.Dapr")
}

const fn serving(is_ready: bool) -> ServingStatus {
    if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    #[tokio::test]
    async fn each_change_is_sent_once() {
        let outbound = Readiness::new();
        let mut statuses = pin!(changes(outbound.clone(), true));
        assert_eq!(statuses.next().await, Some(ServingStatus::Serving));
        assert!(statuses.next().now_or_never().is_none());
        let guard = outbound.guard("components");
        assert_eq!(statuses.next().await, Some(ServingStatus::NotServing));
        drop(guard);
        assert_eq!(statuses.next().await, Some(ServingStatus::Serving));
        outbound.stop();
        assert_eq!(statuses.next().await, Some(ServingStatus::NotServing));
        assert!(statuses.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_service_that_does_not_exist_is_unknown_for_ever() {
        let outbound = Readiness::new();
        let mut statuses = pin!(changes(outbound.clone(), false));
        assert_eq!(statuses.next().await, Some(ServingStatus::ServiceUnknown));
        outbound.stop();
        assert!(statuses.next().now_or_never().is_none());
    }
}
