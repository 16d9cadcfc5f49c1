use crate::environment::Environment;
use crate::fakes::RecordingApp;
use crate::inputs::assert_in_order;
use bindd::daemon::Shutdown;

async fn a_restart_goes_on_after_the_last_accepted_record(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", mode);
    let app = RecordingApp::start().await;
    let first = env.put("orders", "first-", 10).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&first).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);

    let second = env.put("orders", "second-", 10).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&second).await;
    assert_eq!(app.events().len(), 20, "nothing is delivered twice over a clean restart");
    assert_in_order(&app.events());
    sidecar.stop().await;
}

#[tokio::test]
async fn shared_goes_on_after_the_last_accepted_record() {
    a_restart_goes_on_after_the_last_accepted_record("shared").await;
}

#[tokio::test]
async fn fan_out_goes_on_after_the_last_accepted_record() {
    a_restart_goes_on_after_the_last_accepted_record("extended").await;
}

#[tokio::test]
async fn a_crash_loses_nothing() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input_with_short_leases("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    let all = env.put("orders", "order-", 40).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("some deliveries", |events| events.iter().filter(|event| event.accepted).count() >= 5).await;
    sidecar.crash();

    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;
    sidecar.stop().await;
}
