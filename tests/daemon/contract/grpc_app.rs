//! §2.9: the callbacks of an app over gRPC.

use crate::environment::{Environment, Sidecar};
use crate::grpc::app::{App, settings};
use bindd::protocol::runtime::BindingEventResponse;
use bindd::testing::until;
use bytes::Bytes;

/// A stream with a record, and an input from its oldest one.
async fn input(fields: &[(&str, &str)]) -> (Environment, Vec<String>) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fixed = [("streamName", "orders"), ("initialPosition", "trim_horizon")];
    env.kinesis_component("orders-in", &[&fixed[..], fields].concat());
    let records = env.put("orders", "order-", 1).await;
    (env, records)
}

#[tokio::test]
async fn an_event_has_the_name_of_the_component_and_the_token_of_the_app() {
    for is_compat in [false, true] {
        let (env, records) = input(&[("direction", "input"), ("route", "/elsewhere")]).await;
        let app = App::default();
        let (address, _server) = app.start().await;
        let mut settings = settings(&env, address);
        settings.dapr_compat = is_compat;
        settings.app_api_token = Some("of-the-app".to_owned().into());
        let sidecar = Sidecar::start(&settings).await.unwrap();
        app.until_accepted(&records).await;
        let event = app.events().remove(0);
        assert_eq!((event.request.name.as_str(), event.request.data.as_ref()), ("orders-in", records[0].as_bytes()));
        assert_eq!(event.request.metadata.is_empty(), is_compat, "2.5 no metadata of Kinesis: {event:?}");
        assert_eq!(event.metadata.get("dapr-api-token").unwrap(), "of-the-app", "2.9");
        assert_eq!(event.metadata.get("traceparent").is_none(), is_compat, "2.9 the record carries none: {event:?}");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn without_a_direction_the_name_must_be_in_the_list_exactly() {
    let (env, records) = input(&[]).await;
    env.stream("other", 1).await;
    env.kinesis_component("other-in", &[("streamName", "other"), ("initialPosition", "trim_horizon")]);
    env.put("other", "other-", 1).await;
    let app = App::default();
    app.accept(&["Other-in", "orders-in"]);
    let (address, _server) = app.start().await;
    let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
    app.until_accepted(&records).await;
    sidecar.until_ready().await;
    sidecar.stop().await;
    assert!(app.events().iter().all(|event| event.request.name == "orders-in"), "2.4 {:?}", app.events());
}

#[tokio::test]
async fn an_answer_above_4_mib_fails_the_event() {
    let (env, records) = input(&[("direction", "input")]).await;
    let app = App::default();
    let large = Bytes::from(vec![b' '; 5 << 20]);
    app.respond(BindingEventResponse { data: large, ..BindingEventResponse::default() });
    let (address, _server) = app.start().await;
    let mut settings = settings(&env, address);
    // The limit of the API does not count.
    settings.max_body_size = None;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    until("2.9 the same event again", async || (app.events().len() >= 2).then_some(())).await;
    assert!(app.events().iter().all(|event| event.request.data == records[0]));
    app.respond(BindingEventResponse::default());
    // It has the same key, so it comes after the first one was accepted.
    let later = env.put("orders", "later-", 1).await;
    app.until_accepted(&later).await;
    sidecar.stop().await;
    let first_later = app.events().iter().position(|event| event.request.data == later[0]).unwrap();
    assert!(app.events()[first_later..].iter().all(|event| event.request.data == later[0]), "2.9 then it is done");
}

#[tokio::test]
async fn an_app_that_names_no_outputs_writes_nothing() {
    let (env, records) = input(&[("direction", "input")]).await;
    env.stream("results", 1).await;
    env.kinesis_component("results-out", &[("streamName", "results"), ("direction", "output")]);
    let app = App::default();
    app.respond(BindingEventResponse { data: Bytes::from_static(b"{}"), ..BindingEventResponse::default() });
    let (address, _server) = app.start().await;
    let sidecar = Sidecar::start(&settings(&env, address)).await.unwrap();
    app.until_accepted(&records).await;
    sidecar.stop().await;
    assert!(env.records("results").await.is_empty(), "2.7 data without `to` goes nowhere");
}
