//! The engine on ports in memory: one thread, a paused clock, faults from a seed, and the invariants checked at each
//! step. `BINDD_SIMULATION_SEEDS` sets how many seeds are tried (1,000 if unset), `BINDD_SIMULATION_FIRST` where they
//! begin; a failure names its seed.

mod judge;
mod ports;
mod world;

use std::time::Duration;

const SEEDS: u64 = 1_000;
const PARTS: u64 = 4;

fn number(variable: &str, otherwise: u64) -> u64 {
    // The only reader of the environment in this test.
    std::env::vars().find(|(name, _)| name == variable).map_or(otherwise, |(_, value)| {
        value.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is `{value}`"))
    })
}

fn simulate(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let outcome = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(3_600), world::run(seed)).await.unwrap_or(Err("no end".to_owned()))
    });
    if let Err(fault) = outcome {
        panic!("seed {seed}: {fault}\ntry it alone: BINDD_SIMULATION_FIRST={seed} BINDD_SIMULATION_SEEDS=1");
    }
}

fn simulate_part(part: u64) {
    let first = number("BINDD_SIMULATION_FIRST", 0);
    let seeds = number("BINDD_SIMULATION_SEEDS", SEEDS);
    (first..first + seeds).filter(|seed| seed % PARTS == part).for_each(simulate);
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
