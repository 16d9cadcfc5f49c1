//! The consumer engine on memory streams and leases, with lost replies, expired iterators, throttles, reshards, kills and
//! freezes. `BINDD_SIMULATION_SEEDS` says how many seeds are tried (1,000 if unset), `BINDD_SIMULATION_FIRST` where they
//! begin.

mod judge;
mod ports;
mod world;

use super::seeds::Seeds;

fn simulate_part(part: u64) {
    let seeds = Seeds::from_environment("BINDD_SIMULATION");
    seeds.part(part).for_each(|seed| seeds.simulate(seed, world::run(seed)));
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
