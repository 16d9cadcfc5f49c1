use super::*;
use crate::domain::{LeaseCounter, RecordPosition};

fn after(sequence: u64) -> Checkpoint {
    Checkpoint::After(RecordPosition::plain(sequence.to_string().parse().unwrap()))
}

fn row(shard: &str, checkpoint: Checkpoint) -> Lease {
    Lease {
        shard: ShardId::new(shard),
        owner: Some(WorkerId::new("w1")),
        handoff_from: None,
        counter: LeaseCounter::new(7),
        checkpoint,
        parents: Vec::new(),
        children: Vec::new(),
        hash_range: None,
        start_at: None,
        stream: Some("orders".into()),
        stream_created: Some(Timestamp::from_millis(4)),
        caught_up: None,
        owner_duration: None,
    }
}

fn imported(shard: &str, checkpoint: Checkpoint) -> ImportedLease {
    let Lease { shard, checkpoint, stream, stream_created, .. } = row(shard, checkpoint);
    let lease =
        NewLease { shard, checkpoint, start_at: None, parents: Vec::new(), hash_range: None, stream, stream_created };
    ImportedLease { lease, children: Vec::new() }
}

const NOW: Timestamp = Timestamp::from_millis(1_795_744_454_000);

fn to(to: SeekTarget) -> Seek {
    Seek { to, include_ended: false, latest: NOW }
}

fn one(shard: &str) -> ShardSelection {
    ShardSelection::One(ShardId::new(shard))
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.lines().collect()
}

#[test]
fn a_seek_says_what_it_changes() {
    let rows = [row("a", after(9)), row("b", after(3))];
    let plan = seek(&rows, &one("a"), &to(SeekTarget::TrimHorizon)).unwrap();
    assert_eq!(lines(&plan), ["a: checkpoint 9/0 -> TRIM_HORIZON, owner w1 -> none, counter 7 -> 8"]);
    let plan = seek(&rows, &ShardSelection::All, &to(SeekTarget::Latest)).unwrap();
    assert_eq!(plan.changes.len(), 2);
    assert!(lines(&plan)[1].contains("3/0 -> LATEST from Fri, 27 Nov 2026"), "{:?}", lines(&plan));
    let plan = seek(&rows, &one("a"), &to(SeekTarget::Time(Timestamp::from_millis(0)))).unwrap();
    assert!(lines(&plan)[0].contains("AT_TIMESTAMP from Thu, 01 Jan 1970"), "{:?}", lines(&plan));
}

#[test]
fn a_shard_that_was_read_to_its_end_is_moved_only_with_the_flag() {
    let rows = [row("a", Checkpoint::Ended), row("b", after(3))];
    let refusals = seek(&rows, &one("a"), &to(SeekTarget::TrimHorizon)).unwrap_err();
    assert!(refusals[0].to_string().contains("--include-ended"), "{refusals:?}");
    let plan = seek(&rows, &ShardSelection::All, &to(SeekTarget::TrimHorizon)).unwrap();
    assert_eq!((plan.changes.len(), plan.kept.as_slice()), (1, ["a: was read to its end".to_owned()].as_slice()));
    let forced = Seek { include_ended: true, ..to(SeekTarget::TrimHorizon) };
    assert_eq!(seek(&rows, &ShardSelection::All, &forced).unwrap().changes.len(), 2);
}

#[test]
fn an_unknown_shard_is_refused_with_those_that_are_known() {
    let error = seek(&[row("a", after(9))], &one("b"), &to(SeekTarget::Latest)).unwrap_err();
    assert_eq!(error[0].to_string(), "b has no lease in the table, which has leases of a");
    assert!(release(&[], &one("b")).unwrap_err()[0].to_string().ends_with("no shard"));
}

#[test]
fn a_lease_without_an_owner_is_not_released() {
    let free = Lease { owner: None, ..row("b", after(3)) };
    let plan = release(&[row("a", after(9)), free, row("c", Checkpoint::Ended)], &ShardSelection::All).unwrap();
    assert_eq!(lines(&plan), ["a: checkpoint 9/0, owner w1 -> none, counter 7 -> 8"]);
    assert_eq!(plan.kept, ["b: has no owner", "c: was read to its end"]);
}

#[test]
fn an_import_creates_and_moves_forward_but_not_back() {
    let rows = [row("a", after(9)), row("b", after(9)), row("c", Checkpoint::Ended)];
    let forward =
        [imported("a", after(10)), imported("b", after(9)), imported("c", Checkpoint::Ended), imported("d", after(1))];
    let (keep, back) = (Import { move_back: false, stream: Some("orders") }, Import { move_back: true, stream: None });
    let plan = import(&forward, &rows, &keep).unwrap();
    assert_eq!(lines(&plan), ["a: checkpoint 9/0 -> 10/0, owner w1 -> none, counter 7 -> 8", "d: created at 1/0"]);
    assert_eq!(plan.kept, ["b: is at 9/0", "c: is at SHARD_END"]);
    for to in [after(8), Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon)] {
        let file = [imported("a", to)];
        let refusals = import(&file, &rows, &keep).unwrap_err();
        assert!(refusals[0].to_string().contains("--move-back"), "{refusals:?}");
        assert_eq!(import(&file, &rows, &back).unwrap().changes.len(), 1);
    }
    assert!(import(&[imported("c", after(99))], &rows, &keep).is_err(), "a shard that ended is not opened again");
}

#[test]
fn an_import_of_another_stream_is_refused() {
    let rows = [row("a", after(9))];
    let keep = Import { move_back: true, stream: Some("orders") };
    let mut other = imported("b", after(1));
    other.lease.stream = Some("invoices".into());
    assert!(import(&[other.clone()], &rows, &keep).unwrap_err()[0].to_string().contains("`invoices`"));
    assert!(import(&[other], &[], &keep).is_err(), "the component names the stream");
    let mut older = imported("b", after(1));
    older.lease.stream_created = Some(Timestamp::from_millis(3));
    assert!(import(&[older.clone()], &rows, &keep).unwrap_err()[0].to_string().contains("created at"));
    assert!(import(&[imported("a", after(9)), older], &[], &keep).is_err(), "one file has one stream");
    let twice = import(&[imported("b", after(1)), imported("b", after(2))], &rows, &keep).unwrap_err();
    assert!(twice[0].to_string().contains("more than once"), "{twice:?}");
}

#[test]
fn a_change_is_decided_on_again_for_the_lease_as_it_is_now() {
    let rows = [row("a", after(9))];
    let seek = seek(&rows, &one("a"), &to(SeekTarget::TrimHorizon)).unwrap().changes.remove(0);
    let renewed = Lease { counter: LeaseCounter::new(8), ..row("a", after(12)) };
    let Decision::Change(again) = decide(&seek, &renewed) else { panic!("the seek is still wanted") };
    assert!(again.to_string().contains("12/0 -> TRIM_HORIZON, owner w1 -> none, counter 8 -> 9"), "{again}");
    assert!(matches!(decide(&seek, &row("a", Checkpoint::Ended)), Decision::Refuse(_)));
    let forward = Import { move_back: false, stream: None };
    let import = import(&[imported("a", after(10))], &rows, &forward).unwrap().changes.remove(0);
    assert!(matches!(decide(&import, &renewed), Decision::Refuse(_)), "the owner is further now");
    let release = release(&rows, &one("a")).unwrap().changes.remove(0);
    assert!(matches!(decide(&release, &Lease { owner: None, ..renewed }), Decision::Keep(_)));
}
