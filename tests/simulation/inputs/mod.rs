//! The consumer on in-memory streams and leases. A seed decides the settings, and when workers crash, freeze, lose their
//! network or the app, and the stream is resharded. `BINDD_SIMULATION_SEEDS` is the number of seeds (1,000 if unset),
//! `BINDD_SIMULATION_FIRST` the first one.

mod actions;
mod app;
mod checker;
mod clock;
mod deliveries;
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
