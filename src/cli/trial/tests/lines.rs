use super::*;
use std::io::Cursor;

fn read(text: &[u8]) -> Vec<Line> {
    let mut lines = Lines::new(Cursor::new(text));
    std::iter::from_fn(|| lines.next().unwrap()).collect()
}

#[test]
fn blank_lines_are_left_out_and_counted() {
    let line = |number, text: &'static str| Line { number, text: Ok(text.into()) };
    assert_eq!(read(b"{}\r\n\n  \r\n [1]\t\nlast"), [line(1, "{}"), line(4, " [1]\t"), line(5, "last")]);
    assert_eq!(read("\u{feff}1\n\u{feff}\n".as_bytes()), [line(1, "1"), line(2, "\u{feff}")]);
    assert_eq!(read(b""), []);
}

#[test]
fn a_line_that_is_too_long_is_reported_and_the_next_one_read() {
    let mut text = vec![b'x'; MAX_LINE];
    text.extend_from_slice(b"\nshort\n");
    let lines = read(&text);
    assert_eq!(lines[0].text.as_ref().unwrap().len(), MAX_LINE);
    text.insert(0, b'x');
    let lines = read(&text);
    assert_eq!(lines[0].text, Err("the line is longer than 16 MiB".to_owned()));
    assert_eq!(lines[1], Line { number: 2, text: Ok("short".into()) });
    assert_eq!(lines.len(), 2);
}

#[test]
fn objects_keep_the_text_of_their_data() {
    let input = request(br#"{"data": {"n": 1.50,  "a": "\u00e9"}, "metadata": {"partitionKey": "k"}}"#).unwrap();
    assert_eq!(input.data, br#"{"n": 1.50,  "a": "\u00e9"}"#.as_slice());
    assert_eq!(input.metadata.get("partitionKey"), Some("k"));
    assert_eq!(request(br#"{"data": null}"#).unwrap().data, "null");
    let input = record(br#"{"dataBase64": "AP8=", "partitionKey": "k", "approximateArrivalTimestamp": 1.5}"#).unwrap();
    assert_eq!((&input.data[..], input.is_raw, input.origin.arrival), ([0_u8, 255].as_slice(), true, Some(1.5)));
    assert_eq!(input.origin.partition_key.as_deref(), Some("k"));
    let input = record(br#"{"data": 1, "shardId": "s", "sequenceNumber": "7:1"}"#).unwrap();
    assert_eq!((input.origin.shard.as_deref(), input.origin.sequence_number.as_deref()), (Some("s"), Some("7:1")));
}

#[test]
fn a_wrong_object_says_what_is_wrong() {
    for (text, part) in [
        ("1", "with --objects, a line is an object such as {\"data\": …}: it is not a JSON object"),
        (r#"[1, null, {}]"#, "it is not a JSON object"),
        ("{}", "no `data`"),
        (r#"{"data": 1, "dataBase64": ""}"#, "both"),
        (r#"{"dataBase64": "?"}"#, "not base64"),
        (r#"{"data": 1, "datta": "k"}"#, "unknown field `datta`, did you mean `data`? known are `data`, `dataBase64`,"),
        (r#"{"data": 1, "data": 2}"#, "duplicate field `data`"),
        (r#"{"data": 1"#, "a line is an object such as {\"data\": …}: wrong at line 1, column"),
    ] {
        for read in [request, record] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
