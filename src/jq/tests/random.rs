//! Random programs on random inputs: nothing panics, and no run takes more than its steps.

use proptest::prelude::*;

use crate::jq::{Limits, Program, RunError};

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0".to_owned()),
        Just("1e+400".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        any::<i32>().prop_map(|n| n.to_string()),
        (0..100u32, 0..100u32).prop_map(|(a, b)| format!("{a}.{b:02}")),
        "[a-c é]{0,6}".prop_map(|text| format!("\"{text}\"")),
        Just("\"2015-03-05T23:51:47Z\"".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-c]", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Programs without parts.
#[rustfmt::skip]
const PLAIN: [&str; 68] = [
    ".", "..", ".a", ".b?", ".[0]", ".[-1]?", ".[]", ".[]?", ".[1:]", ".[:-1]?", "null", "true", "1", "-1.5",
    "1e19", "\"a\"", "[]", "{}", "empty", "length", "keys", "add", "sort", "type", "tojson", "tostring",
    "tonumber?", "not", "reverse", "flatten", "unique", "to_entries", "from_entries?", "first", "last", "min",
    "max", "any", "all", "paths", "explode?", "implode?", "@csv?", "@base64", "@base64d?", "@sh?", "@uri",
    "floor", "sqrt?", "fromjson?", "transpose?", "gmtime", "todate", "mktime", "fromdate", "combinations",
    "recurse", "abs", "nan", "infinite", "isnan", "leaf_paths", "ascii_downcase?", "trim?", "$metadata", "error",
    "halfway", "env",
];

/// Programs with one part.
#[rustfmt::skip]
const WITH_ONE: [&str; 49] = [
    "[X]", "(X)?", "-(X)", "map(X)", "select(X)", "{a: X}", "{(X): 1}", "first(X)", "path(X)", "del(X)",
    "sort_by(X)", "group_by(X)", "walk(X)", "recurse(X)", "repeat(X)", "until(X; .)", "limit(3; X)",
    "with_entries(X)", ".[X]", ".[X:]", "range(X)", "to_entries | X", "try (X) catch .", "getpath(X)",
    "paths(X)", "tojson | X", "\"a\\(X)b\"", "join(X)", "split(X)", "test(X)", "gsub(\"a\"; X)", "has(X)",
    "contains(X)", "index(X)", "any(X)", "min_by(X)", "delpaths(X)", "ltrimstr(X)", "strftime(X)", "flatten(X)",
    "combinations(X)", "error(X)", "pick(X)", "add(X)", "def f: X; f, f", "def f(g): g | g; f(X)",
    "label $out | X, break $out", "isempty(X)", "implode(X)",
];

/// Programs with two parts.
#[rustfmt::skip]
const WITH_TWO: [&str; 24] = [
    "X | Y", "X, Y", "X + Y", "X - Y", "X * Y", "X / Y", "X % Y", "X == Y", "X < Y", "X // Y", "X and Y",
    "(X) = Y", "(X) |= Y", "(X) += Y", "(X) //= Y", "reduce X as $x (0; Y)", "foreach X as $x (.; Y)",
    "X as $v | Y", "if X then Y else . end", "{a: X, b: Y}", ".[X:Y]", "setpath(X; Y)", "while(X; Y)",
    "X as [$a, {b: $c}] | Y",
];

fn program() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(&PLAIN[..]).prop_map(str::to_owned);
    leaf.prop_recursive(5, 32, 3, |inner| {
        let one = (prop::sample::select(&WITH_ONE[..]), inner.clone());
        let two = (prop::sample::select(&WITH_TWO[..]), inner.clone(), inner);
        prop_oneof![
            one.prop_map(|(form, x)| form.replace('X', &x)),
            two.prop_map(|(form, x, y)| form.replace('X', &format!("({x})")).replace('Y', &format!("({y})"))),
        ]
    })
}

const TIME: std::time::Duration = std::time::Duration::from_secs(3600);
const LIMITS: Limits = Limits { steps: 5000, output_bytes: 1 << 16, outputs: 100, nesting: 32, time: TIME };

/// No outcome but these, and each output is JSON inside the limits.
fn check(text: &str, input: &str) {
    let Ok(program) = Program::compile(text) else { return };
    match program.with_limits(LIMITS).run(input.as_bytes(), [("partitionKey", "a")]) {
        Ok(outputs) => {
            assert!(outputs.len() <= LIMITS.outputs);
            assert!(outputs.iter().map(|output| output.len()).sum::<usize>() <= LIMITS.output_bytes);
            for output in outputs {
                serde_json::from_slice::<serde_json::Value>(&output).unwrap_or_else(|e| panic!("{text}: {e}"));
            }
        }
        Err(RunError::Interpreter) => panic!("{text} on {input} made the interpreter panic"),
        Err(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_end_inside_their_limits(text in program(), input in json()) {
        check(&text, &input);
    }

    #[test]
    fn random_texts_compile_or_say_where_they_are_wrong(text in "[.|,a-c0-9 \\[\\](){}\"\\\\$@;:?=/*+<>-]{0,40}") {
        if let Err(fault) = Program::compile(&text) {
            prop_assert!(fault.line >= 1 && fault.column >= 1 && fault.column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn an_input_that_is_not_touched_comes_out_with_its_numbers_and_order(input in json()) {
        let output = Program::compile(".").unwrap().run(input.as_bytes(), [("", ""); 0]).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&input).unwrap();
        prop_assert_eq!(std::str::from_utf8(&output[0]).unwrap(), serde_json::to_string(&expected).unwrap());
    }
}
