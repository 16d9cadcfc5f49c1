use crate::fakes::RecordingApp;
use crate::world::World;
use bindd::testing::until;

/// Texts that either app accepted.
fn accepted(apps: [&RecordingApp; 2]) -> Vec<String> {
    apps.iter().flat_map(|app| app.accepted()).collect()
}

#[tokio::test]
async fn shards_are_shared_and_those_of_a_stopped_one_taken_over() {
    let world = World::start().await;
    world.stream("orders", 4).await;
    world.input_with_short_leases("orders-in", "orders", "shared");
    let (left, right) = (RecordingApp::start().await, RecordingApp::start().await);
    let first = world.sidecar(Some(&left)).await;
    let second = world.sidecar(Some(&right)).await;

    let mut all = Vec::new();
    let mut round = 0;
    until("both to have taken shards", async || {
        round += 1;
        all.extend(world.put("orders", &format!("shared-{round}-"), 5).await);
        (!left.events().is_empty() && !right.events().is_empty()).then_some(())
    })
    .await;
    until("everything to be accepted", async || {
        let accepted = accepted([&left, &right]);
        all.iter().all(|text| accepted.contains(text)).then_some(())
    })
    .await;

    first.stop().await;
    let rest = world.put("orders", "rest-", 20).await;
    right.until_accepted(&rest).await;
    second.stop().await;
}

#[tokio::test]
async fn shards_of_a_crashed_one_are_taken_over() {
    let world = World::start().await;
    world.stream("orders", 2).await;
    world.input_with_short_leases("orders-in", "orders", "shared");
    let (left, right) = (RecordingApp::start().await, RecordingApp::start().await);
    let first = world.sidecar(Some(&left)).await;
    let begun = world.put("orders", "begun-", 5).await;
    left.until_accepted(&begun).await;
    let second = world.sidecar(Some(&right)).await;
    first.crash();
    let rest = world.put("orders", "rest-", 10).await;
    right.until_accepted(&rest).await;
    second.stop().await;
}
