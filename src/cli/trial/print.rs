//! The result for one line, as text or JSON.

use crate::bindings::trial::{Key, Trial, TrialOutcome, TrialRecord};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Lines for a terminal: one for each record, or one that says why there is none.
pub(super) fn text(line: u64, trial: &Trial) -> String {
    let mut out = String::new();
    if trial.outcome != TrialOutcome::Record || trial.records.is_empty() {
        let reason = trial.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        put(&mut out, format_args!("{line}: {}{}\n", trial.outcome.as_str(), printable(&reason)));
    }
    if let (TrialOutcome::Record, Some(note)) = (trial.outcome, &trial.error) {
        put(&mut out, format_args!("{line}: note: {}\n", printable(note)));
    }
    for record in &trial.records {
        put(&mut out, format_args!("{line}: record{} {}\n", keys(record), data(record)));
    }
    out
}

/// Writing to a `String` cannot fail.
fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).unwrap_or_default();
}

fn keys(record: &TrialRecord) -> String {
    let mut out = String::new();
    match &record.key {
        Some(Key::Chosen(key)) => put(&mut out, format_args!(" key={}", printable(key))),
        Some(Key::Random) => out.push_str(" key=(random)"),
        None => {}
    }
    if let Some(hash) = record.hash_key {
        put(&mut out, format_args!(" hash={hash}"));
    }
    out
}

fn data(record: &TrialRecord) -> String {
    match std::str::from_utf8(&record.data) {
        Ok(text) => printable(text),
        Err(_) => format!("base64:{}", base64_simd::STANDARD.encode_to_string(&record.data)),
    }
}

/// Without what a terminal acts on.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    out
}

/// One JSON object.
pub(super) fn to_json(line: u64, trial: &Trial) -> String {
    let mut object = Map::new();
    object.insert("line".to_owned(), json!(line));
    object.insert("result".to_owned(), json!(trial.outcome.as_str()));
    if !trial.records.is_empty() {
        object.insert("records".to_owned(), trial.records.iter().map(record).collect());
    }
    if let Some(error) = &trial.error {
        object.insert("error".to_owned(), json!(error));
    }
    format!("{}\n", Value::Object(object))
}

fn record(record: &TrialRecord) -> Value {
    let mut object = Map::new();
    match &record.key {
        Some(Key::Chosen(key)) => drop(object.insert("partitionKey".to_owned(), json!(key))),
        Some(Key::Random) => drop(object.insert("hasRandomKey".to_owned(), json!(true))),
        None => {}
    }
    if let Some(hash) = record.hash_key {
        object.insert("hashKey".to_owned(), json!(hash.to_string()));
    }
    let (name, data) = match std::str::from_utf8(&record.data) {
        Ok(text) => ("data", text.to_owned()),
        Err(_) => ("dataBase64", base64_simd::STANDARD.encode_to_string(&record.data)),
    };
    object.insert(name.to_owned(), json!(data));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial() -> Trial {
        let key = |text: &str| Some(Key::Chosen(text.to_owned()));
        let records = vec![
            TrialRecord { key: key("a\n"), hash_key: Some(7), data: "{\"a\":\"é\"}".into() },
            TrialRecord { key: Some(Key::Random), hash_key: None, data: vec![0, 255].into() },
            TrialRecord { key: None, hash_key: None, data: "a\u{1b}\n".into() },
        ];
        Trial { outcome: TrialOutcome::Record, records, error: None }
    }

    #[test]
    fn each_record_is_a_line_without_control_characters() {
        let expected =
            "3: record key=a\\n hash=7 {\"a\":\"é\"}\n3: record key=(random) base64:AP8=\n3: record a\\u{1b}\\n\n";
        assert_eq!(text(3, &trial()), expected);
        let failed = Trial { outcome: TrialOutcome::Failed, records: vec![], error: Some("why".to_owned()) };
        assert_eq!(text(4, &failed), "4: failed: why\n");
        let passed = Trial { outcome: TrialOutcome::PassedThrough, error: Some("why".to_owned()), ..trial() };
        let noted = Trial { error: Some("why".to_owned()), ..trial() };
        assert!(text(4, &noted).starts_with("4: note: why\n4: record key=a"), "{}", text(4, &noted));
        assert!(text(4, &passed).starts_with("4: passed_through: why\n4: record key=a"), "{}", text(4, &passed));
    }

    #[test]
    fn an_object_of_json_has_all_of_it() {
        let expected = concat!(
            r#"{"line":3,"result":"record","records":[{"partitionKey":"a\n","hashKey":"7","data":"{\"a\":\"é\"}"},"#,
            r#"{"hasRandomKey":true,"dataBase64":"AP8="},{"data":"a\u001b\n"}]}"#,
            "\n"
        );
        assert_eq!(to_json(3, &trial()), expected);
        let filtered = Trial { outcome: TrialOutcome::Filtered, records: vec![], error: None };
        assert_eq!(to_json(1, &filtered), "{\"line\":1,\"result\":\"filtered\"}\n");
    }
}
