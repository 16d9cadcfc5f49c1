use super::*;
use http_body_util::BodyExt;

#[tokio::test(start_paused = true)]
async fn a_body_keeps_its_bytes_and_its_length_in_parts() {
    let data: Vec<u8> = (0..3 * MAX_PART + 1).map(|index| (index % 251) as u8).collect();
    let unsent = Arc::<UnsentParts>::default();
    let mut body = ResponseBody::new(Body::from(data.clone()), Arc::clone(&unsent));
    let (mut read, mut parts) = (Vec::new(), 0);
    while !body.is_end_stream() {
        assert_eq!(body.size_hint().exact(), Some((data.len() - read.len()) as u64));
        read.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        parts += 1;
    }
    assert!(read == data && parts == 4);
    assert_eq!(unsent.deadline(), None, "all were sent");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_part_that_is_not_sent_sets_the_time_limit() {
    let unsent = UnsentParts::default();
    let begun = Instant::now();
    let first = unsent.add(Bytes::from_static(b"a"));
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = unsent.add(Bytes::from_static(b"b"));
    assert_eq!(unsent.deadline(), Some(begun + WRITE_TIMEOUT));
    drop(first);
    unsent.stalled().await;
    assert_eq!(begun.elapsed(), WRITE_TIMEOUT + Duration::from_secs(1));
    drop(second);
    assert!(tokio::time::timeout(2 * WRITE_TIMEOUT, unsent.stalled()).await.is_err());
    let held = unsent.add(Bytes::from_static(b"c"));
    for _ in 0..1_000 {
        drop(unsent.add(Bytes::from_static(b"d")));
    }
    let length = unsent.parts.lock().unwrap().queue.len();
    assert!(length <= MIN_PRUNED, "{length}");
    drop(held);
}
