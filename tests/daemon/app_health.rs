//! Health checks of the app start and stop the inputs, and nothing is lost.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Event, RecordingApp};
use crate::inputs::assert_in_order;
use bindd::daemon::Shutdown;
use bindd::domain::Stop;
use bindd::settings::{AppHealthSettings, Settings};
use bindd::testing::{until, within};
use std::collections::HashSet;
use std::time::Duration;

fn with_checks(mut settings: Settings) -> Settings {
    settings.app_health = Some(AppHealthSettings {
        path: "/health/ready".to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(60),
        threshold: 2,
    });
    settings
}

/// How many shards have an owner.
async fn owned(env: &Environment) -> usize {
    let scan = env.dynamodb.scan().table_name("orders-in").consistent_read(true).send().await;
    let rows = scan.ok().and_then(|scan| scan.items).unwrap_or_default();
    rows.iter().filter(|row| row.contains_key("leaseOwner")).count()
}

#[tokio::test]
async fn records_wait_while_the_app_is_unhealthy_and_none_is_lost() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    app.answer_gets(500);
    let mut all = env.put("orders", "first-", 10).await;
    let sidecar = Sidecar::start(&with_checks(env.settings(Some(&app)))).await.unwrap();
    // An unhealthy app does not keep the sidecar from being ready.
    sidecar.until_ready().await;
    app.until_more_gets(3).await;
    assert!(app.events().is_empty() && owned(&env).await == 0, "the app is unhealthy at first");
    let page = calls::get(sidecar.address(), "/v1.0-alpha1/inputs").await;
    assert!(page.text().contains("the app is not healthy, so its inputs are not read"), "{}", page.text());

    for round in 0..3 {
        app.answer_gets(200);
        app.until_accepted(&all).await;
        // Fails while records flow.
        let prefix = format!("flowing-{round}-");
        let flowing = env.put("orders", &prefix, 40);
        let failing = async {
            let enough = |events: &[Event]| events.iter().any(|one| one.text().starts_with(&prefix));
            app.until("a record", enough).await;
            app.answer_gets(500);
        };
        let (flowing, ()) = tokio::join!(flowing, failing);
        all.extend(flowing);
        until("the inputs to be stopped", async || (owned(&env).await == 0).then_some(())).await;
        let before = app.events().len();
        all.extend(env.put("orders", &format!("waiting-{round}-"), 10).await);
        app.until_more_gets(3).await;
        assert_eq!(app.events().len(), before, "nothing is delivered meanwhile");
    }
    app.answer_gets(200);
    app.until_accepted(&all).await;
    assert_in_order(&app.events());
    let delivered: HashSet<String> = app.accepted().into_iter().collect();
    assert_eq!((delivered.len(), app.events().len()), (all.len(), all.len()), "and nothing twice");
    assert_eq!(app.gets().iter().filter(|(path, _)| path == "dapr/config").count(), 1);
    assert!(app.gets().iter().all(|(path, _)| path == "dapr/config" || path == "health/ready"));
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_block_serves_the_outputs_without_inputs_until_the_app_is_unhealthy() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    let mut settings = with_checks(env.settings(Some(&app)));
    settings.block_shutdown = Some(Duration::from_secs(3_600));
    let all = env.put("orders", "order-", 5).await;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until_accepted(&all).await;
    let (address, stop) = (sidecar.address(), Stop::new());
    let script = async {
        stop.finish();
        until("the input to be stopped", async || (owned(&env).await == 0).then_some(())).await;
        env.put("orders", "late-", 5).await;
        app.until_more_gets(3).await;
        assert_eq!(app.events().len(), all.len(), "inputs are stopped for good");
        assert_eq!(calls::get(address, "/v1.0/healthz").await.status, 204, "the APIs stay open");
        app.answer_gets(500);
    };
    let (shutdown, ()) =
        within("the end of the block", Box::pin(async { tokio::join!(sidecar.run_until(&stop), script) })).await;
    assert_eq!(shutdown, Shutdown::Clean);
}
