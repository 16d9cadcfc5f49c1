use crate::calls::get;
use crate::captured_log::CapturedLog;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use crate::inputs::assert_in_order;
use bindd::testing::until;

async fn start_with_input() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    env
}

#[tokio::test]
async fn a_refused_record_comes_again_and_holds_up_its_key() {
    let env = start_with_input().await;
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Respond(500));
    let all = env.put("orders", "order-", 10).await;
    let sidecar = env.sidecar(Some(&app)).await;
    let tries = |events: &[crate::fakes::Event]| -> Vec<String> {
        let of_first = events.iter().filter(|event| event.text() == all[0]);
        of_first.map(|event| event.header("bindd-attempt").to_owned()).collect()
    };
    app.until("three tries", |events| tries(events).len() >= 3).await;
    assert_eq!(tries(&app.events())[..3], ["1", "2", "3"]);
    let seen: std::collections::BTreeSet<String> = app.events().iter().map(crate::fakes::Event::text).collect();
    assert!(seen.iter().all(|text| all[..5].contains(text)), "a refused record was passed by one of its key: {seen:?}");

    app.behave(Behaviour::Respond(201));
    app.until_accepted(&all).await;
    assert_in_order(&app.events());
    sidecar.stop().await;
}

#[tokio::test]
async fn an_app_that_went_away_gets_everything_when_it_is_back() {
    let env = start_with_input().await;
    let mut app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let before = env.put("orders", "before-", 5).await;
    app.until_accepted(&before).await;
    app.stop().await;
    let meanwhile = env.put("orders", "meanwhile-", 5).await;
    app.start_again().await;
    app.until_accepted(&meanwhile).await;
    assert_in_order(&app.events());
    sidecar.stop().await;
}

#[tokio::test]
async fn an_app_that_comes_late_is_waited_for() {
    let env = start_with_input().await;
    let mut app = RecordingApp::start().await;
    app.stop().await;
    let all = env.put("orders", "order-", 3).await;
    let sidecar = env.sidecar(Some(&app)).await;
    let health = get(sidecar.address(), "/v1.0/healthz").await;
    assert_eq!((health.status.as_u16(), health.field("errorCode").as_str()), (500, "ERR_HEALTH_NOT_READY"));
    assert_eq!(get(sidecar.address(), "/v1.0/healthz/outbound").await.status, 204);
    app.start_again().await;
    sidecar.until_ready().await;
    app.until_accepted(&all).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn no_record_is_sent_to_an_app_that_rejects_the_probe() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [("streamName", "orders"), ("consumerName", "probed"), ("initialPosition", "trim_horizon")];
    env.kinesis_component("probed", &fields);
    env.input("stated", "orders", "shared");
    let app = RecordingApp::start().await;
    app.answer_probes(404);
    let log = CapturedLog::default();
    let _logging = log.record();
    let all = env.put("orders", "order-", 3).await;
    let sidecar = env.sidecar(Some(&app)).await;
    until("the probe", async || app.probes().contains(&"probed".to_owned()).then_some(())).await;
    app.until_accepted(&all).await;
    assert!(app.events().iter().all(|event| event.route == "stated"));
    assert_eq!(app.probes(), ["probed"], "no probe with a direction, and one rejection is final");
    let line = until("the warning", async || {
        log.lines().into_iter().find(|line| line.contains("app has not subscribed to binding probed."))
    })
    .await;
    for part in
        ["WARN", "component=probed", "status=404", "path=/probed", "To read it without a probe, set `direction: input`"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(log.lines().iter().filter(|line| line.contains("direction: input")).count(), 1);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_record_whose_app_died_over_it_comes_again_as_the_second_attempt_and_is_counted() {
    let env = start_with_input().await;
    let app = RecordingApp::start().await;
    let mut settings = env.settings(Some(&app));
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let first = env.put("orders", "first-", 1).await;
    app.until_accepted(&first).await;

    // The connection is kept from the first record, and ends while the app has the second.
    app.behave(Behaviour::Disconnect);
    let second = env.put("orders", "second-", 1).await;
    app.until("the second record", |events| events.len() >= 2).await;
    app.behave(Behaviour::Respond(200));
    app.until_accepted(&second).await;
    let attempts: Vec<String> =
        app.events()[1..].iter().map(|event| event.header("bindd-attempt").to_owned()).collect();
    let expected: Vec<String> = (1..=attempts.len()).map(|attempt| attempt.to_string()).collect();
    assert!(attempts.len() > 1);
    assert_eq!(attempts, expected);
    let page = get(sidecar.metrics_address().unwrap(), "/metrics").await;
    let counted = format!("bindd_input_records_retried_total{{component=\"orders-in\"}} {}", attempts.len() - 1);
    assert!(page.text().contains(&counted), "{}", page.text());
    sidecar.stop().await;
}

#[tokio::test]
async fn an_app_that_is_not_ready_at_its_probe_is_probed_again() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let route = [("route", "/orders/"), ("initialPosition", "trim_horizon")];
    env.kinesis_component("orders-in", &[&[("streamName", "orders"), ("consumerName", "probed")][..], &route].concat());
    let app = RecordingApp::start().await;
    app.answer_probes(503);
    let all = env.put("orders", "order-", 3).await;
    let sidecar = env.sidecar(Some(&app)).await;
    sidecar.until_ready().await;
    until("two probes", async || (app.probes().len() >= 2).then_some(())).await;
    assert!(app.events().is_empty(), "nothing is sent before the app says yes");
    app.answer_probes(204);
    app.until_accepted(&all).await;
    assert!(app.probes().iter().all(|route| route == "orders/"), "{:?}", app.probes());
    assert!(app.events().iter().all(|event| event.route == "orders/"), "the route is called as it is written");
    sidecar.stop().await;
}
