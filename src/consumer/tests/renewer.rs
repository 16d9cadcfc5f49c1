use super::*;
use crate::consumer::tests::{after, lease, shard};
use proptest::prelude::*;

const D: Duration = Duration::from_secs(10);

struct Bench {
    renewer: LeaseRenewer,
    begun: Instant,
}

impl Bench {
    fn new() -> Self {
        let settings = RenewerSettings { lease_duration: D, checkpoint_interval: Duration::from_secs(1), seed: 7 };
        let begun = Instant::now();
        Self { renewer: LeaseRenewer::new(&lease(0, Some("a"), 1), &settings, begun), begun }
    }

    fn at(&self, millis: u64) -> Instant {
        self.begun + Duration::from_millis(millis)
    }

    fn apply(&mut self, event: Event, millis: u64) -> Vec<Effect> {
        self.renewer.apply(event, self.at(millis))
    }

    fn done(&mut self, sent: u64, result: CallResult, millis: u64) -> Vec<Effect> {
        let event = Event::CallDone { begun: self.at(sent), result, handed_off: false };
        self.apply(event, millis)
    }

    fn fence(&self) -> Duration {
        self.renewer.fence() - self.begun
    }
}

fn progress(number: u128) -> Event {
    Event::Progress(after(number))
}

fn checkpoint(number: u128) -> Vec<Effect> {
    vec![Effect::Call(LeaseCall::Checkpoint(after(number)))]
}

fn unavailable(kind: FailureKind) -> LeaseError {
    LeaseError::Unavailable { doing: "writing".to_owned(), kind, source: "on purpose".into() }
}

fn lost() -> LeaseError {
    LeaseError::Lost { shard: shard(0) }
}

fn renewed() -> CallResult {
    CallResult::Renewed(Ok(Renewed::Held))
}

#[test]
fn a_reset_is_stored_at_once_and_progress_after_it() {
    let mut bench = Bench::new();
    let start = ResetPosition::TrimHorizon;
    bench.apply(progress(50), 10);
    assert_eq!(bench.apply(Event::Reset(start), 20), [Effect::Call(LeaseCall::Reset(start))]);
    assert_eq!(bench.apply(progress(5), 30), []);
    let effects = bench.done(20, CallResult::Reset(start, Ok(())), 40);
    assert!(effects.contains(&Effect::Report(Report::Stored(start.checkpoint()))), "{effects:?}");
    assert_eq!(bench.apply(Event::Woke, 1_100), checkpoint(5));
}

#[test]
fn a_lease_is_verified_only_by_a_write_that_was_sent_later() {
    let mut bench = Bench::new();
    bench.apply(progress(5), 10);
    assert_eq!(bench.apply(Event::Woke, 1_000), checkpoint(5));
    assert_eq!(bench.apply(Event::Verify, 1_010), []);
    let effects = bench.done(1_000, CallResult::Checkpointed(after(5), Ok(())), 1_020);
    assert!(!effects.contains(&Effect::Report(Report::Verified)), "{effects:?}");
    assert_eq!(effects.last(), Some(&Effect::Call(LeaseCall::Renew)));
    let effects = bench.done(1_020, renewed(), 1_030);
    assert!(effects.contains(&Effect::Report(Report::Verified)), "{effects:?}");
}

#[test]
fn the_fence_counts_from_the_moment_at_which_a_renewal_was_sent() {
    let mut bench = Bench::new();
    assert_eq!(bench.fence(), D * 4 / 5);
    assert!(bench.apply(Event::Woke, 2_900).is_empty());
    assert_eq!(bench.apply(Event::Woke, 3_400), [Effect::Call(LeaseCall::Renew)]);
    let effects = bench.done(3_400, renewed(), 5_000);
    assert_eq!(effects, [Effect::SetFence(bench.at(11_400))]);
}

#[test]
fn renewals_are_up_to_a_tenth_early() {
    let bench = Bench::new();
    let wake = bench.renewer.wake_at() - bench.begun;
    assert!(wake > D * 9 / 30 && wake <= D / 3, "{wake:?}");
}

