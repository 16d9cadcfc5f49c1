//! Addresses, connections and their end.

use super::{channel, client, request, start_with_outputs};
use crate::environment::{Environment, Sidecar};
use bindd::daemon::{Shutdown, StartError};
use bindd::protocol::runtime::GetMetadataRequest;
use bindd::protocol::runtime::dapr_client::DaprClient;
use bindd::testing::{until, within};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

#[tokio::test]
async fn many_connections_and_calls_are_served_at_once() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(client(&sidecar).await);
    }
    let calls =
        clients.into_iter().flat_map(|client| (0..10).map(move |_| client.clone())).map(|mut client| async move {
            client.invoke_binding(request("orders-out", "create", b"x", &[])).await.map(drop)
        });
    let results = futures_util::future::join_all(calls).await;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_used_port_stops_the_start_and_says_which() {
    let env = Environment::start().await;
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = env.settings(None);
    settings.grpc_addresses = vec![held.local_addr().unwrap()];
    let error = Sidecar::start(&settings).await.unwrap_err();
    let port = held.local_addr().unwrap().port().to_string();
    assert!(matches!(error, StartError::Bind(_)), "{error}");
    assert!(error.to_string().contains(&port) && error.to_string().contains("--dapr-grpc-port"), "{error}");
}

#[tokio::test]
async fn an_address_that_becomes_free_is_served() {
    let env = Environment::start().await;
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let mut settings = env.settings(None);
    settings.grpc_addresses = vec![address, "127.0.0.1:0".parse().unwrap()];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    client(&sidecar).await.get_metadata(GetMetadataRequest {}).await.unwrap();
    drop(held);
    until("the freed address to be listened on", async || TcpStream::connect(address).await.ok().map(drop)).await;
    DaprClient::new(channel(address).await).get_metadata(GetMetadataRequest {}).await.unwrap();
    sidecar.stop().await;
}

#[tokio::test]
async fn the_internal_port_accepts_connections_and_refuses_calls() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.internal_grpc_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut grpc = Grpc::new(channel(sidecar.internal_grpc_address().unwrap()).await);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<GetMetadataRequest, GetMetadataRequest>::default();
    let path = "/dapr.proto.internals.v1.ServiceInvocation/CallLocal".parse().unwrap();
    let refused = grpc.unary(tonic::Request::new(GetMetadataRequest {}), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_connection_that_is_idle_for_long_is_closed() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.grpc_max_idle = Duration::from_millis(50);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut stream = TcpStream::connect(sidecar.grpc_address()).await.unwrap();
    // The preface of HTTP/2 and empty settings: all that a client sends before its first call.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let closing = async {
        let mut received = Vec::new();
        // The client ends its side as soon as the server says GOAWAY, which is frame type 7.
        while !received.windows(2).any(|pair| pair == [7, 0]) {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0, "no GOAWAY in {received:?}");
        }
    };
    within("the idle connection to be closed", closing).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn http_1_is_not_answered_as_grpc() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let mut stream = TcpStream::connect(sidecar.grpc_address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    within("the connection to end", async { drop(stream.read_to_end(&mut received).await) }).await;
    assert!(!received.starts_with(b"HTTP/1.1 200"), "{received:?}");
    sidecar.stop().await;
}
