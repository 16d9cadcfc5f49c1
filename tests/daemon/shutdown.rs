use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use bindd::daemon::Shutdown;
use std::time::Duration;

#[tokio::test]
async fn a_call_of_the_api_stops_the_daemon() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let address = sidecar.address();
    let (shutdown, response) = tokio::join!(sidecar.serve(), calls::post(address, "/v1.0/shutdown", ""));
    assert_eq!((shutdown, response.status.as_u16()), (Shutdown::Clean, 204));
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port must be closed");
}

#[tokio::test]
async fn records_in_flight_are_waited_for_before_the_end() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    // Two of each of the five keys.
    let all = env.put("orders", "order-", 10).await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("the first record of each key", |events| events.len() == 5).await;
    let address = sidecar.address();
    let (shutdown, ()) = tokio::join!(sidecar.stop(), async {
        bindd::testing::until("the sidecar to be unready", async || {
            (calls::get(address, "/v1.0/healthz").await.status == 500).then_some(())
        })
        .await;
        app.behave(Behaviour::Respond(200));
    });
    assert_eq!(shutdown, Shutdown::Clean);
    let mut accepted = app.accepted();
    accepted.sort();
    assert_eq!(accepted, all[..5], "nothing new begins while stopping");

    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;
    let mut accepted = app.accepted();
    accepted.sort();
    assert_eq!(accepted, all, "the accepted records were checkpointed, the rest comes once");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_record_that_the_app_never_answers_is_cut_and_comes_again() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input_with_short_leases("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let all = env.put("orders", "order-", 3).await;
    let mut settings = env.settings(Some(&app));
    settings.graceful_shutdown = Some(Duration::from_secs(1));
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until("the records", |events| events.len() == all.len()).await;
    assert_eq!(sidecar.stop().await, Shutdown::Aborted, "an abort is reported by the exit code");

    app.behave(Behaviour::Respond(200));
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("the same record again", |events| {
        events.iter().filter(|event| event.body == all[0].as_bytes()).count() >= 2
    })
    .await;
    app.until_accepted(&all).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_stop_under_load_loses_and_repeats_nothing() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let enough = |events: &[crate::fakes::Event]| events.len() >= 20;
    let putting = env.put("orders", "order-", 300);
    let stopping = async {
        app.until("deliveries to be under way", enough).await;
        sidecar.stop().await
    };
    let (all, shutdown) = tokio::join!(putting, stopping);
    assert_eq!(shutdown, Shutdown::Clean);
    assert!(app.accepted().len() < all.len(), "the stop came in the middle");

    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&all).await;
    assert_eq!(app.events().len(), all.len(), "a clean stop costs no repeated delivery");
    crate::inputs::assert_in_order(&app.events());
    sidecar.stop().await;
}
