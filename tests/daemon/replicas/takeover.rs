//! How long shards are not read after their owner is killed or stopped, without other faults. The times are printed, since
//! a slow machine makes them longer.

use super::cluster::{Cluster, Setup, WORKERS};
use std::time::Duration;
use tokio::time::Instant;

async fn shards_flow_again(name: &str, setup: Setup) {
    let mut cluster = Cluster::start(Setup { has_faults: false, may_repeat: true, ..setup }).await;
    cluster.start_workers().await;
    let (mut killed, mut stopped) = (Vec::new(), Vec::new());
    for round in 0.. {
        if !cluster.goes_on(round) {
            break;
        }
        for (is_killed, times) in [(true, &mut killed), (false, &mut stopped)] {
            let worker = (2 * round + usize::from(is_killed)) % WORKERS;
            // It holds a lease, and reads.
            cluster.until_called_by(worker).await;
            let begun = Instant::now();
            match is_killed {
                true => cluster.workers[worker].kill().await,
                false => cluster.workers[worker].stop().await,
            }
            cluster.until_flowing().await;
            times.push(begun.elapsed());
            cluster.workers[worker].start().await;
        }
    }
    #[expect(clippy::print_stdout, reason = "the times are the result")]
    {
        println!("{name}: flowing again {} after a kill, {} after a stop", seconds(&killed), seconds(&stopped));
    }
    cluster.finish(name).await;
}

fn seconds(times: &[Duration]) -> String {
    let times: Vec<String> = times.iter().map(|time| format!("{:.1} s", time.as_secs_f64())).collect();
    times.join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_shards_flow_again() {
    shards_flow_again("takeover, shared", Setup::FAULTY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_shards_flow_again() {
    shards_flow_again("takeover, fan-out", Setup { mode: "extended", ..Setup::FAULTY }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_shards_flow_again_at_the_default_lease_duration() {
    shards_flow_again("takeover, shared, 10 s leases", Setup { lease: "10s", ..Setup::FAULTY }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_shards_flow_again_at_the_default_lease_duration() {
    let setup = Setup { lease: "10s", mode: "extended", ..Setup::FAULTY };
    shards_flow_again("takeover, fan-out, 10 s leases", setup).await;
}
