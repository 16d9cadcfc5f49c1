//! The gRPC API under clients that send too much, too little, or read nothing: memory stays bounded, and other clients are
//! served.

use crate::conformance_http2::{
    CONTINUATION, Client, DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, assert_floods_are_survived, frame, headers,
};
use crate::environment::{Environment, Sidecar};
use crate::grpc::{client, request};
use bindd::protocol::runtime::{GetMetadataRequest, InvokeBindingRequest, SetMetadataRequest};
use bindd::testing::until;
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Code;

const INVOKE: &str = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";
const METADATA: &str = "/dapr.proto.runtime.v1.Dapr/GetMetadata";
/// A message without fields.
const EMPTY: [u8; 5] = [0; 5];

fn call_headers(path: &str) -> Vec<u8> {
    headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ])
}

async fn assert_served(sidecar: &Sidecar, after: &str) {
    let metadata = client(sidecar).await.get_metadata(GetMetadataRequest {}).await;
    assert_eq!(metadata.unwrap_or_else(|error| panic!("after {after}: {error}")).into_inner().id, "shop");
}

#[tokio::test]
async fn floods_of_frames_leave_others_served() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    assert_floods_are_survived(sidecar.grpc_address(), METADATA, async |says: &str| {
        assert_served(&sidecar, says).await
    })
    .await;
    sidecar.stop().await;
}

/// The code of a call to an output that does not exist, with so many bytes of data.
async fn invoked(sidecar: &Sidecar, size: usize) -> Code {
    let call = InvokeBindingRequest { data: Bytes::from(vec![b' '; size]), ..request("none", "create", b"", &[]) };
    client(sidecar).await.invoke_binding(call).await.unwrap_err().code()
}

#[tokio::test]
async fn half_open_connections_and_calls_leave_others_served() {
    let env = Environment::start().await;
    let mut settings = env.settings(None);
    settings.max_buffer = Some(1 << 20);
    settings.max_body_size = Some(1 << 20);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let open = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    // A message that says it has a million bytes, of which few come.
    let begun = [&[0][..], &1_000_000_u32.to_be_bytes(), &[b' '; 15_000]].concat();
    let states: [(&str, Vec<u8>); 5] = [
        ("nothing", Vec::new()),
        ("a part of the preface", open[..10].to_vec()),
        ("no call", open.clone()),
        ("headers without an end", {
            let head = frame(HEADERS, 0, 1, &call_headers(INVOKE));
            [&open[..], &head, &frame(CONTINUATION, 0, 1, &headers(&[("x", "y")]))].concat()
        }),
        ("a message without an end", {
            let head = frame(HEADERS, END_HEADERS, 1, &call_headers(INVOKE));
            let more = frame(DATA, 0, 1, &[b' '; 15_000]).repeat(3);
            [&open[..], &head, &frame(DATA, 0, 1, &begun), &more].concat()
        }),
    ];
    let mut held = Vec::new();
    for (says, bytes) in &states {
        for _ in 0..60 {
            let mut stream = TcpStream::connect(sidecar.grpc_address()).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            held.push(stream);
        }
        assert_served(&sidecar, says).await;
    }
    let code = invoked(&sidecar, 100).await;
    assert!([Code::NotFound, Code::Unavailable].contains(&code), "{code:?}");
    drop(held);
    until("the memory of the messages to be free again", async || {
        (invoked(&sidecar, 900_000).await == Code::NotFound).then_some(())
    })
    .await;
    sidecar.stop().await;
}

#[tokio::test]
async fn clients_that_read_nothing_leave_others_served() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let set = SetMetadataRequest { key: "large".to_owned(), value: "x".repeat(500_000) };
    client(&sidecar).await.set_metadata(set).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut slow = Client::connect(sidecar.grpc_address()).await;
        // No window for responses.
        slow.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
        for number in 0..50 {
            let stream = 2 * number + 1;
            slow.send(&frame(HEADERS, END_HEADERS, stream, &call_headers(METADATA))).await;
            slow.send(&frame(DATA, 1, stream, &EMPTY)).await;
        }
        held.push(slow);
    }
    assert_served(&sidecar, "500 responses that no client reads").await;
    drop(held);
    assert_served(&sidecar, "their end").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn headers_above_the_limit_are_refused_and_others_are_served() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let mut call = tonic::Request::new(GetMetadataRequest {});
    call.metadata_mut().insert("x", "y".repeat(200_000).parse().unwrap());
    let refused = client(&sidecar).await.get_metadata(call).await.unwrap_err();
    assert!(!refused.message().contains("yyyy"), "{refused}");
    assert_served(&sidecar, "headers above the limit").await;
    sidecar.stop().await;
}
