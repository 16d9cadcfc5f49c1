//! The one place where answered calls are observed, for logs and metrics. Streams are not, nor are methods that do not
//! exist.

use super::methods::{self, HEALTH_CHECK};
use super::unary::Reply;
use crate::http::ApiState;
use crate::telemetry::{ApiCall, ApiEndpoint, GrpcExchange};
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use std::time::Duration;
use tonic::{Code, Status};

/// A call has its reply, `took` after its head was read.
pub(super) fn answered(state: &ApiState, head: &Parts, reply: &Reply, took: Duration) {
    let path = head.uri.path();
    let code = reply.result.as_ref().map_or_else(Status::code, |_| Code::Ok);
    tracing::debug!(method = path, ?code, ?took, "gRPC call was answered");
    let Some(method) = methods::unary(path) else { return };
    let (code, response_bytes) = (i32::from(code), reply.result.as_ref().map_or(0, Bytes::len) as u64);
    state.metrics.dapr().grpc().served(&GrpcExchange {
        method,
        code,
        request_bytes: reply.received as u64,
        response_bytes,
        took,
    });
    let rules = &state.settings.api_log;
    let endpoint = ApiEndpoint { name: method, is_health_check: method == HEALTH_CHECK };
    if rules.logs(endpoint) {
        let agent = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let (user_agent, code) = (agent.unwrap_or_default(), code.unsigned_abs());
        rules.grpc_called(&ApiCall { method, endpoint, user_agent, code, size: response_bytes, took });
    }
}
