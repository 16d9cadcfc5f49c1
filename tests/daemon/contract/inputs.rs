//! §2.4 to §2.7: which inputs are read, and the requests with their events, without and with `--dapr-compat`.

use super::{exchange, request};
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};

/// A stream with three records, and an input from its oldest one with these fields.
async fn input(fields: &[(&str, &str)]) -> (Environment, Vec<String>) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let records = env.put("orders", "order-", 3).await;
    let fixed = [("streamName", "orders"), ("initialPosition", "trim_horizon")];
    env.kinesis_component("orders-in", &[&fixed[..], fields].concat());
    (env, records)
}

async fn start(env: &Environment, app: &RecordingApp, is_compat: bool) -> Sidecar {
    let mut settings = env.settings(Some(app));
    settings.dapr_compat = is_compat;
    Sidecar::start(&settings).await.unwrap()
}

#[tokio::test]
async fn an_event_has_the_headers_of_bindd_or_those_of_daprd() {
    for is_compat in [false, true] {
        let (env, records) = input(&[("direction", "input")]).await;
        let app = RecordingApp::start().await;
        let sidecar = start(&env, &app, is_compat).await;
        app.until_accepted(&records).await;
        let event = app.events().remove(0);
        assert_eq!(
            (event.route.as_str(), event.text()),
            ("orders-in", records[0].clone()),
            "2.5 the bytes of the record"
        );
        assert_eq!(event.header("content-type"), "application/json", "2.5 always");
        assert_eq!(event.header("content-length"), "7", "2.5 not chunked");
        assert!(!event.headers.contains_key("dapr-app-id"), "2.5 not sent");
        let has_own = event.headers.keys().any(|name| name.as_str().starts_with("bindd-"));
        assert_eq!(has_own, !is_compat, "2.5 no metadata: {:?}", event.headers);
        assert_eq!(event.header("user-agent").starts_with("bindd/"), !is_compat, "2.5 {:?}", event.headers);
        assert_eq!(event.header("accept-encoding") == "gzip", is_compat, "2.5 {:?}", event.headers);
        let zeros = "00-00000000000000000000000000000000-0000000000000000-00";
        assert_eq!(event.header("traceparent") == zeros, is_compat, "2.5 always one: {:?}", event.headers);
        let page = exchange(sidecar.address(), &request("GET /v1.0/metadata", "", "")).await.json();
        assert_eq!(page.get("inputs").is_some(), !is_compat, "4.2 daprd has no `inputs`");
        assert_eq!(page["components"][0]["capabilities"][0], "INPUT_BINDING", "4.2");
        assert!(app.probes().is_empty(), "2.4 an explicit direction is not probed");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn the_answer_to_options_decides_without_a_direction() {
    for (says, status, is_read) in [
        ("2.4 2xx is yes", 204, true),
        ("2.4 405 is yes", 405, true),
        ("2.4 another status is no", 404, false),
        ("2.4 a redirect is no", 302, false),
    ] {
        let (env, records) = input(&[("route", "/in//here/")]).await;
        let app = RecordingApp::start().await;
        app.answer_probes(status);
        let sidecar = start(&env, &app, true).await;
        sidecar.until_ready().await;
        if is_read {
            app.until_accepted(&records).await;
            assert!(
                app.events()[0].route.trim_end_matches('/') == "in/here",
                "2.4 the route is cleaned: {:?}",
                app.events()
            );
        }
        assert!(app.probes()[0].trim_end_matches('/') == "in/here", "{says}: {:?}", app.probes());
        sidecar.stop().await;
        assert_eq!(!app.events().is_empty(), is_read, "{says}");
    }
}

/// Not switched: daprd would lose the record.
#[tokio::test]
async fn a_rejected_record_comes_again_also_with_the_switch() {
    let (env, records) = input(&[("direction", "input")]).await;
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Respond(500));
    app.reply_with(r#"{"to":["orders-in"],"data":"x"}"#);
    let sidecar = start(&env, &app, true).await;
    app.until("the first rejection", |events| !events.is_empty()).await;
    app.behave(Behaviour::Respond(202));
    app.until_accepted(&records).await;
    let stored = env.records("orders").await.len();
    assert_eq!(stored, records.len(), "2.7 the body of an answer is not read");
    sidecar.stop().await;
}
