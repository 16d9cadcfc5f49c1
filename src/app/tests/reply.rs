use super::*;
use crate::domain::{EventOrigin, RecordPosition, ShardId};
use proptest::prelude::*;

const SHARD: &str = "shardId-000000000003";

fn event(sequence: u64, sub_sequence: u64) -> BindingEvent {
    BindingEvent {
        data: "x".into(),
        origin: EventOrigin {
            shard: ShardId::new(SHARD),
            position: RecordPosition { sequence: sequence.to_string().parse().unwrap(), sub_sequence },
            partition_key: "k".to_owned(),
            arrival: None,
            is_damaged_aggregate: false,
            part: 0,
        },
        attempt: 1,
        not_decompressed: None,
    }
}

/// 10, 20, 20:1, 20:2, 30
fn events() -> Vec<BindingEvent> {
    [(10, 0), (20, 0), (20, 1), (20, 2), (30, 0)].map(|(sequence, sub)| event(sequence, sub)).into()
}

fn read(body: &str, partial: PartialFailures) -> Result<Accepted, InvalidReply> {
    accepted(body.as_bytes(), &events(), BodyFormat::Lambda, partial)
}

#[test]
fn nothing_null_and_an_empty_object_or_list_accept_all() {
    for body in ["", " \r\n", "null", "{}", r#"{"batchItemFailures": []}"#, r#" {"batchItemFailures": null, "x": 1} "#]
    {
        for partial in [PartialFailures::Lowest, PartialFailures::Exact] {
            assert_eq!(read(body, partial), Ok(Accepted::All), "{body}");
        }
    }
    assert_eq!(read("done: 5 records", PartialFailures::Off), Ok(Accepted::All));
}

#[test]
fn named_events_failed_and_with_lowest_all_after_them() {
    for (ids, exact, lowest) in [
        (r#"{"itemIdentifier": "30"}"#, vec![4], vec![4]),
        (r#"{"itemIdentifier": 20}"#, vec![1], vec![1, 2, 3, 4]),
        (r#"{"itemIdentifier": "20:2"}, {"itemIdentifier": "20:2"}"#, vec![3], vec![3, 4]),
        (r#"{"itemIdentifier": "shardId-000000000003:20:1", "x": {}}"#, vec![2], vec![2, 3, 4]),
        (r#"{"itemIdentifier": "\u0033\u0030"}, {"itemIdentifier": "10"}"#, vec![0, 4], vec![0, 1, 2, 3, 4]),
    ] {
        let body = format!(r#"{{"batchItemFailures": [{ids}]}}"#);
        assert_eq!(read(&body, PartialFailures::Exact), Ok(Accepted::Except(exact)), "{body}");
        assert_eq!(read(&body, PartialFailures::Lowest), Ok(Accepted::Except(lowest)), "{body}");
    }
}

#[test]
fn numbers_keep_all_their_digits() {
    let sequence = "49590338271490256608559692538361571095921575989136588898";
    let mut one = event(0, 0);
    one.origin.position.sequence = sequence.parse().unwrap();
    let events = [event(1, 0), one];
    let body = format!(r#"{{"batchItemFailures": [{{"itemIdentifier": {sequence}}}]}}"#);
    let found = accepted(body.as_bytes(), &events, BodyFormat::CloudEventBatch, PartialFailures::Exact);
    assert_eq!(found, Ok(Accepted::Except(vec![1])));
}

#[test]
fn lines_are_named_by_their_number() {
    let found = |body: &str| accepted(body.as_bytes(), &events(), BodyFormat::NdJson, PartialFailures::Exact);
    let body = r#"{"batchItemFailures": [{"itemIdentifier": 1}, {"itemIdentifier": "5"}]}"#;
    assert_eq!(found(body), Ok(Accepted::Except(vec![0, 4])));
    for id in ["0", "6", "-1", "1.0"] {
        let body = format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "{id}"}}]}}"#);
        assert_eq!(found(&body), Err(InvalidReply::UnknownId), "{id}");
    }
}

#[test]
fn what_is_not_clear_fails_the_whole_batch() {
    let entries = |text: &str| format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "10"}}, {text}]}}"#);
    for (body, expected) in [
        ("ok".to_owned(), InvalidReply::Form),
        ("[]".to_owned(), InvalidReply::Form),
        ("\"done\"".to_owned(), InvalidReply::Form),
        ("{} {}".to_owned(), InvalidReply::Form),
        (r#"{"batchItemFailures": "10"}"#.to_owned(), InvalidReply::Form),
        (r#"{"batchItemFailures": ["10"]}"#.to_owned(), InvalidReply::Form),
        (
            r#"{"batchItemFailures": [], "batchItemFailures": [{"itemIdentifier": "10"}]}"#.to_owned(),
            InvalidReply::Form,
        ),
        (r#"{"errorMessage": "boom", "errorType": "Unhandled"}"#.to_owned(), InvalidReply::NoFailures),
        (r#"{"BatchItemFailures": []}"#.to_owned(), InvalidReply::NoFailures),
        (entries(r#"{"itemIdentifier": ""}"#), InvalidReply::NoId),
        (entries(r#"{"itemIdentifier": null}"#), InvalidReply::NoId),
        (entries(r#"{"itemIdentifier": true}"#), InvalidReply::NoId),
        (entries(r#"{"id": "10"}"#), InvalidReply::NoId),
        (entries("{}"), InvalidReply::NoId),
        (entries(r#"{"itemIdentifier": "11"}"#), InvalidReply::UnknownId),
        (entries(r#"{"itemIdentifier": "10:1"}"#), InvalidReply::UnknownId),
        (entries(r#"{"itemIdentifier": "shardId-000000000004:10"}"#), InvalidReply::UnknownId),
        (entries(r#"{"itemIdentifier": 1e1}"#), InvalidReply::UnknownId),
    ] {
        for partial in [PartialFailures::Lowest, PartialFailures::Exact] {
            let error = read(&body, partial).unwrap_err();
            assert_eq!(error, expected, "{body}");
            assert!(!error.to_string().contains("10") && !error.to_string().contains("boom"), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn no_body_panics_and_indexes_are_those_of_events(
        body in prop::collection::vec(any::<u8>(), 0..200),
        text in r#"[\[\]{}":,a-z0-9 ]{0,60}"#,
    ) {
        let text = format!(r#"{{"batchItemFailures": [{{"itemIdentifier": {text}}}]}}"#);
        for body in [body.as_slice(), text.as_bytes()] {
            for format in [BodyFormat::Lambda, BodyFormat::NdJson] {
                let found = accepted(body, &events(), format, PartialFailures::Exact);
                if let Ok(Accepted::Except(failed)) = found {
                    prop_assert!(failed.windows(2).all(|pair| pair[0] < pair[1]) && failed.iter().all(|index| *index < 5));
                }
            }
        }
    }

    #[test]
    fn a_reported_event_is_never_accepted(
        positions in prop::collection::btree_set((0_u64..40, 0_u64..4), 1..20),
        choice in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        is_full: bool,
    ) {
        let events: Vec<_> = positions.iter().map(|(sequence, sub)| event(*sequence, *sub)).collect();
        let reported: Vec<usize> = choice.iter().map(|index| index.index(events.len())).collect();
        let id = |index: &usize| {
            let origin = &events[*index].origin;
            let id = identifier::RecordId(&origin.position).to_string();
            let id = if is_full { identifier::EventId(origin).to_string() } else { id };
            format!(r#"{{"itemIdentifier": "{id}"}}"#)
        };
        let ids: Vec<String> = reported.iter().map(id).collect();
        let body = format!(r#"{{"batchItemFailures": [{}]}}"#, ids.join(", "));
        for partial in [PartialFailures::Lowest, PartialFailures::Exact] {
            match accepted(body.as_bytes(), &events, BodyFormat::Lambda, partial) {
                Ok(Accepted::Except(failed)) => prop_assert!(reported.iter().all(|index| failed.contains(index))),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
