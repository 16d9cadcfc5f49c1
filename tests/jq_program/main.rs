//! Generated programs and inputs through [`bindd::jq`] and through the program `jq`. Only forms in which the dialects
//! agree are generated; `docs/shaping.md` lists where they differ.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use bindd::jq::Program;
use proptest::prelude::*;
use serde_json::Value;

/// The outputs of `jq`, or none if it failed.
fn by_jq(program: &str, input: &str) -> Option<Vec<String>> {
    let mut command = Command::new("jq");
    command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("jq runs; install it with apt-get install jq");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.lines().map(str::to_owned).collect())
}

fn by_bindd(program: &str, input: &str) -> Option<Vec<String>> {
    let program = Program::compile(program).unwrap_or_else(|e| panic!("{program}: {e}"));
    let outputs = program.run(input.as_bytes(), [("", ""); 0]).ok()?;
    Some(outputs.iter().map(|output| String::from_utf8(output.to_vec()).unwrap()).collect())
}

/// Equal as JSON with numbers of 64 bits, which are all that `jq` has.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            left == right || (left - right).abs() <= left.abs() * 1e-15
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |((key, left), (other, right)): ((&String, &Value), (&String, &Value))| {
                key == other && is_same(left, right)
            };
            left.len() == right.len() && left.iter().zip(right).all(same)
        }
        _ => left == right,
    }
}

