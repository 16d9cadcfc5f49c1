//! What programs read, and that they give the same when nothing else becomes a value.

use super::*;
use crate::jq::{Program, RunError};
use proptest::prelude::*;

fn compiled(program: &str) -> Program {
    Program::compile(program).unwrap_or_else(|e| panic!("{program}: {e}"))
}

fn only(names: &str) -> Used {
    Used::Only(names.split_whitespace().map(Box::from).collect())
}

#[test]
fn a_program_reads_the_members_that_it_names() {
    for (program, input, metadata) in [
        (".a", only("a"), only("")),
        (".a.b[0]?", only("a"), only("")),
        (".a[.b]", only("a b"), only("")),
        (".a[.b:.c]", only("a b c"), only("")),
        (".[\"a-b\"]", only("a-b"), only("")),
        ("{id, total, customer: .customer.id, (.k): 1}", only("id total customer k"), only("")),
        ("{$metadata}", only(""), Used::All),
        ("\"\\(.a)-\\(.b)-\\($metadata.tenant)\"", only("a b"), only("tenant")),
        ("$metadata.a + $metadata[\"b\"].c", only(""), only("a b")),
        ("$metadata[.x]", only("x"), Used::All),
        (".a | . + 1 | length", only("a"), only("")),
        (".a as $x | .b + $x", only("a b"), only("")),
        (".a as {b: $x} | $x", only("a"), only("")),
        (".a as {(.k): $x} | $x", only("k a"), only("")),
        ("reduce .a[] as $x (.b; . + $x)", only("a b"), only("")),
        ("foreach .a[] as $x (0; . + $x; [., $x])", only("a"), only("")),
        ("if .a > 1 then .b elif .c then true else null end", only("a b c"), only("")),
        ("try .a catch .", only("a"), only("")),
        ("[.a, -.b] == (.c // 2)", only("a b c"), only("")),
        ("label $out | first(.a[]), break $out", only("a"), only("")),
        ("empty", only(""), only("")),
        (".", Used::All, only("")),
        ("..", Used::All, only("")),
        (".[]", Used::All, only("")),
        (".[.a]", Used::All, only("")),
        ("length", Used::All, only("")),
        ("@json", Used::All, only("")),
        ("@base64 \"\\(.a)\"", only("a"), only("")),
        ("has(\"a\")", Used::All, only("")),
        ("del(.a)", Used::All, only("")),
        (".a |= 1", Used::All, only("")),
        (". + {a: $metadata.key}", Used::All, only("key")),
        ("select(.a)", Used::All, only("")),
        ("if .a then .b end", Used::All, only("")),
        (". as {a: $x} | $x", Used::All, only("")),
        ("def f: .a; f", Used::All, only("")),
        ("def first(f): .; first(.a)", Used::All, only("")),
        ("{\"a\\(.b)\"}", Used::All, only("")),
        (".a | $metadata", only("a"), Used::All),
    ] {
        let Program { input: read, metadata: read_metadata, .. } = compiled(program);
        assert_eq!((read, read_metadata), (input, metadata), "{program}");
    }
}

#[test]
fn what_is_not_read_is_checked_all_the_same() {
    let run = |input: &str| compiled(".a").run(input.as_bytes(), [("", ""); 0]);
    assert_eq!(run(r#"{"x":[1,{"y":"\u00e9\\"},-0.5e+3,true,false,null,{},[]], "a":1,"a" : 2 }"#).unwrap(), ["2"]);
    assert_eq!(run(r#"{"x":{"a":1},"\u0061":2}"#).unwrap(), ["2"]);
    for input in [
        r#"{"x":[1,],"a":1}"#,
        r#"{"x":{"y"},"a":1}"#,
        r#"{"x":{"y":1,},"a":1}"#,
        r#"{"x":{1:1},"a":1}"#,
        r#"{"x":01,"a":1}"#,
        r#"{"x":1.,"a":1}"#,
        r#"{"x":tru,"a":1}"#,
        r#"{"x":"\x","a":1}"#,
        r#"{"x":"a,"a":1}"#,
        "{\"x\":\"\u{1}\",\"a\":1}",
        r#"{"x":[1"#,
        r#"{"x":}"#,
        r#"{"x" 1}"#,
        r#"{"x":1} 2"#,
    ] {
        assert!(matches!(run(input), Err(RunError::Input { .. })), "{input}");
    }
    let deep = format!(r#"{{"x":{}1{},"a":1}}"#, "[".repeat(128), "]".repeat(128));
    assert!(matches!(run(&deep), Err(RunError::Limit(crate::jq::Limit::Nesting))));
    let many = format!(r#"{{"x":[{}1],"a":1}}"#, "1,".repeat(1_000_000));
    assert_eq!(run(&many).unwrap(), ["1"], "what is not read needs no steps");
}

/// Programs that read some members, with one place for another of them.
const FORMS: [&str; 12] = [
    "X",
    "[X, .b]",
    "{a, x: X}",
    "{(\"k\\(.c?)\"): X}",
    "\"\\(X)\"",
    "(X)?",
    "X // .c",
    "X == .a",
    "if .b then X else .c end",
    "reduce X as $x (.a; [., $x])",
    ".a as $v | [$v, X]",
    "try X catch \"failed\"",
];

fn program() -> impl Strategy<Value = String> {
    let leaf =
        prop::sample::select(vec![".a", ".b?", ".c[0]", ".a[]?", ".", "$metadata.a", "length", "1", "..", "empty"]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 1, |inner| {
        (prop::sample::select(&FORMS[..]), inner).prop_map(|(form, x)| form.replace('X', &format!("({x})")))
    })
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["null", "1.50", "\"x\\n\"", "true"]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(("[a-d]", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn reading_less_changes_nothing(text in program(), input in json()) {
        let program = compiled(&text);
        let everything = Program { input: Used::All, metadata: Used::All, ..program.clone() };
        let metadata = || [("a", "1"), ("b", "2")];
        let (less, all) = (program.run(input.as_bytes(), metadata()), everything.run(input.as_bytes(), metadata()));
        prop_assert_eq!(less, all, "{} on {}", text, input);
    }
}
