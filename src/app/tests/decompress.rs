use super::*;
use crate::domain::{EventOrigin, RecordPosition, ShardId};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn events(all: &[Vec<u8>]) -> Vec<BindingEvent> {
    let event = |(number, data): (usize, &Vec<u8>)| BindingEvent {
        data: data.clone().into(),
        origin: EventOrigin {
            shard: ShardId::new("shardId-0"),
            position: RecordPosition::plain(number.to_string().parse().unwrap()),
            partition_key: "k".to_owned(),
            arrival: None,
            is_damaged_aggregate: false,
            part: 0,
        },
        attempt: 1,
        not_decompressed: None,
    };
    all.iter().enumerate().map(event).collect()
}

fn run(all: &[Vec<u8>], which: Decompress) -> (Vec<Bytes>, NotDecompressed) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (decompressor, events) = (Decompressor::default(), events(all));
    let payloads = runtime.block_on(decompressor.payloads(&events, which, false));
    let data = payloads.iter().map(|(_, data)| data.clone()).collect();
    let untouched = payloads.untouched;
    drop(payloads);
    assert_eq!(decompressor.0.available_permits(), MAX_PROCESS / UNIT, "all memory is given back");
    (data, untouched)
}

#[test]
fn only_gzip_is_decompressed_by_auto_and_all_else_is_reported_by_gzip() {
    let several = [gzip(b"one "), gzip(b"two")].concat();
    let all = [gzip(b"hello"), b"plain".to_vec(), several, b"\x1f\x8bbroken".to_vec(), Vec::new()];
    let expected = [&b"hello"[..], b"plain", b"one two", b"\x1f\x8bbroken", b""];
    let (data, untouched) = run(&all, Decompress::Auto);
    assert_eq!(
        (data.as_slice(), untouched),
        (&expected.map(Bytes::from_static)[..], NotDecompressed { corrupt: 1, too_large: 0 })
    );
    let (data, untouched) = run(&all, Decompress::Gzip);
    assert_eq!(
        (data.as_slice(), untouched),
        (&expected.map(Bytes::from_static)[..], NotDecompressed { corrupt: 3, too_large: 0 })
    );
    let (data, untouched) = run(&all, Decompress::Off);
    assert_eq!((data, untouched), (all.map(Bytes::from).to_vec(), NotDecompressed::default()));
}

#[test]
fn a_truncated_record_is_delivered_as_it_is() {
    let whole = gzip(&b"some text that is compressed".repeat(50));
    for end in [2, 10, whole.len() / 2, whole.len() - 1] {
        let (data, untouched) = run(&[whole[..end].to_vec()], Decompress::Gzip);
        assert_eq!((data[0].as_ref(), untouched.corrupt), (&whole[..end], 1), "{end}");
    }
}

#[test]
fn a_bomb_is_delivered_as_it_is() {
    let (exact, bomb) = (gzip(&vec![0; MAX_RECORD]), gzip(&vec![0; MAX_RECORD + 1]));
    let (data, untouched) = run(&[exact, bomb.clone()], Decompress::Auto);
    assert_eq!((data[0].len(), data[1].as_ref()), (MAX_RECORD, bomb.as_slice()));
    assert_eq!(untouched, NotDecompressed { corrupt: 0, too_large: 1 });
}

#[test]
fn the_records_of_a_request_have_a_common_limit() {
    let large = gzip(&vec![0; MAX_RECORD]);
    let (data, untouched) = run(&vec![large.clone(); 6], Decompress::Auto);
    let sizes: Vec<usize> = data.iter().map(Bytes::len).collect();
    let fits = MAX_REQUEST / MAX_RECORD;
    assert_eq!(sizes, [vec![MAX_RECORD; fits], vec![large.len(); 6 - fits]].concat());
    assert_eq!(untouched.too_large, 6 - fits as u64);
}

#[tokio::test]
async fn memory_is_reserved_while_the_data_lives_but_not_more_than_it_needs() {
    let (decompressor, events) = (Decompressor::default(), events(&[gzip(&vec![1; 100 << 10])]));
    for (is_encoded, expected) in [(false, 100), (true, 300)] {
        let payloads = decompressor.payloads(&events, Decompress::Auto, is_encoded).await;
        assert_eq!(MAX_PROCESS / UNIT - decompressor.0.available_permits(), expected);
        drop(payloads);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_delivered(data: Vec<u8>) {
        let packed = gzip(&data);
        let (found, _) = run(&[packed], Decompress::Auto);
        prop_assert_eq!(found[0].as_ref(), data.as_slice());
        let odd = [&[0x1f, 0x8b], data.as_slice()].concat();
        let (found, untouched) = run(std::slice::from_ref(&odd), Decompress::Auto);
        prop_assert!(untouched.corrupt == 0 || found[0].as_ref() == odd.as_slice());
    }
}
