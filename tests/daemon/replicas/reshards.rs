//! Shards that are split and merged under load.

use super::cluster::{Cluster, Setup};

async fn shards_are_split_and_merged_under_load(name: &str, setup: Setup) {
    let mut cluster = Cluster::start(setup).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        cluster.split(round).await;
        cluster.until_more(50).await;
        // A child at once, before its parent was read.
        cluster.split(round).await;
        cluster.split(round).await;
        cluster.until_more(50).await;
        for _ in 0..3 {
            cluster.merge(round).await;
        }
        cluster.until_flowing().await;
    }
    cluster.finish(name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_shards_are_split_and_merged_under_load() {
    let setup = Setup { shards: 2, ..Setup::FAULTY };
    shards_are_split_and_merged_under_load("split and merge, shared", setup).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_shards_are_split_and_merged_under_load() {
    let setup = Setup { shards: 2, mode: "extended", ..Setup::FAULTY };
    shards_are_split_and_merged_under_load("split and merge, fan-out", setup).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_split_and_merged_while_all_workers_are_down() {
    let mut cluster = Cluster::start(Setup { shards: 2, ..Setup::FAULTY }).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        for worker in &mut cluster.workers {
            match round % 2 {
                0 => worker.kill().await,
                _ => worker.stop().await,
            }
        }
        cluster.split(round).await;
        cluster.load.until_more(2).await;
        cluster.split(round).await;
        cluster.load.until_more(2).await;
        cluster.merge(round).await;
        cluster.merge(round).await;
        cluster.load.until_more(2).await;
        cluster.start_workers().await;
    }
    cluster.finish("split and merge while down").await;
}
