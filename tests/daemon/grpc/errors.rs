//! Codes, texts and details of failures.

use super::{channel, client, details, raw_call, request, start_with_outputs};
use crate::environment::Sidecar;
use bindd::http::AllowedHosts;
use bindd::protocol::runtime::dapr_client::DaprClient;
use bindd::protocol::runtime::{GetMetadataRequest, InvokeBindingRequest, SetMetadataRequest};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzEncoder;
use prost::Message;
use std::io::Read;
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::{v1, v1alpha};

const INVOKE_FAILED: &str = "ERR_INVOKE_OUTPUT_BINDING";

#[tokio::test]
async fn failures_have_a_true_code_and_the_text_of_daprd() {
    let env = start_with_outputs().await;
    env.kinesis_component("lost", &[("streamName", "missing"), ("direction", "output")]);
    env.kinesis_component("off", &[("streamName", "missing"), ("direction", "output")]);
    let text = std::fs::read_to_string(env.folder().join("off.yaml")).unwrap();
    env.file("off.yaml", &text.replace("spec:\n", "spec:\n  disabled: true\n"));
    let sidecar = env.sidecar(None).await;
    let mut client = client(&sidecar).await;
    for (name, operation, code, text) in [
        ("orders-out", "", Code::InvalidArgument, "operation field is missing from request"),
        ("absent", "create", Code::NotFound, "couldn't find output binding absent"),
        ("off", "create", Code::FailedPrecondition, "binding off is disabled; enable its component"),
        ("orders-out", "drop", Code::InvalidArgument, "binding orders-out does not support operation drop. supported"),
        ("lost", "create", Code::NotFound, "missing"),
        ("orders-table", "create", Code::InvalidArgument, "JSON"),
    ] {
        let failed = client.invoke_binding(request(name, operation, b"not JSON", &[])).await.unwrap_err();
        let start = format!("error invoking output binding {name}: ");
        assert!(failed.code() == code && failed.message().starts_with(&start), "{failed}");
        assert!(failed.message().contains(text), "{failed}");
        let (reason, domain, metadata, _) = details(&failed);
        assert_eq!((reason.as_str(), domain.as_str()), (INVOKE_FAILED, "dapr.io"));
        assert!(metadata.contains_key("reason"), "{metadata:?}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn the_strict_format_has_daprs_only_code() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.strict_dapr_errors = true;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let failed = client(&sidecar).await.invoke_binding(request("absent", "create", b"", &[])).await.unwrap_err();
    let text = "error invoking output binding absent: couldn't find output binding absent";
    assert_eq!((failed.code(), failed.message()), (Code::Internal, text));
    let (reason, domain, metadata, has_retry) = details(&failed);
    assert_eq!((reason.as_str(), domain.as_str(), metadata.len(), has_retry), (INVOKE_FAILED, "dapr.io", 0, false));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_token_is_required() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.api_token = Some("let-me-in".to_owned().into());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut client = client(&sidecar).await;
    for (token, problem) in [
        (None, "missing api token in request metadata"),
        (Some("let-me-out"), "authentication error: api token mismatch"),
    ] {
        let mut call = Request::new(GetMetadataRequest {});
        token.map(|token| call.metadata_mut().insert("dapr-api-token", token.parse().unwrap()));
        let refused = client.get_metadata(call).await.unwrap_err();
        assert!(refused.code() == Code::Unauthenticated && refused.message().starts_with(problem), "{refused}");
        let (_, domain, metadata, _) = details(&refused);
        assert_eq!((domain.as_str(), metadata["http.code"].as_str()), ("dapr.io", "401"));
        assert_eq!(metadata["http.error_message"], problem);
    }
    let mut call = Request::new(GetMetadataRequest {});
    call.metadata_mut().insert("dapr-api-token", "let-me-in".parse().unwrap());
    assert_eq!(client.get_metadata(call).await.unwrap().into_inner().id, "shop");
    sidecar.stop().await;
}

#[tokio::test]
async fn other_methods_say_what_bindd_serves() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    for path in ["/dapr.proto.runtime.v1.Dapr/GetState", "/shop.Orders/List", "/grpc.health.v1.Health/List"] {
        let mut grpc = Grpc::new(channel(sidecar.grpc_address()).await);
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<GetMetadataRequest, GetMetadataRequest>::default();
        let called = grpc.unary(Request::new(GetMetadataRequest {}), path.parse().unwrap(), codec).await;
        let refused = called.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        assert!(refused.message().contains(&path[1..]) && refused.message().contains("bindings only"), "{refused}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn methods_that_the_configuration_denies_are_not_served() {
    let env = start_with_outputs().await;
    let rules = "{denied: [{name: bindings, version: v1, protocol: grpc}]}";
    env.file("config.yml.txt", &format!("kind: Configuration\nspec: {{api: {rules}}}\n"));
    for (is_strict, text) in [(false, "requested endpoint is not available: "), (true, "Not Implemented")] {
        let mut settings = env.settings(None);
        settings.config_paths = vec![env.folder().join("config.yml.txt")];
        settings.strict_dapr_errors = is_strict;
        let sidecar = Sidecar::start(&settings).await.unwrap();
        let mut client = client(&sidecar).await;
        let denied = client.invoke_binding(request("orders-out", "create", b"1", &[])).await.unwrap_err();
        assert!(denied.code() == Code::Unimplemented && denied.message().starts_with(text), "{denied}");
        assert_eq!(details(&denied).2["http.error_message"], "requested endpoint is not available");
        client.get_metadata(GetMetadataRequest {}).await.unwrap();
        sidecar.stop().await;
    }
    assert!(env.records("orders").await.is_empty());
}

#[tokio::test]
async fn messages_are_limited_both_ways() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.max_body_size = Some(1_000);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let mut client = client(&sidecar).await;
    let data = Bytes::from(vec![b'x'; 2_000]);
    let large = InvokeBindingRequest { data, ..request("orders-out", "create", b"", &[]) };
    let refused = client.invoke_binding(large).await.unwrap_err();
    assert!(refused.code() == Code::ResourceExhausted && refused.message().contains("--max-body-size"), "{refused}");
    for key in ["a", "b"] {
        let set = SetMetadataRequest { key: key.to_owned(), value: "y".repeat(600) };
        client.set_metadata(set).await.unwrap();
    }
    let refused = client.get_metadata(GetMetadataRequest {}).await.unwrap_err();
    assert!(refused.code() == Code::ResourceExhausted && refused.message().contains("--max-body-size"), "{refused}");
    sidecar.stop().await;
}

#[tokio::test]
async fn bodies_of_all_requests_share_the_memory_with_http() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.max_buffer = Some(200);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let data = Bytes::from(vec![b'x'; 150]);
    // The metadata of the call needs memory too.
    let call = InvokeBindingRequest { data, ..request("orders-out", "create", b"", &[]) };
    let refused = client(&sidecar).await.invoke_binding(call).await.unwrap_err();
    assert!(refused.code() == Code::Unavailable && refused.message().contains("--max-buffer"), "{refused}");
    assert!(details(&refused).3, "says when to retry");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_the_call() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let message = request("orders-out", "create", b"1", &[]).encode_to_vec();
    for (timeout, code, text) in
        [("1n", "4", "context%20deadline%20exceeded"), ("soon", "3", "grpc-timeout"), ("99999999H", "0", "")]
    {
        // Not by tonic's client, which would end the call itself.
        let headers = raw_call(sidecar.grpc_address(), "InvokeBinding", ("grpc-timeout", timeout), &message).await;
        let of = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert!(of("grpc-status") == code && of("grpc-message").contains(text), "{timeout}: {headers:?}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn messages_may_be_compressed_by_gzip() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.max_body_size = Some(1_000);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let call = async |encoding, data: &'static [u8]| {
        let message = request("orders-out", "create", data, &[]).encode_to_vec();
        let mut compressed = Vec::new();
        GzEncoder::new(message.as_slice(), Compression::fast()).read_to_end(&mut compressed).unwrap();
        let headers = raw_call(sidecar.grpc_address(), "InvokeBinding", ("grpc-encoding", encoding), &compressed).await;
        headers["grpc-status"].to_str().unwrap().to_owned()
    };
    assert_eq!(call("gzip", b"a record").await, "0");
    assert_eq!(call("gzip", &[b'x'; 2_000]).await, "8", "the limit is that of the message");
    assert_eq!(call("identity", b"a record").await, "13");
    assert_eq!(call("snappy", b"a record").await, "12");
    let records = env.records("orders").await;
    assert_eq!((records.len(), records[0].data.as_ref()), (1, &b"a record"[..]));
    sidecar.stop().await;
}

#[tokio::test]
async fn only_names_of_this_machine_are_served() {
    let env = start_with_outputs().await;
    let mut settings = env.settings(None);
    settings.access.hosts = AllowedHosts::parse("shop.internal").unwrap();
    let sidecar = Sidecar::start(&settings).await.unwrap();
    for (name, code) in [("evil.example", Some(Code::PermissionDenied)), ("shop.internal", None), ("localhost", None)] {
        let endpoint = Endpoint::from_shared(format!("http://{}", sidecar.grpc_address())).unwrap();
        let origin = format!("http://{name}:{}", sidecar.grpc_address().port()).parse().unwrap();
        let channel = endpoint.origin(origin).connect().await.unwrap();
        let called = DaprClient::new(channel).get_metadata(GetMetadataRequest {}).await;
        assert_eq!(called.err().map(|status| status.code()), code, "{name}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn web_pages_are_refused_as_over_http() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let mut client = DaprClient::new(channel(sidecar.grpc_address()).await);
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let mut request = Request::new(GetMetadataRequest {});
        request.metadata_mut().insert(name, value.parse().unwrap());
        assert_eq!(client.get_metadata(request).await.unwrap_err().code(), Code::PermissionDenied, "{name}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services_and_does_not_delay_a_stop() {
    let env = start_with_outputs().await;
    let sidecar = env.sidecar(None).await;
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let list = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let alpha = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
        "dapr.proto.runtime.v1.Dapr.InvokeBinding".to_owned(),
    );
    let alpha = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(alpha) };
    let channel = channel(sidecar.grpc_address()).await;
    // These streams never end.
    let endless = |request| {
        futures_util::StreamExt::chain(futures_util::stream::iter([request]), futures_util::stream::pending())
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers: Streaming<_> = client.server_reflection_info(endless(list)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(services) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"dapr.proto.runtime.v1.Dapr".to_owned()), "{names:?}");
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let endless = futures_util::StreamExt::chain(futures_util::stream::iter([alpha]), futures_util::stream::pending());
    let mut files: Streaming<_> = client.server_reflection_info(endless).await.unwrap().into_inner();
    let answer = files.message().await.unwrap().unwrap().message_response.unwrap();
    let is_file = matches!(answer, v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_));
    assert!(is_file, "{answer:?}");
    assert_eq!(sidecar.stop().await, bindd::daemon::Shutdown::Clean);
}
