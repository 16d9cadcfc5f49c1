//! The one place where answered calls are observed, for logs and metrics. Streams of reflection are not.

use super::unary::Reply;
use http::header::USER_AGENT;
use http::request::Parts;
use std::time::Duration;
use tonic::Code;

/// A call has its reply, `took` after its head was read.
pub(super) fn answered(head: &Parts, reply: &Reply, took: Duration) {
    let code = reply.result.as_ref().map_or_else(tonic::Status::code, |_| Code::Ok);
    let agent = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    tracing::debug!(method = head.uri.path(), code = ?code, ?took, agent, "gRPC call was answered");
}
