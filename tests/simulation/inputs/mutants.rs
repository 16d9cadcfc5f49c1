//! Breaks rules of the engine one by one. The simulation must notice each within some seeds.

use super::super::seeds::Seeds;
use super::run;
use bindd::consumer::mutants::{Mutant, break_rule};

/// Most are noticed within twenty seeds.
const SEEDS: u64 = 400;

fn must_be_noticed(mutant: Mutant) {
    break_rule(Some(mutant));
    let seeds = Seeds::from_environment("BINDD_SIMULATION");
    let is_noticed = (0..SEEDS).any(|seed| seeds.outcome(run::run(seed)).is_err());
    break_rule(None);
    assert!(is_noticed, "{mutant:?} was not noticed in {SEEDS} seeds");
}

macro_rules! noticed {
    ($($name:ident: $mutant:ident,)*) => {
        $(
            #[test]
            fn $name() {
                must_be_noticed(Mutant::$mutant);
            }
        )*
    };
}

noticed! {
    a_checkpoint_ahead_of_acceptance: CheckpointAhead,
    a_child_before_its_parents: ParentsIgnored,
    a_child_at_latest: ChildrenAtLatest,
    a_fence_that_is_ignored: FenceIgnored,
    a_fence_dated_from_the_reply: FenceFromReply,
    an_adopted_row_that_counts_as_renewed: AdoptionRenews,
    a_fence_without_a_margin: MarginRemoved,
    renewals_that_wait_for_the_app: RenewalsWait,
    a_second_parent_that_is_ignored: SecondParentIgnored,
    a_shard_that_is_opened_after_its_position: OpenedAfter,
    records_that_are_dropped_with_a_failed_read: BatchDropped,
    a_handoff_that_is_not_awaited: HandoffNotAwaited,
    two_calls_of_one_key: KeysOverlap,
    followers_that_pass: FollowersPass,
    a_window_that_is_ignored: WindowIgnored,
    a_dead_letter_that_is_not_confirmed: DeadLetterUnconfirmed,
    a_rest_of_an_aggregate_that_is_skipped: SubSequenceIgnored,
    a_backoff_that_never_grows: BackoffNeverGrows,
    a_gap_that_is_not_reported: GapNotReported,
    an_end_that_is_believed: EndBelieved,
    filtered_records_that_are_not_passed: FilteredNotPassed,
}
