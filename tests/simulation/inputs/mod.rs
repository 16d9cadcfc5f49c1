//! The consumer on in-memory streams and leases. A seed decides the settings, and when workers crash, freeze, lose their
//! network or the app, and the stream is resharded. `BINDD_SIMULATION_SEEDS` is the number of seeds (400 if unset),
//! `BINDD_SIMULATION_FIRST` the first one.
//!
//! | fault | where |
//! |---|---|
//! | crash, freeze longer than a lease, restart under the same name, outage of all workers | `actions` |
//! | clocks at different rates, times of day that differ and jump | `clock` |
//! | worker and lease table: requests or replies late, lost, repeated; scans of several pages | `testing::FaultyLeaseStore` |
//! | worker and Kinesis: throttled, 5xx, denied for a minute, no answers, false or incomplete ends | `testing::StreamFaults` |
//! | worker and app: requests or replies lost; app: errors, `Retry-After`, partial and invalid replies, hangs, restarts, poison, slow keys, calls that go on after the worker hung up | `app` |
//! | split, merge, split of a child at once, also while all workers are down; records and closed shards age out | `actions` |
//! | more than 1,000 shards | a test of its own, below |
//! | fan-out: closed, silent, taken over, refused, throttled, ended subscriptions; continuation numbers that are refused | `testing::ModelFanOut`; the pace and the positions are decided by the production code |
//! | stream deleted, and created again under the same name | `neighbours` |
//! | records of 10 MiB, aggregates, expired iterators | `plan` |
//! | workers of the KCL 2.x, or of the KCL 3.x with its leader, in the same table | `kcl`, `kcl_table` |
//!
//! | invariant | where |
//! |---|---|
//! | nothing is lost: each record is accepted, stored as a dead letter, dropped and counted as the settings say, or aged out and counted as a gap | `run`, `rows`, `ledger` |
//! | records of a key, or of a shard, are first accepted in their order | `deliveries` |
//! | only the owner begins calls, no call begins when others may take the lease, epochs do not decrease, no two calls of a key overlap | `deliveries` |
//! | without a fault nothing is delivered twice; otherwise at most the window of a shard | `deliveries` |
//! | a checkpoint never goes back, and is never ahead of what was accepted | `rows` |
//! | what a filter leaves out is never delivered, takes no place, and progress passes it | `deliveries`, `reads`, `checker` |
//! | parents before children | `deliveries` |
//! | records are given up only after their attempts, with a permanent status, or when they are too old by the worker's clock | `deliveries`, `checker` |
//! | memory, window, concurrency and batches are bounded | `reads`, `deliveries` |
//! | calls of Kinesis are bounded: polls, openings, listings, subscriptions | `reads`, `testing::ModelFanOut` |
//! | scans of leases are bounded; after the faults every shard gets an owner and is read to its end; a stop releases all | `run` |
//! | nothing of a stream is delivered under leases of an earlier stream of the same name | `deliveries` |
//!
//! A worker of the KCL takes leases without asking, and goes on until it notices that it has lost one. So it may overlap
//! with a worker of bindd, and records may be delivered twice after such a take: in a run without faults only in shards of
//! which a lease was taken so. A worker of bindd that a KCL took a lease from may begin calls until its fence, and only
//! then may it overlap with the next owner. Nothing is lost, and the order of first acceptances holds in these runs too.
//!
//! That rows have the form of the KCL is tested with the lease table, not here.

mod actions;
mod app;
mod checker;
mod clock;
mod deliveries;
mod filter;
mod kcl;
mod kcl_table;
mod ledger;
#[cfg(feature = "mutants")]
mod mutants;
mod neighbours;
mod plan;
mod reads;
mod rows;
mod run;
mod story;
mod worker;

use super::seeds::Seeds;
use bindd::domain::InitialPosition;

fn simulate_part(part: u64) {
    let seeds = Seeds::from_environment("BINDD_SIMULATION");
    seeds.part(part).for_each(|seed| seeds.simulate(seed, run::run(seed)));
}

#[test]
fn invariants_hold_under_faults_first_quarter() {
    simulate_part(0);
}

#[test]
fn invariants_hold_under_faults_second_quarter() {
    simulate_part(1);
}

#[test]
fn invariants_hold_under_faults_third_quarter() {
    simulate_part(2);
}

#[test]
fn invariants_hold_under_faults_fourth_quarter() {
    simulate_part(3);
}

#[test]
fn more_than_a_thousand_shards_are_read() {
    let seeds = Seeds::from_environment("BINDD_SIMULATION");
    let run = async {
        let mut random = fastrand::Rng::with_seed(1);
        let mut plan = plan::Plan::new(&mut random);
        (plan.is_clean, plan.has_poison, plan.shards, plan.keys) = (true, false, 1_100, 300);
        plan.initial = InitialPosition::TrimHorizon;
        run::Run::of(plan, random, false).many_shards().await
    };
    seeds.simulate(1, run);
}

#[test]
fn a_seed_replays_exactly() {
    let seeds = Seeds::from_environment("BINDD_SIMULATION");
    for seed in 0..20 {
        let (one, other) = (seeds.simulate(seed, run::story(seed)), seeds.simulate(seed, run::story(seed)));
        assert!(one.len() > 50, "seed {seed} has a story of {} events", one.len());
        let difference = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!((difference, one.len()), (None, other.len()), "seed {seed}");
    }
}
