//! §2.8: how many calls of the app are under way at the same time. That the app gets further health checks, which do not
//! count, tells that time has passed.

use super::app_health::with_checks;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use std::collections::HashSet;
use std::num::NonZeroUsize;

#[tokio::test]
async fn one_limit_counts_events_of_all_inputs_and_no_health_checks() {
    let env = Environment::start().await;
    let mut records = Vec::new();
    for name in ["first", "second"] {
        env.stream(name, 1).await;
        env.input(&format!("{name}-in"), name, "shared");
        records.extend(env.put(name, name, 1).await);
    }
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let mut settings = with_checks(env.settings(Some(&app)));
    settings.app_max_concurrency = NonZeroUsize::new(1);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until("an event", |events| !events.is_empty()).await;
    app.until_more_gets(20).await;
    assert_eq!(app.events().len(), 1, "2.8 one slot for both inputs; health checks need none");
    app.behave(Behaviour::Respond(200));
    app.until_accepted(&records).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn the_limit_counts_probes() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.input("orders-in", "orders", "shared");
    env.put("orders", "order-", 1).await;
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let mut settings = with_checks(env.settings(Some(&app)));
    settings.app_max_concurrency = NonZeroUsize::new(1);
    settings.reload.watch = Some(true);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    app.until("an event", |events| !events.is_empty()).await;
    env.kinesis_component("probed", &[("streamName", "orders"), ("consumerName", "probed")]);
    bindd::testing::until("3.6 the component that was added", async || {
        let page = crate::calls::get(sidecar.address(), "/v1.0/metadata").await;
        page.text().contains(r#""name":"probed""#).then_some(())
    })
    .await;
    app.until_more_gets(20).await;
    assert!(app.probes().is_empty(), "2.8 the event has the only slot");
    app.behave(Behaviour::Respond(200));
    bindd::testing::until("2.8 the probe", async || (!app.probes().is_empty()).then_some(())).await;
    sidecar.stop().await;
}

/// daprd has no other order.
#[tokio::test]
async fn with_order_shard_one_record_of_each_shard_is_under_way() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    let fields = [("streamName", "orders"), ("initialPosition", "trim_horizon"), ("direction", "input")];
    env.kinesis_component("orders-in", &[&fields[..], &[("order", "shard")]].concat());
    let records = env.put("orders", "order-", 10).await;
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let sidecar = Sidecar::start(&with_checks(env.settings(Some(&app)))).await.unwrap();
    app.until("2.8 shards are read in parallel", |events| events.len() == 2).await;
    app.until_more_gets(20).await;
    let events = app.events();
    let shards: HashSet<&str> = events.iter().map(|event| event.header("bindd-shard-id")).collect();
    assert_eq!((events.len(), shards.len()), (2, 2), "2.8 one record at a time of a shard");
    app.behave(Behaviour::Respond(200));
    app.until_accepted(&records).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn firings_of_a_schedule_overlap() {
    let env = Environment::start().await;
    let schedule = "  metadata: [{name: schedule, value: \"@every 1s\"}, {name: direction, value: input}]\n";
    let kind = "metadata: {name: tick}\nspec:\n  type: bindings.cron\n  version: v1\n";
    env.file("tick.yaml", &format!("apiVersion: dapr.io/v1alpha1\nkind: Component\n{kind}{schedule}"));
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("2.8 a second firing beside the first one", |events| events.len() >= 2).await;
    app.behave(Behaviour::Respond(200));
    sidecar.stop().await;
}
