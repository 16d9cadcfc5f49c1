//! The consumer on in-memory streams and leases, with lost replies, expired iterators, throttling, resharding, crashes and
//! an unavailable lease store. `BINDD_SIMULATION_SEEDS` is the number of seeds (1,000 if unset), `BINDD_SIMULATION_FIRST`
//! the first one.

mod invariants;
mod ports;
mod run;

use super::seeds::Seeds;

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
