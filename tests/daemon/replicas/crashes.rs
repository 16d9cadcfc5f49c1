//! Workers that are killed, frozen, stopped and restarted.

use super::cluster::{Cluster, Setup, WORKERS};
use rustix::process::Signal;
use std::time::Duration;

async fn killed_workers_lose_nothing(name: &str, setup: Setup) {
    let mut cluster = Cluster::start(setup).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        cluster.workers[round % WORKERS].kill().await;
        cluster.until_flowing().await;
        cluster.workers[round % WORKERS].start().await;
        cluster.until_more(200).await;
    }
    cluster.finish(name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_killed_workers_lose_nothing() {
    killed_workers_lose_nothing("kill -9, shared", Setup::FAULTY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_killed_workers_lose_nothing() {
    killed_workers_lose_nothing("kill -9, fan-out", Setup { mode: "extended", ..Setup::FAULTY }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_frozen_for_longer_than_its_lease_does_no_harm() {
    let mut cluster = Cluster::start(Setup::FAULTY).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        let frozen = round % WORKERS;
        cluster.workers[frozen].send(Signal::STOP);
        // The others took its shards, so its leases have expired.
        cluster.until_flowing().await;
        cluster.workers[frozen].send(Signal::CONT);
        cluster.until_more(200).await;
    }
    cluster.finish("SIGSTOP, SIGCONT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_stop_under_faults_lose_nothing() {
    let mut cluster = Cluster::start(Setup::FAULTY).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        cluster.workers[round % WORKERS].stop().await;
        cluster.until_flowing().await;
        cluster.workers[round % WORKERS].start().await;
        cluster.until_more(200).await;
    }
    cluster.finish("SIGTERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_delivers_nothing_twice() {
    let mut cluster = Cluster::start(Setup::CLEAN).await;
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        for worker in 0..WORKERS {
            cluster.workers[worker].stop().await;
            cluster.workers[worker].start().await;
            cluster.until_flowing().await;
        }
    }
    cluster.finish("rolling restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_all_workers_loses_nothing() {
    let mut cluster = Cluster::start(Setup::FAULTY).await;
    cluster.load.set_pace(Duration::from_millis(50));
    cluster.start_workers().await;
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        for worker in &mut cluster.workers {
            worker.kill().await;
        }
        cluster.start_workers().await;
    }
    cluster.finish("kill -9 of all").await;
}
