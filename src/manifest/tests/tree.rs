use super::{Budget, from_json, shift_lines};
use proptest::prelude::*;
use serde_json::{Value, json};

fn from_yaml(text: &str, lines_before: usize) -> Result<Value, String> {
    super::from_yaml(text, lines_before, &Budget::new())
}

#[test]
fn plain_values_keep_their_meaning() {
    let tree = from_yaml("a: 5\nb: 1.50\nc: 0x10\nd: 010\ne: yes\nf: true\ng: ~\nh: [x]\n7: 5.0\n", 0).unwrap();
    let expected = json!({"a": 5, "b": 1.5, "c": 16, "d": "010", "e": "yes", "f": true, "g": null, "h": ["x"], "7": 5});
    assert_eq!(tree.to_string(), expected.to_string());
}

#[test]
fn errors_name_the_line_of_the_file() {
    let error = from_yaml("a: 1\nb: [\n", 10).unwrap_err();
    assert!(error.contains("line 1"), "{error}");
    assert!(!error.contains("line 2 "), "{error}");
    assert_eq!(
        shift_lines("x at line 2 column 3, while at line 4 column 5", 10),
        "x at line 12 column 3, while at line 14 column 5"
    );
}

#[test]
fn invalid_documents_are_refused_with_a_reason() {
    for (text, reason) in [
        ("a: 1\na: 2\n", "twice"),
        ("a:\n\t- b\n", "line"),
        ("? [x]\n: 1\n", "key"),
        ("a: !thing x\n", "tag"),
        ("a: .inf\n", "finite"),
        ("a: *missing\n", "anchor"),
        ("<<: 5\n", "merge"),
    ] {
        let error = from_yaml(text, 0).unwrap_err();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
    assert!(from_json(r#"{"a": {"b": 1, "b": 2}}"#).unwrap_err().contains("twice"));
    assert_eq!(from_json(r#"{"a": 1.50, "b": [1e400]}"#).unwrap().to_string(), r#"{"a":1.50,"b":[1e+400]}"#);
}

#[test]
fn merge_keys_are_applied() {
    let tree = from_yaml("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\n", 0).unwrap();
    assert_eq!(tree.get("use"), Some(&json!({"y": 3, "x": 1})));
}

#[test]
fn a_merge_key_in_quotes_is_a_key() {
    for (text, expected) in [
        ("\"<<\": 5\n", json!({"<<": 5})),
        ("a: {'<<': {b: 1}, c: 2}\n", json!({"a": {"<<": {"b": 1}, "c": 2}})),
        ("base: &b {x: 1}\nuse: {<<: *b, \"<<\": *b}\n", json!({"base": {"x": 1}, "use": {"x": 1, "<<": {"x": 1}}})),
        ("- it''s '<<'\n- |\n  \"<<\": \u{e000}\n", json!(["it''s '<<'", "\"<<\": \u{e000}\n"])),
    ] {
        assert_eq!(from_yaml(text, 0), Ok(expected), "{text}");
    }
    assert!(from_yaml("\"<<\": 1\n'<<': 2\n", 0).unwrap_err().contains("the key `<<` is written twice"));
}

#[test]
fn alias_and_bracket_bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let last = level - 1;
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{last}"); 9].join(", "));
    }
    let wide = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 50_000].join(", "));
    let list = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; 50_000].join(","), vec!["*a"; 100_000].join(","));
    let hidden = "{a: #}\n".repeat(5_000);
    let brackets = ["[".repeat(100_000), "{a: ".repeat(100_000), "[],".repeat(100_000)];
    let nested = ["- ".repeat(100_000), "? ".repeat(100_000)];
    for bomb in [laughs, wide, list, hidden].into_iter().chain(brackets).chain(nested) {
        assert!(from_yaml(&bomb, 0).is_err(), "{}", bomb.get(..30).unwrap_or_default());
    }
    assert!(from_json(&"[".repeat(500_000)).is_err());
}

#[test]
fn aliases_share_one_budget_over_all_documents() {
    let budget = Budget::new();
    let read = |text: &str| super::from_yaml(text, 0, &budget);
    let expanding = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 50].join(", "));
    assert!(read(&expanding).is_ok(), "5 MB alone are within the budget");
    let refused = (0..10).filter(|_| read(&expanding).is_err()).count();
    assert!(refused >= 5, "{refused} of 10 more were refused");
    let plain = "- x\n".repeat(200_000);
    assert!(read(&plain).is_ok(), "what has no aliases needs no budget");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*|[-a:\\[\\]{}&*!?|>'\" \n\t0-9.<,]{0,60}") {
        let yaml = from_yaml(&text, 0);
        let json = from_json(&text);
        prop_assert!(yaml.is_ok() || yaml.is_err());
        prop_assert!(json.is_ok() || json.is_err());
    }
}
