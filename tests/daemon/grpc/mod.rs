//! The API over gRPC, called by tonic's client.

pub(crate) mod app;
mod calls;
mod connections;
mod errors;

use crate::environment::{Environment, Sidecar};
use bindd::protocol::runtime::InvokeBindingRequest;
use bindd::protocol::runtime::dapr_client::DaprClient;
use bindd::testing::within;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// One connection to a server.
async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub(crate) async fn client(sidecar: &Sidecar) -> DaprClient<Channel> {
    DaprClient::new(channel(sidecar.grpc_address()).await)
}

pub(crate) fn request(
    name: &str,
    operation: &str,
    data: &'static [u8],
    metadata: &[(&str, &str)],
) -> InvokeBindingRequest {
    InvokeBindingRequest {
        name: name.to_owned(),
        operation: operation.to_owned(),
        data: Bytes::from_static(data),
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

async fn start_with_outputs() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("rows").await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    env.dynamodb_component("orders-table", &[("table", "rows")]);
    env
}

/// Calls a method of the API with a message; returns headers and trailers of the response.
async fn raw_call(address: SocketAddr, method: &str, header: (&str, &str), message: &[u8]) -> HeaderMap {
    let mut body = vec![u8::from(header.0 == "grpc-encoding")];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(message);
    let request = Request::post(format!("http://{address}/dapr.proto.runtime.v1.Dapr/{method}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request = request.header(header.0, header.1).body(Full::new(Bytes::from(body))).unwrap();
    let exchange = async {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let calling = async {
            let (head, body) = sender.send_request(request).await.unwrap().into_parts();
            let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
            head.headers.into_iter().chain(trailers).filter_map(|(name, value)| Some((name?, value))).collect()
        };
        tokio::select! {
            headers = calling => headers,
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    };
    within("the call", exchange).await
}

/// Reason, domain and metadata of the `ErrorInfo` of a status, and whether it has a `RetryInfo`.
fn details(status: &Status) -> (String, String, HashMap<String, String>, bool) {
    let all = bindd::protocol::rpc::Status::decode(status.details()).unwrap();
    assert_eq!((all.code, all.message.as_str()), (i32::from(status.code()), status.message()));
    let of = |name: &str| all.details.iter().find(|any| any.type_url.ends_with(name)).map(|any| any.value.as_slice());
    let info = bindd::protocol::rpc::ErrorInfo::decode(of("google.rpc.ErrorInfo").unwrap()).unwrap();
    (info.reason, info.domain, info.metadata, of("google.rpc.RetryInfo").is_some())
}
