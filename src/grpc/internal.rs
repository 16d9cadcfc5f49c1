//! The port for calls between sidecars. Tools wait until it accepts connections; bindd has nothing to offer there.

use super::status;
use super::unary;
use crate::http::{ConnectInfo, Respond};
use axum::body::Body;
use axum::response::Response;
use http::Request;

/// Answers every request with UNIMPLEMENTED.
#[derive(Debug, Clone, Copy)]
pub(super) struct InternalApi;

impl Respond for InternalApi {
    async fn respond(&self, request: Request<Body>, _: ConnectInfo) -> Response {
        unary::failure(&status::not_served(request.uri().path()))
    }
}
