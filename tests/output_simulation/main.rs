//! The engine of outputs against a model stream: one thread, a paused clock, faults from a seed, and every answer
//! compared with what the stream holds. `BINDD_OUTPUT_SIMULATION_SEEDS` sets how many seeds are tried (1,000 if
//! unset), `BINDD_OUTPUT_SIMULATION_FIRST` where they begin; a failure names its seed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this whole crate is a test")]

mod caller;
mod judge;
mod ledger;
mod overload;
mod plan;
mod world;

use judge::Tally;
use std::time::Duration;

const SEEDS: u64 = 1_000;
const PARTS: u64 = 4;
/// With so many seeds everything that can happen has happened.
const ENOUGH: u64 = 400;

fn number(variable: &str, otherwise: u64) -> u64 {
    // The only reader of the environment in this test.
    std::env::vars().find(|(name, _)| name == variable).map_or(otherwise, |(_, value)| {
        value.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is `{value}`"))
    })
}

fn simulate(seed: u64) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let outcome = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(3_600), world::run(seed)).await.unwrap_or(Err("no end".to_owned()))
    });
    outcome.unwrap_or_else(|fault| {
        panic!(
            "seed {seed}: {fault}\n\
             try it alone: BINDD_OUTPUT_SIMULATION_FIRST={seed} BINDD_OUTPUT_SIMULATION_SEEDS=1"
        )
    })
}

fn simulate_part(part: u64) {
    let first = number("BINDD_OUTPUT_SIMULATION_FIRST", 0);
    let seeds = number("BINDD_OUTPUT_SIMULATION_SEEDS", SEEDS);
    let mut sum = Tally::default();
    (first..first + seeds).filter(|seed| seed % PARTS == part).for_each(|seed| sum.add(simulate(seed)));
    if seeds >= ENOUGH {
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
