//! Server reflection, v1 and v1alpha: `grpcurl` and similar tools ask which services there are.

use super::unary;
use crate::domain::Stop;
use crate::protocol::DESCRIPTORS;
use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use http::Request;
use http_body_util::StreamBody;
use std::convert::Infallible;
use tonic::Status;
use tonic_reflection::server::{Builder, Error};
use tower::Service;

/// The services that are listed.
const SERVICES: [&str; 4] = [
    "dapr.proto.runtime.v1.Dapr",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The largest question, in bytes: names, whose memory is not counted.
const MAX_QUESTION: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1Alpha,
}

/// Answers a stream of questions, until the client ends it or the server stops. The definitions are read for each stream,
/// because few ever open one.
pub(super) async fn answer(version: Version, request: Request<Body>, stop: Stop) -> Response {
    let request = request.map(|body| until_stopped(body, stop));
    match version {
        Version::V1 => match builder().build_v1() {
            Ok(service) => call(service.max_decoding_message_size(MAX_QUESTION), request).await,
            Err(error) => failed(&error),
        },
        Version::V1Alpha => match builder().build_v1alpha() {
            Ok(service) => call(service.max_decoding_message_size(MAX_QUESTION), request).await,
            Err(error) => failed(&error),
        },
    }
}

fn builder() -> Builder<'static> {
    let builder = Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    SERVICES.into_iter().fold(builder, Builder::with_service_name)
}

async fn call<S>(mut service: S, request: Request<Body>) -> Response
where
    S: Service<Request<Body>, Response = http::Response<tonic::body::Body>, Error = Infallible>,
{
    let Ok(response) = service.call(request).await;
    response.map(Body::new)
}

/// An open stream must not keep the server from stopping.
fn until_stopped(body: Body, stop: Stop) -> Body {
    let frames = body.into_data_stream().take_until(async move { stop.finishing().await });
    Body::new(StreamBody::new(frames.map(|chunk| chunk.map(hyper::body::Frame::data))))
}

fn failed(error: &Error) -> Response {
    tracing::error!(%error, "definitions for server reflection could not be read");
    unary::failure(&Status::internal("the definitions for server reflection could not be read"))
}
