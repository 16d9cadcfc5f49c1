//! The producer engine against a model stream: every answer is compared with what the stream holds.
//! `BINDD_OUTPUT_SIMULATION_SEEDS` says how many seeds are tried (1,000 if unset), `BINDD_OUTPUT_SIMULATION_FIRST` where
//! they begin.

mod caller;
mod judge;
mod ledger;
mod overload;
mod plan;
mod world;

use super::seeds::Seeds;
use judge::Tally;

/// With so many seeds everything that can happen has happened.
const ENOUGH: u64 = 400;

fn simulate_part(part: u64) {
    let seeds = Seeds::from_environment("BINDD_OUTPUT_SIMULATION");
    let mut sum = Tally::default();
    seeds.part(part).for_each(|seed| sum.add(seeds.simulate(seed, world::run(seed))));
    if seeds.count >= ENOUGH {
        assert_eq!(sum.missing(), Vec::<&str>::new(), "the simulation does not try enough: {sum:?}");
    }
}

#[test]
fn every_answer_is_true_first_quarter() {
    simulate_part(0);
}

#[test]
fn every_answer_is_true_second_quarter() {
    simulate_part(1);
}

#[test]
fn every_answer_is_true_third_quarter() {
    simulate_part(2);
}

#[test]
fn every_answer_is_true_fourth_quarter() {
    simulate_part(3);
}
