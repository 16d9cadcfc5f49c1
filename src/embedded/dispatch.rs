//! Lets the Kinesis port answer for DynamoDB too.
//!
//! A component has one `endpoint` for all services, as in Dapr, and a Kinesis input keeps its leases in DynamoDB. So a
//! request whose `x-amz-target` names DynamoDB is carried on to the emulator's own port, one connection a request.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Puts the dispatch in front of the Kinesis router.
pub(super) fn with_dynamodb(kinesis: Router, dynamodb: SocketAddr) -> Router {
    kinesis.layer(from_fn(move |request: Request, next: Next| async move {
        if !is_dynamodb(request.headers()) {
            return next.run(request).await;
        }
        carry(request, dynamodb).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "embedded DynamoDB could not be asked");
            StatusCode::BAD_GATEWAY.into_response()
        })
    }))
}

fn is_dynamodb(headers: &HeaderMap) -> bool {
    headers.get("x-amz-target").is_some_and(|target| target.as_bytes().starts_with(b"DynamoDB_"))
}

async fn carry(request: Request, to: SocketAddr) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    // Whatever the caller spoke, the way on is HTTP/1.1, with a path alone and a host.
    parts.version = Version::HTTP_11;
    parts.uri = parts.uri.path().parse()?;
    parts.headers.insert(HOST, HeaderValue::try_from(to.to_string())?);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));

    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (mut parts, body) = sender.send_request(Request::from_parts(parts, Full::new(body))).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        parts.version = Version::default();
        parts.headers.remove(CONNECTION);
        Ok::<_, Failure>(Response::from_parts(parts, Body::from(body)))
    };
    let (answer, closed) = tokio::join!(exchange, connection);
    closed?;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dynamodb_is_carried_on() {
        for (target, expected) in [("DynamoDB_20120810.PutItem", true), ("Kinesis_20131202.PutRecord", false)] {
            let headers = HeaderMap::from_iter([("x-amz-target".parse().unwrap(), target.parse().unwrap())]);
            assert_eq!(is_dynamodb(&headers), expected, "{target}");
        }
        assert!(!is_dynamodb(&HeaderMap::new()));
    }
}