#[test]
fn progress_is_stored_each_checkpoint_interval_with_the_newest_value() {
    let mut bench = Bench::new();
    assert!(bench.apply(progress(1), 100).is_empty());
    assert!(bench.apply(progress(5), 200).is_empty());
    assert_eq!(bench.renewer.wake_at(), bench.at(1_000));
    assert_eq!(bench.apply(Event::Woke, 1_000), checkpoint(5));
    assert!(bench.apply(progress(6), 1_010).is_empty(), "one call at a time");
    let effects = bench.done(1_000, CallResult::Checkpointed(after(5), Ok(())), 1_020);
    assert_eq!(effects, [Effect::SetFence(bench.at(9_000)), Effect::Report(Report::Stored(after(5)))]);
    assert_eq!(bench.renewer.wake_at(), bench.at(2_020));
    assert_eq!(bench.apply(Event::Woke, 2_020), checkpoint(6));
}

#[test]
fn checkpoints_are_renewals() {
    let mut bench = Bench::new();
    for second in 1..=20 {
        bench.apply(progress(second.into()), second * 1_000);
        let effects = bench.apply(Event::Woke, second * 1_000);
        assert_eq!(effects.len() + 1, 1, "the progress itself began the checkpoint");
        bench.done(second * 1_000, CallResult::Checkpointed(after(second.into()), Ok(())), second * 1_000);
    }
    assert_eq!(bench.fence(), Duration::from_secs(28));
}

#[test]
fn while_the_table_throttles_progress_is_stored_only_by_renewals() {
    let mut bench = Bench::new();
    bench.apply(progress(1), 100);
    assert_eq!(bench.apply(Event::Woke, 1_000), checkpoint(1));
    let throttled = CallResult::Checkpointed(after(1), Err(unavailable(FailureKind::Throttled)));
    assert!(bench.done(1_000, throttled, 1_050).is_empty());
    let wake = bench.renewer.wake_at();
    assert!(wake >= bench.at(3_000), "{:?}", wake - bench.begun);
    assert_eq!(bench.renewer.apply(Event::Woke, wake), checkpoint(1));
}

#[test]
fn other_failures_are_repeated_soon() {
    let mut bench = Bench::new();
    bench.apply(progress(1), 100);
    bench.apply(Event::Woke, 1_000);
    bench.done(1_000, CallResult::Checkpointed(after(1), Err(unavailable(FailureKind::Transient))), 1_050);
    let wake = bench.renewer.wake_at();
    assert!(wake > bench.at(1_050) && wake <= bench.at(1_100), "{:?}", wake - bench.begun);
    assert_eq!(bench.renewer.apply(Event::Woke, wake), checkpoint(1));
}

#[test]
fn the_fence_ends_it_even_while_a_call_hangs() {
    let mut bench = Bench::new();
    assert_eq!(bench.apply(Event::Woke, 3_400), [Effect::Call(LeaseCall::Renew)]);
    assert_eq!(bench.renewer.wake_at(), bench.at(8_000));
    assert_eq!(bench.apply(Event::Woke, 8_000), [Effect::End(RenewerEnd::Lost)]);
    assert!(bench.done(3_400, renewed(), 8_001).is_empty(), "an answer after the end changes nothing");
    assert!(bench.apply(progress(9), 8_002).is_empty(), "no checkpoint after the end");
}

#[test]
fn a_lease_that_another_worker_took_is_lost() {
    let mut bench = Bench::new();
    bench.apply(progress(3), 100);
    bench.apply(Event::Woke, 3_400);
    assert_eq!(bench.done(3_400, CallResult::Renewed(Err(lost())), 3_500), [Effect::End(RenewerEnd::Lost)]);
}

#[test]
fn an_unusable_store_ends_it() {
    let mut bench = Bench::new();
    bench.apply(Event::Woke, 3_400);
    let unusable = LeaseError::Unusable { reason: "on purpose".to_owned() };
    assert_eq!(bench.done(3_400, CallResult::Renewed(Err(unusable)), 3_500), [Effect::End(RenewerEnd::Failed)]);
}

