use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn wait(pairs: &[(&'static str, &'static str)]) -> Option<Duration> {
    let local_clock = httpdate::parse_http_date("Wed, 21 Oct 2026 07:00:00 GMT").unwrap();
    retry_after(&headers(pairs), || local_clock)
}

#[test]
fn retry_after_in_seconds_is_read_and_capped() {
    for (text, expected) in [
        ("7", Some(Duration::from_secs(7))),
        (" 0 ", Some(Duration::ZERO)),
        ("00012", Some(Duration::from_secs(12))),
        ("1.5", Some(Duration::from_millis(1_500))),
        ("0.001", Some(Duration::from_millis(1))),
        ("3600", Some(MAX_RETRY_AFTER)),
        ("3601", Some(MAX_RETRY_AFTER)),
        ("18446744073709551615", Some(MAX_RETRY_AFTER)),
        ("99999999999999999999999999999999999999999999999999", Some(MAX_RETRY_AFTER)),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1.2.3", None),
        (".5", None),
        ("inf", None),
        ("NaN", None),
        ("soon", None),
        ("7 s", None),
        ("", None),
    ] {
        assert_eq!(wait(&[("retry-after", text)]), expected, "{text}");
    }
    assert_eq!(wait(&[]), None);
}

#[test]
fn retry_after_as_a_date_is_relative_to_the_date_header_or_else_to_the_local_clock() {
    let at = ("retry-after", "Wed, 21 Oct 2026 07:00:30 GMT");
    for (date, expected) in [
        (None, 30),
        (Some("Wed, 21 Oct 2026 07:00:20 GMT"), 10),
        // An app whose clock is a year behind.
        (Some("Tue, 21 Oct 2025 07:00:25 GMT"), 3_600),
        (Some("Wed, 21 Oct 2026 07:00:31 GMT"), 0),
        (Some("no date"), 30),
    ] {
        let mut pairs = vec![at];
        pairs.extend(date.map(|date| ("date", date)));
        assert_eq!(wait(&pairs), Some(Duration::from_secs(expected)), "{date:?}");
    }
    for (text, expected) in [
        ("Wed, 21 Oct 2026 06:00:00 GMT", Some(0)),
        ("Wednesday, 21-Oct-26 07:00:09 GMT", Some(9)),
        ("Wed Oct 21 07:00:09 2026", Some(9)),
        ("Wed, 21 Oct 2099 07:00:00 GMT", Some(3_600)),
        ("Wed, 21 Oct 2026 07:28:00", None),
        ("2026-10-21T07:00:09Z", None),
        ("Wed, 41 Oct 2026 07:28:00 GMT", None),
    ] {
        assert_eq!(wait(&[("retry-after", text)]), expected.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn only_another_path_of_the_app_itself_is_suggested_as_route() {
    for (location, expected) in [
        ("/orders", Some("/orders")),
        ("http://127.0.0.1:3000/orders", Some("/orders")),
        ("HTTP://127.0.0.1:3000/", Some("/")),
        ("/orders/", None),
        ("http://127.0.0.1:3000", None),
        ("http://127.0.0.1:3001/orders", None),
        ("http://127.0.0.1:3000.example/orders", None),
        ("https://127.0.0.1:3000/orders", None),
        ("//example.org/orders", None),
        ("/login?next=/orders", None),
        ("/orders#top", None),
        ("orders", None),
        ("/two words", None),
        ("/\u{e4}", None),
        ("", None),
    ] {
        assert_eq!(suggested_route(location, "/orders/", "127.0.0.1:3000"), expected, "{location}");
    }
}

#[test]
fn an_excerpt_is_one_bounded_line_of_text() {
    let long = "x".repeat(2_000);
    let truncated_character = format!("{}\u{e4}", "x".repeat(MAX_EXCERPT - 1));
    for (answer, expected) in [
        (&b"no such route"[..], Some("no such route".to_owned())),
        (b" {\r\n  \"error\":\t'no' }\n", Some("{ \"error\": 'no' }".to_owned())),
        (b"red \x1b[31m", Some("red \\u{1b}[31m".to_owned())),
        ("left \u{202e} right".as_bytes(), Some("left \\u{202e} right".to_owned())),
        (long.as_bytes(), Some("x".repeat(MAX_EXCERPT))),
        (truncated_character.as_bytes(), Some("x".repeat(MAX_EXCERPT - 1))),
        (b"", None),
        (b" \r\n", None),
        (b"\x1f\x8b\x08\x00binary", None),
        (b"text\0", None),
    ] {
        assert_eq!(excerpt(answer, &[]), expected, "{answer:?}");
    }
}

#[test]
fn an_excerpt_ends_where_the_record_is_quoted() {
    for (answer, sent, expected) in [
        ("cannot parse {\"card\": 4111}", "{\"card\": 4111}", Some("cannot parse…")),
        (
            "{\"input\":\"{\\\"card\\\":\\\"4111111111111111\\\"}\"}",
            "{\"card\":\"4111111111111111\"}",
            Some("{\"input\":\"{\\\"card\\\":\\…"),
        ),
        ("bad: hello!", "hello", Some("bad:…")),
        ("secret-record", "secret-record", None),
        ("nothing of it", "secret-record", Some("nothing of it")),
        ("not for ALICE@EXAMPLE.ORG", "{\"mail\": \"alice@example.org\"}", Some("not for…")),
        ("bad input: eyJtYWlsIjogImFsaWNl", "{\"mail\": \"alice@example.org\"}", Some("bad input:…")),
        ("a", "a", Some("a")),
    ] {
        let expected = expected.map(str::to_owned);
        assert_eq!(excerpt(answer.as_bytes(), &[sent.as_bytes()]), expected, "{answer}");
    }
    let large: String = (0..100_000).map(|number| format!("{number} ")).collect();
    let answer = format!("wrong: {}", &large[300_003..300_100]);
    let shown = excerpt(answer.as_bytes(), &[large.as_bytes()]).unwrap();
    assert!(shown.starts_with("wrong:") && shown.len() < "wrong: …".len() + MIN_QUOTE, "{shown}");
}

#[test]
fn an_invalid_response_is_described_without_the_record() {
    for (opening, sent, expected) in [
        (&b"220 mail ready\r\n"[..], "secret-record", "it begins with `220 mail ready`"),
        (b"no: secret-record", "secret-record", "it begins with `no:\u{2026}`"),
        (b"secret-record", "secret-record", "it is not text, or repeats the record"),
        (b"\xff\xfe secret-record", "secret-record", "it is not text, or repeats the record"),
        (b"POST /orders HTTP/1.1\r\ndapr-api-token: t", "x", "it repeats the request"),
    ] {
        assert_eq!(describe(InvalidResponse::Unknown(opening.to_owned()), &[sent.as_bytes()]), expected, "{opening:?}");
    }
}

#[test]
fn a_location_is_shown_without_its_query_and_without_the_record() {
    let sent: [&[u8]; 1] = [b"alice@example.org"];
    for (location, shown) in [
        ("/orders/", "/orders/"),
        ("/login?email=alice.secret", "/login…"),
        ("/login#token", "/login…"),
        ("/users/alice@example.org/new", "/users/…"),
    ] {
        assert_eq!(shown_location(location, &sent), shown, "{location}");
    }
}

#[test]
fn no_text_is_shown_if_much_was_sent() {
    assert_eq!(excerpt(b"no", &[&vec![b'x'; MAX_COMPARED + 1]]), None);
    assert_eq!(excerpt(b"no", &[&vec![b'x'; MAX_COMPARED]]).as_deref(), Some("no"));
}

#[test]
fn a_quote_of_any_record_of_a_batch_is_left_out() {
    let answer = b"line 2: cannot use card 4111111111111111 of item 7";
    let sent: [&[u8]; 4] = [b"eyJjYXJkIjogNDExMX0=", b"{}", b"secret", b"card 4111111111111111"];
    assert_eq!(excerpt(answer, &sent).unwrap(), "line 2: cannot use…");
    assert_eq!(excerpt(answer, &sent[..3]).unwrap(), str::from_utf8(answer).unwrap());
}
