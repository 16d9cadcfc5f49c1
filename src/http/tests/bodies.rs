//! Bodies: their encoding and the memory that they take, without a socket.

use super::super::HttpSettings;
use super::answers::{ORDERS, post, send, strict, usual};
use super::fake_binding::state_with_buffer;
use axum::body::Body;
use http::{Request, StatusCode};

#[tokio::test]
async fn metadata_counts_towards_the_memory_of_bodies() {
    let (state, fake) = state_with_buffer(HttpSettings::default(), Some(4_096));
    let body = |pairs: usize| {
        let pairs: Vec<_> = (0..pairs).map(|number| format!(r#""{number}":"""#)).collect();
        format!(r#"{{"operation":"create","metadata":{{{}}}}}"#, pairs.join(","))
    };
    assert_eq!(post(&state, ORDERS, &body(10)).await.status, StatusCode::NO_CONTENT);
    assert!(body(100).len() < 1_000);
    assert_eq!(post(&state, ORDERS, &body(100)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(post(&state, ORDERS, &body(10)).await.status, StatusCode::NO_CONTENT, "all memory is released");
    assert_eq!(fake.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_body_in_another_encoding_is_refused_and_the_error_names_it() {
    let (state, fake) = usual();
    let utf16: Vec<u8> = r#"{"operation":"create"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab".to_vec();
    let latin = b"{\"operation\":\"create\",\"data\":{\"id\":\"M\xfcller\"}}".to_vec();
    let raw = [("content-type", "application/octet-stream")];
    for (body, headers, expected) in [
        (gzip.clone(), &[][..], "compressed (gzip)"),
        (b"\x0b\x80".to_vec(), &[("content-encoding", "br")], "compressed (br)"),
        (utf16, &[], "UTF-16 (little-endian)"),
        (latin.clone(), &[], "in data.id is not UTF-8"),
    ] {
        for state in [&state, &strict()] {
            let mut request = Request::post(ORDERS);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = send(state, request.body(Body::from(body.clone())).unwrap()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            let json = answer.json();
            assert_eq!(json["errorCode"], "ERR_MALFORMED_REQUEST");
            let message = json["message"].as_str().unwrap();
            assert!(message.contains(expected) && !message.contains("allowRawBody"), "{message}");
        }
    }
    assert!(fake.seen.lock().unwrap().is_empty());
    let as_raw =
        |body: &[u8]| Request::post(ORDERS).header(raw[0].0, raw[0].1).body(Body::from(body.to_vec())).unwrap();
    let hinted = send(&state, as_raw(&gzip)).await;
    assert!(hinted.body.contains("gzip") && hinted.body.contains("allowRawBody"), "{}", hinted.body);
    fake.takes_raw.store(true, std::sync::atomic::Ordering::Relaxed);
    for body in [gzip, latin] {
        assert_eq!(send(&state, as_raw(&body)).await.status, StatusCode::NO_CONTENT);
        assert_eq!(&fake.seen.lock().unwrap().pop().unwrap().data[..], &body[..], "raw bytes stay untouched");
    }
}