fn compare(program: &str, input: &str) {
    let (theirs, ours) = (by_jq(program, input), by_bindd(program, input));
    let read = |outputs: &Vec<String>| -> Vec<Value> {
        outputs.iter().map(|output| serde_json::from_str(output).unwrap()).collect()
    };
    let is_equal = match (&theirs, &ours) {
        (Some(theirs), Some(ours)) => {
            let (theirs, ours) = (read(theirs), read(ours));
            theirs.len() == ours.len() && theirs.iter().zip(&ours).all(|(theirs, ours)| is_same(theirs, ours))
        }
        (None, None) => true,
        _ => false,
    };
    assert!(is_equal, "{program} on {input}\n   jq: {theirs:?}\nbindd: {ours:?}");
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        (-99i32..100).prop_map(|n| n.to_string()),
        (-99i32..100).prop_map(|n| (f64::from(n) + 0.25).to_string()),
        "[a-c,1é]{0,4}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Programs without parts.
#[rustfmt::skip]
const PLAIN: [&str; 49] = [
    ".", "..", ".a", "[.b?][]", "[.[0]?][]", "[.[-1]?][]", "[.[]?][]", "[.[1:]?][]", "[.[:-1]?][]",
    "[.[0:2]?][]", "null", "true", "1", "2.5", "\"a\"", "[]", "{}", "empty", "[length?][]", "[keys?][]",
    "[add?][]", "[sort?][]", "type", "tojson", "not", "[unique?][]", "[to_entries?][]", "[min?][]", "[max?][]",
    "[any?][]", "[all?][]", "[paths]", "[flatten?][]", "arrays", "objects", "scalars", "strings", "numbers",
    "[explode?][]", "[floor?][]", "[ascii_downcase?][]", "@base64", "@json", "[@sh?][]", "tostring",
    "[utf8bytelength?][]", "[leaf_paths]", "[first?][]", "[last?][]",
];

/// Programs with one part.
#[rustfmt::skip]
const WITH_ONE: [&str; 29] = [
    "[X]", "[(X)?][]", "[map(X)?][]", "select(X)", "{a: X}", "first(X)", "del(.a?)", "[sort_by(X)?][]",
    "[group_by(X)?][]", "[unique_by(X)?][]", "[recurse] | X", "[limit(2; X)]",
    "objects | with_entries(.value |= [.])", "[try (X) catch \"failed\"][]", "[X] | length", "\"a\\(X)b\"",
    "[[X] | add?][]", "[any([X] == [])?][]", "[all([X] == [])?][]", "def f: X; [f, f]",
    "def f(g): [g | g]; f(X)", "label $out | (X, break $out)", "[X] | sort", "[[.[]?][] | X]",
    "[map_values(1)?][]", "[X] | tojson | fromjson", "[X] | unique", "[min_by(X)?][]", "[max_by(X)?][]",
];

/// Programs with two parts.
#[rustfmt::skip]
const WITH_TWO: [&str; 20] = [
    "X | Y", "X, Y", "[X, Y]", "[(first(X) == first(Y))?]", "[(first(X) < first(Y))?]", "[X // Y]", "[X and Y]",
    "[X or Y]", "[(first(X) + first(Y))?]", "[(first(X) - first(Y))?]", "reduce X as $x (0; [., $x])",
    "[foreach X as $x (0; [., $x] | length)]", "X as $v | [$v, Y]", "if X then Y else . end",
    "{a: first(X), b: first(Y)}", "[(.a = X)?][]", "[(.[0] = X)?][]", "[(.a |= 1)?][]", "[(.a += 1)?][]",
    "[[.[]?][] as $x | X]",
];

/// Errors are caught inside `[…][]` only: in jq 1.6 a `?` or `try` also catches errors, and the `break` of `first`, that
/// come after its output.
fn program() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(&PLAIN[..]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 2, |inner| {
        let one = (prop::sample::select(&WITH_ONE[..]), inner.clone());
        let two = (prop::sample::select(&WITH_TWO[..]), inner.clone(), inner);
        prop_oneof![
            one.prop_map(|(form, x)| form.replace('X', &format!("({x})"))),
            two.prop_map(|(form, x, y)| form.replace('X', &format!("({x})")).replace('Y', &format!("({y})"))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn generated_programs_give_what_jq_gives(program in program(), input in json()) {
        compare(&program, &input);
    }
}

/// What the functions that both have give on each kind of value. A program that fails gives a text.
const FUNCTIONS: [&str; 135] = [
    "any",
    "all",
    "min",
    "max",
    "first",
    "last",
    "keys",
    "length",
    "flatten",
    "unique",
    "explode",
    "tojson",
    ".[0]",
    ".[-1]",
    ".[1:]",
    ".a",
    "utf8bytelength",
    "floor",
    "sort",
    "to_entries",
    "@sh",
    "ascii_downcase",
    r#"join(",")"#,
    "tostring",
    "@csv",
    "indices(1)",
    r#"index("a")"#,
    "inside([1])",
    r#"splits("a")"#,
    "not",
    "range(.)",
    "combinations",
    r#"getpath(["a"])"#,
    "paths",
    "group_by(.)",
    "min_by(.)",
    "map_values(1)",
    "del(.[0])",
    "del(.a)",
    "walk(.)",
    "has(0)",
    r#"has("a")"#,
    "in({})",
    r#"test("a")"#,
    "tonumber",
    "infinite",
    "nan",
    "isnan",
    "first(empty)",
    "until(true;.)",
    "ascii_upcase",
    "recurse",
    "@html",
    "@uri",
    "@tsv",
    "@base64",
    ".[2]=1",
    ".a=1",
    ".[-1]=1",
    ".[0:1]=[9]",
    r#"getpath(["a",0])"#,
    "nth(0)",
    ".[nan]",
    "[.[]?]|sort_by(.a?)",
    ".. ",
    "@json",
    r#"splits(", ")"#,
    r#"sub("(?<x>a)";"\(.x)b")"#,
    "getpath([0])",
    "[limit(3;range(10))]",
    "tojson|fromjson",
    ".[:2]",
    ".[-2:]",
    "min_by(.a?)",
    "significand",
    "logb",
    "gamma",
    "pow(.;2)",
    "log2",
    "round",
    "ceil",
    "trunc",
    "fabs",
    "sqrt",
    r#"splits("x";"g")"#,
    r#"test("A";"i")"#,
    r#"[scan(".")]"#,
    r#"capture("(?<y>.)")"#,
    r#"split("")"#,
    r#"split(", *";null)"#,
    r#"getpath(["x","y"])"#,
    r#"strptime("%Y")"#,
    r#"dateadd("seconds";1)"#,
    "@text",
    "ascii(65)",
    "any(.[]?;.)",
    "all(.[]?;.)",
    "flatten(0)",
    "flatten(-1)",
    "isvalid(.a)",
    "IN(1,2)",
    "INDEX(.a?)",
    "dateadd",
    r#"getpath("a")"#,
    r#"paths(type=="number")"#,
    "del(.[0,1])",
    "del(..)",
    "delpaths([[0]])",
    "to_entries[0]",
    "map(.)",
    "splits",
    ".[]",
    ".[]?",
    "contains(1)",
    r#"contains("a")"#,
    "contains([])",
    "contains({})",
    "unique_by(length?)",
    ".. |= .",
    "limit(1;.[]?)",
    ". as [$a] | $a",
    ". as {a:$x} | $x",
    ".a[1:]",
    ". + 1",
    ". + null",
    ". - 1",
    ". * 2",
    ". / 2",
    ". % 2",
    ". < 1",
    ". == null",
    ". + .",
    ". - .",
    ". * .",
    ". / .",
];

const VALUES: [&str; 18] = [
    "null",
    "true",
    "false",
    "0",
    "-1.5",
    "7",
    r#""a""#,
    r#""""#,
    r#""a, b""#,
    "[]",
    "[1,2,1]",
    "[[1],[2,3]]",
    r#"["a","b"]"#,
    "[null,true]",
    r#"[{"a":2},{"a":1}]"#,
    "{}",
    r#"{"a":1}"#,
    r#"{"a":[1,2],"b":"x"}"#,
];

#[test]
fn functions_give_what_jq_gives_on_each_kind_of_value() {
    let inputs = VALUES.join("\n");
    let mut compared = 0;
    for function in FUNCTIONS {
        let program = format!("[try [{function}] catch \"failed\"]");
        // Older versions of jq have fewer functions.
        let Some(theirs) = by_jq(&program, &inputs) else { continue };
        compared += 1;
        assert_eq!(theirs.len(), VALUES.len(), "{function}");
        for (value, theirs) in VALUES.into_iter().zip(theirs) {
            let ours = by_bindd(&program, value).unwrap().concat();
            let [theirs, ours]: [Value; 2] = [theirs, ours].map(|text| serde_json::from_str(&text).unwrap());
            assert!(is_same(&theirs, &ours), "{function} on {value}\n   jq: {theirs}\nbindd: {ours}");
        }
    }
    assert!(compared > 100, "only {compared} functions were compared");
}