#[test]
fn a_handoff_is_reported_once_from_any_write_and_again_after_it_was_withdrawn() {
    let mut bench = Bench::new();
    let mut report = |handed_off: bool, second: u64| {
        bench.apply(progress(second.into()), second * 1_000);
        let result = CallResult::Checkpointed(after(second.into()), Ok(()));
        let event = Event::CallDone { begun: bench.at(second * 1_000), result, handed_off };
        bench.apply(event, second * 1_000).contains(&Effect::Report(Report::HandoffRequested))
    };
    let reports = [(false, 1), (true, 2), (true, 3), (false, 4), (true, 5)].map(|(flag, at)| report(flag, at));
    assert_eq!(reports, [false, true, false, false, true]);
}

#[test]
fn a_release_stores_the_last_progress_first() {
    let mut bench = Bench::new();
    bench.apply(progress(3), 100);
    let until = bench.at(5_000);
    assert_eq!(bench.apply(Event::Release { until }, 200), checkpoint(3));
    let effects = bench.done(200, CallResult::Checkpointed(after(3), Ok(())), 250);
    assert_eq!(effects.last(), Some(&Effect::Call(LeaseCall::Release)));
    assert_eq!(bench.done(250, CallResult::Released(Ok(())), 300), [Effect::End(RenewerEnd::Released)]);
}

#[test]
fn a_release_that_takes_too_long_is_given_up() {
    let mut bench = Bench::new();
    let until = bench.at(5_000);
    assert_eq!(bench.apply(Event::Release { until }, 200), [Effect::Call(LeaseCall::Release)]);
    assert_eq!(bench.renewer.wake_at(), until);
    assert_eq!(bench.apply(Event::Woke, 5_000), [Effect::End(RenewerEnd::Expiring)]);
}

#[test]
fn the_last_steps_are_repeated_at_their_own_pace() {
    let mut bench = Bench::new();
    assert_eq!(bench.apply(Event::Finish(Vec::new()), 100), [Effect::Call(LeaseCall::Checkpoint(Checkpoint::Ended))]);
    let failed = CallResult::Checkpointed(Checkpoint::Ended, Err(unavailable(FailureKind::Throttled)));
    assert!(bench.done(100, failed, 150).is_empty());
    let wake = bench.renewer.wake_at();
    assert!(wake <= bench.at(200), "{:?}", wake - bench.begun);
    assert_eq!(bench.renewer.apply(Event::Woke, wake), [Effect::Call(LeaseCall::Checkpoint(Checkpoint::Ended))]);
}

#[test]
fn an_ended_shard_gets_its_children_its_end_and_no_owner() {
    let mut bench = Bench::new();
    let children = vec![shard(1), shard(2)];
    bench.apply(progress(3), 50);
    let store = Effect::Call(LeaseCall::StoreChildren(children.clone()));
    assert_eq!(bench.apply(Event::Finish(children), 100), [store]);
    let failed = CallResult::ChildrenStored(Err(unavailable(FailureKind::Transient)));
    assert!(bench.done(100, failed, 3_500).is_empty());
    let wake = bench.renewer.wake_at();
    assert_eq!(bench.renewer.apply(Event::Woke, wake), [Effect::Call(LeaseCall::Renew)], "the renewal is due by now");
    let effects = bench.done(3_600, renewed(), 3_700);
    assert!(matches!(effects.last(), Some(Effect::Call(LeaseCall::StoreChildren(_)))), "{effects:?}");
    let effects = bench.done(3_700, CallResult::ChildrenStored(Ok(())), 3_800);
    assert_eq!(effects, [Effect::Call(LeaseCall::Checkpoint(Checkpoint::Ended))]);
    let effects = bench.done(3_800, CallResult::Checkpointed(Checkpoint::Ended, Ok(())), 3_900);
    assert_eq!(effects.last(), Some(&Effect::Call(LeaseCall::Release)));
    let failed = CallResult::Released(Err(unavailable(FailureKind::Transient)));
    assert_eq!(bench.done(3_900, failed, 4_000), [Effect::End(RenewerEnd::ShardEnded)]);
}

