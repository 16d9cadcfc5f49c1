//! An app that is down, that rejects one key, or that is slower than the stream.

use super::cluster::{Cluster, Setup, WORKERS};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_was_down_gets_everything() {
    let mut cluster = Cluster::start(Setup::FAULTY).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        cluster.app.change(|behaviour| behaviour.is_down = true);
        cluster.load.until_more(20).await;
        // One worker dies meanwhile.
        cluster.workers[round % WORKERS].kill().await;
        cluster.workers[round % WORKERS].start().await;
        cluster.app.change(|behaviour| behaviour.is_down = false);
        cluster.until_flowing().await;
    }
    cluster.finish("app outage").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_key_does_not_stop_the_others() {
    const POISON: &str = "key-3";
    let mut cluster = Cluster::start(Setup::FAULTY).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        cluster.app.change(|behaviour| behaviour.poison = Some(POISON.to_owned()));
        let rejected = cluster.app.rejected(POISON);
        cluster.until_flowing_except(POISON).await;
        assert!(cluster.app.rejected(POISON) > rejected, "the others go on beside it");
        // Also with another owner, which begins before the poison record.
        cluster.workers[round % WORKERS].kill().await;
        cluster.until_flowing_except(POISON).await;
        cluster.workers[round % WORKERS].start().await;
        cluster.app.change(|behaviour| behaviour.poison = None);
        cluster.until_flowing().await;
    }
    cluster.finish("poison key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_slower_than_the_stream_gets_everything() {
    let mut cluster = Cluster::start(Setup::FAULTY).await;
    cluster.app.change(|behaviour| behaviour.time = Duration::from_millis(100));
    cluster.load.set_pace(Duration::from_millis(20));
    for worker in &mut cluster.workers {
        worker.start().await;
    }
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        cluster.load.until_more(200).await;
        cluster.until_more(50).await;
    }
    let memory: Vec<_> = cluster.workers.iter().filter_map(super::worker::Worker::peak_memory).collect();
    println!("slow app: {} records wait, peak memory {memory:?} MB", cluster.waiting());
    cluster.app.change(|behaviour| behaviour.time = Duration::ZERO);
    cluster.finish("slow app").await;
}
