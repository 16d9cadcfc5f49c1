//! The checks before a request, and the methods.

use super::methods::{
    GET_METADATA, HEALTH_CHECK, HEALTH_WATCH, INVOKE_BINDING, REFLECTION, REFLECTION_ALPHA, SET_METADATA, SHUTDOWN,
};
use super::unary::{self, Reply, failure};
use super::{deadline, health, invoke, metadata, methods, observation, reflection, status};
use crate::domain::Stop;
use crate::http::{ApiState, ConnectInfo, Respond, log_panic};
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
        if let Err(refusal) = self.check(&head, info) {
            return self.observed(&head, Reply::new(Err(refusal)), begun);
        }
        let reflection = match head.uri.path() {
            HEALTH_WATCH => return self.watch(&head, body).await,
            REFLECTION => Some(reflection::Version::V1),
            REFLECTION_ALPHA => Some(reflection::Version::V1Alpha),
            _ => None,
        };
        if let Some(version) = reflection {
            let request = Request::from_parts(head, body);
            return Box::pin(reflection::answer(version, request, self.stop.clone())).await;
        }
        let reply = AssertUnwindSafe(self.call_in_time(&head, body)).catch_unwind().await;
        self.observed(&head, reply.unwrap_or_else(|payload| Reply::new(Err(panicked(&*payload)))), begun)
    }

    fn observed(&self, head: &Parts, reply: Reply, begun: Instant) -> Response {
        observation::answered(&self.state, head, &reply, begun.elapsed());
        unary::response(reply)
    }

    /// Calls a method within the deadline of the client.
    async fn call_in_time(&self, head: &Parts, body: Body) -> Reply {
        let deadline = match deadline::read(&head.headers) {
            Ok(deadline) => deadline,
            Err(status) => return Reply::new(Err(status)),
        };
        tokio::select! {
            // Biased: the method knows more about its end.
            biased;
            reply = self.call(head, body, deadline) => reply,
            () = deadline::passed(deadline) => Reply::new(Err(status::deadline_exceeded())),
        }
    }

    async fn watch(&self, head: &Parts, body: Body) -> Response {
        let deadline = match deadline::read(&head.headers) {
            Ok(deadline) => deadline,
            Err(status) => return failure(&status),
        };
        match unary::read(&self.state, head, body).await {
            Ok(received) => health::watch(Arc::clone(&self.state), &received.message, deadline, self.stop.clone()),
            Err(status) => failure(&status),
        }
    }

    /// Why a request must not reach a method.
    fn check(&self, head: &Parts, info: ConnectInfo) -> Result<(), Status> {
        let settings = &self.state.settings;
        if let Some(reason) = settings.access.refusal(head, info) {
            tracing::debug!(reason, "request was refused");
            return Err(Status::permission_denied(reason));
        }
        let path = head.uri.path();
        // As in daprd, before the token.
        if !methods::is_allowed(path, &settings.api_rules) {
            return Err(status::not_allowed(&self.state));
        }
        if !matches!(path, HEALTH_CHECK | HEALTH_WATCH) && !settings.has_token(&head.headers) {
            return Err(status::unauthenticated(&self.state, !head.headers.contains_key(TOKEN_HEADER)));
        }
        let refusal = if path == SHUTDOWN { self.state.shutdown_refusal(info) } else { None };
        refusal.map_or(Ok(()), |reason| Err(Status::permission_denied(reason)))
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
                    state.shut_down(headers);
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
        response.unwrap_or_else(|payload| failure(&panicked(&*payload)))
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Status {
    log_panic(payload);
    Status::internal(format!("an internal error occurred; see the log of the sidecar{}", crate::runtime::AMBIGUOUS))
}

/// `application/grpc`, which a codec or parameters may follow, but not `application/grpc-web`.
fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_media_types_of_grpc_are_served() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, text.parse().unwrap())]);
            assert_eq!(is_grpc(&headers), expected, "{text}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