#[derive(Debug, Clone)]
enum Step {
    Progress(u128),
    Finish,
    Release(u64),
    /// The call in flight returns: success, unavailable, throttled, or lost.
    Answer(u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u128..1_000).prop_map(Step::Progress),
        1 => Just(Step::Finish),
        1 => (0_u64..20_000).prop_map(Step::Release),
        8 => (0_u8..9).prop_map(Step::Answer),
        4 => (1_u64..4_000).prop_map(Step::Pass),
    ]
}

/// What must hold in any order of events.
#[derive(Default)]
struct Check {
    in_flight: Option<(LeaseCall, u64)>,
    stored: Option<u128>,
    moved_at: u64,
    is_ended: bool,
}

impl Check {
    fn effects(&mut self, effects: Vec<Effect>, now: u64, begun: Instant) -> Result<(), TestCaseError> {
        for effect in effects {
            prop_assert!(!self.is_ended, "{:?} after the end", effect);
            match effect {
                Effect::Call(call) => {
                    prop_assert!(self.in_flight.is_none(), "two calls at a time");
                    prop_assert!(now < self.moved_at + 8_000, "{call:?} after the fence");
                    self.in_flight = Some((call, now));
                }
                Effect::SetFence(fence) => {
                    prop_assert_eq!(fence, begun + Duration::from_millis(self.moved_at + 8_000));
                }
                Effect::Report(Report::Stored(Checkpoint::After(position))) => {
                    let number: u128 = position.sequence.to_string().parse().unwrap();
                    prop_assert!(self.stored.is_none_or(|before| before < number), "a checkpoint went back");
                    self.stored = Some(number);
                }
                Effect::Report(_) => {}
                Effect::End(_) => self.is_ended = true,
            }
        }
        Ok(())
    }

    fn answer(&mut self, code: u8) -> Option<Event> {
        let (call, sent) = self.in_flight.take()?;
        let error = match code {
            0 => Some(unavailable(FailureKind::Transient)),
            1 => Some(unavailable(FailureKind::Throttled)),
            2 => Some(lost()),
            _ => None,
        };
        let result = error.map_or(Ok(()), Err);
        if result.is_ok() && matches!(call, LeaseCall::Renew | LeaseCall::Checkpoint(_)) {
            self.moved_at = sent;
        }
        let result = match call {
            LeaseCall::Renew => CallResult::Renewed(result.map(|()| Renewed::Held)),
            LeaseCall::Checkpoint(checkpoint) => CallResult::Checkpointed(checkpoint, result),
            LeaseCall::Reset(start) => CallResult::Reset(start, result),
            LeaseCall::StoreChildren(_) => CallResult::ChildrenStored(result),
            LeaseCall::Release => CallResult::Released(result),
        };
        Some(Event::CallDone { begun: Instant::now() + Duration::from_millis(sent), result, handed_off: false })
    }
}

proptest! {
    #[test]
    fn in_any_order_of_events_nothing_is_written_after_the_fence_or_back(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = Bench::new();
        let (mut check, mut now) = (Check::default(), 0);
        for step in steps {
            let event = match step {
                Step::Progress(number) => progress(number),
                Step::Finish => Event::Finish(vec![shard(1)]),
                Step::Release(after) => Event::Release { until: bench.at(now + after) },
                Step::Answer(code) => match check.answer(code) {
                    Some(Event::CallDone { result, handed_off, .. }) => {
                        // Successful writes were dated by `answer`.
                        Event::CallDone { begun: bench.at(check.moved_at), result, handed_off }
                    }
                    Some(_) | None => Event::Woke,
                },
                Step::Pass(millis) => {
                    // The driver wakes it in time.
                    let end = now + millis;
                    while !check.is_ended && bench.renewer.wake_at() <= bench.at(end) {
                        let wake = (bench.renewer.wake_at() - bench.begun).as_nanos().div_ceil(1_000_000);
                        now = now.max(u64::try_from(wake).unwrap());
                        let effects = bench.apply(Event::Woke, now);
                        check.effects(effects, now, bench.begun)?;
                        prop_assert!(check.is_ended || bench.renewer.wake_at() > bench.at(now), "a busy loop");
                    }
                    now = now.max(end);
                    Event::Woke
                }
            };
            let effects = bench.apply(event, now);
            check.effects(effects, now, bench.begun)?;
        }
    }
}
