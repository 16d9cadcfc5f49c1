//! Two sidecars that share the shards of a stream.

use crate::environment::Environment;
use crate::fakes::RecordingApp;
use bindd::testing::until;

/// Texts that one of the apps accepted.
fn accepted(apps: [&RecordingApp; 2]) -> Vec<String> {
    apps.iter().flat_map(|app| app.accepted()).collect()
}

#[tokio::test]
async fn shards_are_shared_and_those_of_a_stopped_worker_are_taken_over() {
    let env = Environment::start().await;
    env.stream("orders", 4).await;
    env.input_with_short_leases("orders-in", "orders", "shared");
    let (left, right) = (RecordingApp::start().await, RecordingApp::start().await);
    let first = env.sidecar(Some(&left)).await;
    let second = env.sidecar(Some(&right)).await;

    let mut all = Vec::new();
    let mut round = 0;
    until("both to have taken shards", async || {
        round += 1;
        all.extend(env.put("orders", &format!("shared-{round}-"), 5).await);
        (!left.events().is_empty() && !right.events().is_empty()).then_some(())
    })
    .await;
    until("everything to be accepted", async || {
        let accepted = accepted([&left, &right]);
        all.iter().all(|text| accepted.contains(text)).then_some(())
    })
    .await;

    first.stop().await;
    let rest = env.put("orders", "rest-", 20).await;
    right.until_accepted(&rest).await;
    second.stop().await;
}

#[tokio::test]
async fn shards_of_a_crashed_worker_are_taken_over() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input_with_short_leases("orders-in", "orders", "shared");
    let (left, right) = (RecordingApp::start().await, RecordingApp::start().await);
    let first = env.sidecar(Some(&left)).await;
    let before = env.put("orders", "before-", 5).await;
    left.until_accepted(&before).await;
    let second = env.sidecar(Some(&right)).await;
    first.crash();
    let rest = env.put("orders", "rest-", 10).await;
    right.until_accepted(&rest).await;
    second.stop().await;
}
