//! The producer against a model stream: every result is compared with the records in the stream.
//! `BINDD_OUTPUT_SIMULATION_SEEDS` is the number of seeds (400 if unset), `BINDD_OUTPUT_SIMULATION_FIRST` the first one.

mod caller;
mod invariants;
mod ledger;
mod overload;
mod plan;
mod run;

use super::seeds::Seeds;
use invariants::Coverage;

/// From this number of seeds on, each event of [`Coverage`] must have happened.
const MIN_SEEDS: u64 = 400;

fn simulate_part(part: u64) {
    let seeds = Seeds::from_environment("BINDD_OUTPUT_SIMULATION");
    let mut sum = Coverage::default();
    seeds.part(part).for_each(|seed| sum.add(seeds.simulate(seed, run::run(seed))));
    if seeds.count >= MIN_SEEDS {
        assert_eq!(sum.missing(), Vec::<&str>::new(), "the simulation does not cover enough: {sum:?}");
    }
}

#[test]
fn results_agree_with_the_stream_first_quarter() {
    simulate_part(0);
}

#[test]
fn results_agree_with_the_stream_second_quarter() {
    simulate_part(1);
}

#[test]
fn results_agree_with_the_stream_third_quarter() {
    simulate_part(2);
}

#[test]
fn results_agree_with_the_stream_fourth_quarter() {
    simulate_part(3);
}
