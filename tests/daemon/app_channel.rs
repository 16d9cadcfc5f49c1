//! The app over each protocol of HTTP, and what it is asked before the first event.

use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use crate::inputs::assert_in_order;
use bindd::daemon::Shutdown;
use bindd::settings::AppProtocol;
use bindd::testing::until;

async fn records_arrive_in_order_over(protocol: AppProtocol) {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", "shared");
    let mut app = RecordingApp::start_over(protocol).await;
    let all = env.put("orders", "order-", 60).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;
    assert_in_order(&app.events());
    // The app loses its connections, and is back on the same port.
    app.stop().await;
    app.start_again().await;
    let more = env.put("orders", "later-", 20).await;
    app.until_accepted(&more).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn records_arrive_over_tls() {
    records_arrive_in_order_over(AppProtocol::Https).await;
}

#[tokio::test]
async fn records_arrive_over_http_2() {
    records_arrive_in_order_over(AppProtocol::H2c).await;
}

#[tokio::test]
async fn the_app_is_asked_for_its_configuration_unless_a_flag_disables_it() {
    let env = Environment::start().await;
    let app = RecordingApp::start().await;
    // What an app without actors answers.
    app.answer_gets(404);
    for skips in [true, false] {
        let mut settings = env.settings(Some(&app));
        settings.skips_app_config = skips;
        let sidecar = Sidecar::start(&settings).await.unwrap();
        sidecar.until_ready().await;
        if !skips {
            until("the request", async || (!app.gets().is_empty()).then_some(())).await;
        }
        assert_eq!(sidecar.stop().await, Shutdown::Clean);
        assert_eq!(app.gets().len(), usize::from(!skips));
    }
    let (path, headers) = app.gets().remove(0);
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!([path, header("dapr-app-id"), header("content-type")], ["dapr/config", "shop", "application/json"]);
}

#[tokio::test]
async fn the_sidecar_is_ready_after_the_first_probe_even_if_the_app_gave_no_answer() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("orders-in", &[("streamName", "orders")]);
    let app = RecordingApp::start().await;
    app.answer_probes(503);
    let sidecar = env.sidecar(Some(&app)).await;
    sidecar.until_ready().await;
    assert_eq!(app.probes().first().map(String::as_str), Some("orders-in"), "it was asked before");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}
