//! The checks before a request, and the methods.

use super::methods::{
    GET_METADATA, HEALTH_CHECK, INVOKE_BINDING, REFLECTION, REFLECTION_ALPHA, SET_METADATA, SHUTDOWN,
};
use super::unary::{self, Reply, failure};
use super::{deadline, health, invoke, metadata, observation, reflection, status};
use crate::domain::Stop;
use crate::http::{ApiState, ConnectInfo, Respond};
use crate::protocol::health::HealthCheckRequest;
use crate::protocol::runtime::{GetMetadataRequest, SetMetadataRequest, ShutdownRequest};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Status;

const TOKEN_HEADER: &str = "dapr-api-token";
const REMOTE_SHUTDOWN: &str = "shutdown refused: it is accepted from loopback only; call it from there, or set \
                               DAPR_API_TOKEN and send the token";

/// The API as a service.
#[derive(Debug, Clone)]
pub(super) struct Api {
    state: Arc<ApiState>,
    stop: Stop,
}

impl Api {
    pub(super) const fn new(state: Arc<ApiState>, stop: Stop) -> Self {
        Self { state, stop }
    }

    async fn answer(&self, request: Request<Body>, info: ConnectInfo) -> Response {
        if !is_grpc(request.headers()) {
            let text = "this port speaks gRPC only: call the HTTP API on --dapr-http-port\n";
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
        }
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let version = match head.uri.path() {
            REFLECTION => Some(reflection::Version::V1),
            REFLECTION_ALPHA => Some(reflection::Version::V1Alpha),
            _ => None,
        };
        let reply = match (self.check(&head, info), version) {
            (Err(refusal), _) => Reply::new(Err(refusal)),
            (Ok(()), Some(version)) => {
                let request = Request::from_parts(head, body);
                return Box::pin(reflection::answer(version, request, self.stop.clone())).await;
            }
            (Ok(()), None) => {
                let reply = AssertUnwindSafe(self.call_in_time(&head, body)).catch_unwind().await;
                reply.unwrap_or_else(|payload| Reply::new(Err(panicked(payload))))
            }
        };
        observation::answered(&self.state, &head, &reply, begun.elapsed());
        unary::response(reply)
    }

    /// Calls a method within the deadline of the client.
    async fn call_in_time(&self, head: &Parts, body: Body) -> Reply {
        let timeout = match deadline::timeout(&head.headers) {
            Ok(timeout) => timeout,
            Err(text) => {
                return Reply::new(Err(Status::invalid_argument(format!("grpc-timeout {text:?} is not a timeout"))));
            }
        };
        // One so long that the clock cannot express it is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let calling = self.call(head, body, deadline);
        let reply = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, calling).await,
            None => Ok(calling.await),
        };
        reply.unwrap_or_else(|_| Reply::new(Err(status::deadline_exceeded())))
    }

    /// Why a request must not reach a method.
    fn check(&self, head: &Parts, info: ConnectInfo) -> Result<(), Status> {
        let settings = &self.state.settings;
        if let Some(reason) = settings.access.host_refusal(head, info) {
            tracing::debug!(reason, "request was refused");
            return Err(Status::permission_denied(reason));
        }
        let path = head.uri.path();
        if path != HEALTH_CHECK && !settings.has_token(&head.headers) {
            return Err(status::unauthenticated(&self.state, !head.headers.contains_key(TOKEN_HEADER)));
        }
        if path == SHUTDOWN && !info.is_peer_loopback() && settings.api_token.is_none() {
            tracing::warn!("shutdown was refused: it was requested from another machine, and no API token is set");
            return Err(Status::permission_denied(REMOTE_SHUTDOWN));
        }
        Ok(())
    }

    async fn call(&self, head: &Parts, body: Body, deadline: Option<Instant>) -> Reply {
        match head.uri.path() {
            INVOKE_BINDING => invoke::invoke(&self.state, head, body, deadline).await,
            GET_METADATA => self.reply(head, body, |state, _: GetMetadataRequest| Ok(metadata::get(state))).await,
            SET_METADATA => {
                self.reply(head, body, |state, request: SetMetadataRequest| metadata::set(state, &request)).await
            }
            SHUTDOWN => {
                let headers = &head.headers;
                let stop = |state: &ApiState, _: ShutdownRequest| {
                    metadata::shutdown(state, headers);
                    Ok(())
                };
                self.reply(head, body, stop).await
            }
            HEALTH_CHECK => {
                self.reply(head, body, |state, request: HealthCheckRequest| health::check(state, &request)).await
            }
            path => Reply::new(Err(status::not_served(path))),
        }
    }

    /// A method that does not wait.
    async fn reply<M: Message + Default, R: Message>(
        &self,
        head: &Parts,
        body: Body,
        method: impl FnOnce(&ApiState, M) -> Result<R, Status>,
    ) -> Reply {
        let (received, result) = match unary::read(&self.state, head, body).await {
            Ok(received) => (received.buffer.len(), method(&self.state, received.message)),
            Err(status) => (0, Err(status)),
        };
        let result = result.and_then(|message| unary::framed(&self.state, &message));
        Reply { received, ..Reply::new(result) }
    }
}

impl Respond for Api {
    async fn respond(&self, request: Request<Body>, info: ConnectInfo) -> Response {
        // A panic drops the request, and no handler leaves the state half changed.
        let response = AssertUnwindSafe(self.answer(request, info)).catch_unwind().await;
        response.unwrap_or_else(|payload| failure(&panicked(payload)))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a panic hands over its payload by value")]
fn panicked(payload: Box<dyn Any + Send>) -> Status {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(panic = text, "request handler panicked");
    Status::internal(format!("an internal error occurred; see the log of the sidecar{}", crate::runtime::AMBIGUOUS))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
