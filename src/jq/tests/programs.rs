//! What programs give.

use crate::jq::{CompileError, Program, RunError};

const NOTHING: [(&str, &str); 0] = [];

fn outputs(text: &str, input: &str) -> Vec<String> {
    let program = Program::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let outputs = program.run(input.as_bytes(), NOTHING).unwrap_or_else(|e| panic!("{text} on {input}: {e}"));
    outputs.iter().map(|output| String::from_utf8(output.to_vec()).unwrap()).collect()
}

fn fault(text: &str) -> CompileError {
    Program::compile(text).map(|_| text).unwrap_err()
}

/// Programs, inputs and outputs, separated by a space if there is more than one.
const PROGRAMS: [(&str, &str, &str); 78] = [
    (
        ".",
        r#"{"b":1.0,"a":12345678901234567890123,"c":1e400,"d":0.10,"e":-0}"#,
        r#"{"b":1.0,"a":12345678901234567890123,"c":1e400,"d":0.10,"e":-0}"#,
    ),
    (".", "  [ 1 , 2 ]  ", "[1,2]"),
    (".", r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
    (".", r#""\u00e9\ud83d\ude00\n\u0001""#, "\"é😀\\n\\u0001\""),
    (
        "{id, total: .total, customer: .customer.id}",
        r#"{"id":"a","total":9.90,"customer":{"id":7},"x":1}"#,
        r#"{"id":"a","total":9.90,"customer":7}"#,
    ),
    ("del(.secret)", r#"{"a":1,"secret":2,"b":3,"c":4}"#, r#"{"a":1,"b":3,"c":4}"#),
    ("del(.a, .c)", r#"{"a":1,"b":3,"c":4}"#, r#"{"b":3}"#),
    ("del(.[0,2])", "[1,2,3,4]", "[2,4]"),
    ("del(.[] | select(. > 2))", "[1,2,3,4]", "[1,2]"),
    ("del(.[1:])", "[1,2,3,4]", "[1]"),
    ("del(.a.b.c)", "{}", "{}"),
    (".a.b.c = 1", "{}", r#"{"a":{"b":{"c":1}}}"#),
    (".a.b = 1", "null", r#"{"a":{"b":1}}"#),
    (".[2] = 1", "[]", "[null,null,1]"),
    (".a += 1", r#"{"a":1,"b":2}"#, r#"{"a":2,"b":2}"#),
    (".a //= 3", "{}", r#"{"a":3}"#),
    (".. |= (if type == \"number\" then . + 1 else . end)", r#"[1,{"a":2}]"#, r#"[2,{"a":3}]"#),
    (".[] |= . * 2", "[1,2]", "[2,4]"),
    ("map(. + 1)", "[1,2]", "[2,3]"),
    ("map_values(. + 1)", r#"{"a":1}"#, r#"{"a":2}"#),
    (".[]", "[1,2]", "1 2"),
    (".[]?", "1", ""),
    (".items[]", r#"{"items":[1,2]}"#, "1 2"),
    ("select(.a > 1)", r#"{"a":1}"#, ""),
    (".a // \"d\"", "{}", r#""d""#),
    ("[.[] | {a: .}]", "[1,2]", r#"[{"a":1},{"a":2}]"#),
    ("{(.k): .v}", r#"{"k":"x","v":1}"#, r#"{"x":1}"#),
    ("\"\\(.a)-\\(.b)\"", r#"{"a":1,"b":"c"}"#, r#""1-c""#),
    ("to_entries", r#"{"b":1,"a":2}"#, r#"[{"key":"b","value":1},{"key":"a","value":2}]"#),
    ("with_entries(.key |= ascii_upcase)", r#"{"a":1}"#, r#"{"A":1}"#),
    ("from_entries", r#"[{"name":"a","value":1},{"k":"b","v":2}]"#, r#"{"a":1,"b":2}"#),
    ("keys, keys_unsorted", r#"{"b":1,"a":2}"#, r#"["a","b"] ["b","a"]"#),
    ("add", "[1,2,3]", "6"),
    ("add", r#"["a","b"]"#, r#""ab""#),
    ("add", "[[1],[2]]", "[1,2]"),
    ("add", "[]", "null"),
    ("any, all", "[true,false]", "true false"),
    ("flatten", "[1,[2,[3]]]", "[1,2,3]"),
    ("range(3)", "0", "0 1 2"),
    ("range(5;0;-2)", "0", "5 3 1"),
    ("[limit(2; .[])]", "[1,2,3]", "[1,2]"),
    ("first(.[]), last(.[]), nth(1; .[])", "[1,2,3]", "1 3 2"),
    ("[recurse(if . < 3 then . + 1 else empty end)]", "1", "[1,2,3]"),
    ("until(. > 100; . * 2)", "1", "128"),
    ("[while(. < 10; . * 2)]", "1", "[1,2,4,8]"),
    ("[limit(3; repeat(. * 2))]", "1", "[1,2,4]"),
    ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
    ("[foreach .[] as $x (0; . + $x)]", "[1,2,3]", "[1,3,6]"),
    ("[foreach .[] as $x (0; . + $x; [$x, .])]", "[1,2]", "[[1,1],[2,3]]"),
    (". as [$a, {b: $c}] | $a + $c", r#"[1,{"b":2}]"#, "3"),
    ("label $out | 1, break $out, 2", "0", "1"),
    ("try error(\"x\") catch .", "0", r#""x""#),
    ("try error({a: 1}) catch .a", "0", "1"),
    ("[.[] | tonumber?]", r#"["1","x","2.50"]"#, "[1,2.50]"),
    ("sort, sort_by(-.), unique, reverse, min, max", "[2,1,2]", "[1,2,2] [2,2,1] [1,2] [2,1,2] 1 2"),
    ("group_by(.a)", r#"[{"a":2},{"a":1},{"a":2}]"#, r#"[[{"a":1}],[{"a":2},{"a":2}]]"#),
    ("unique_by(.a), min_by(.a), max_by(.a)", r#"[{"a":2},{"a":1}]"#, r#"[{"a":1},{"a":2}] {"a":1} {"a":2}"#),
    ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
    ("getpath([\"a\",0,\"b\"])", "null", "null"),
    ("setpath([\"a\",0]; 1)", "null", r#"{"a":[1]}"#),
    ("pick(.a.b)", r#"{"a":{"b":1,"c":2},"d":3}"#, r#"{"a":{"b":1}}"#),
    ("split(\",\")", r#""a,b""#, r#"["a","b"]"#),
    ("join(\"-\")", r#"["a",1,null,true]"#, r#""a-1--true""#),
    ("test(\"^a+$\"), test(\"B\"; \"i\")", r#""aab""#, "false true"),
    ("capture(\"(?<x>[a-z])(?<n>[0-9]+)\")", r#""a12""#, r#"{"x":"a","n":"12"}"#),
    ("gsub(\"(?<l>[aeiou])\"; \"<\\(.l)>\"), sub(\"l\"; \"L\")", r#""hello""#, r#""h<e>ll<o>" "heLlo""#),
    ("[scan(\"[0-9]+\")]", r#""a1b22""#, r#"["1","22"]"#),
    ("[match(\"b\"; \"g\").offset]", r#""éb b""#, "[1,3]"),
    (
        "@base64, @uri, @html, @sh, @json",
        r#""a b<'""#,
        r#""YSBiPCc=" "a%20b%3C%27" "a b&lt;&#39;" "'a b<'\\'''" "\"a b<'\"""#,
    ),
    ("@csv, @tsv", r#"[1,"a\"b",null]"#, r#""1,\"a\"\"b\"," "1\ta\"b\t""#),
    ("@base64d", r#""YSBi""#, r#""a b""#),
    ("tojson, (tojson | fromjson)", r#"{"a":1.0}"#, r#""{\"a\":1.0}" {"a":1.0}"#),
    (
        "ltrimstr(\"a\"), rtrimstr(\"c\"), startswith(\"a\"), ascii_upcase, length, explode",
        r#""abc""#,
        r#""bc" "ab" true "ABC" 3 [97,98,99]"#,
    ),
    ("todate, (todate | fromdate)", "1425599621", r#""2015-03-05T23:53:41Z" 1425599621"#),
    (".[1:], .[:-1], .[0:1]", "[1,2,3]", "[2,3] [1,2] [1]"),
    (".[\"a\",\"b\"]", r#"{"a":1,"b":2}"#, "1 2"),
    ("contains([\"b\"]), inside([\"abc\"]), index(\"b\"), indices(\"abc\")", r#"["abc"]"#, "true true null [0]"),
    (
        "7 / 2, 6 / 2, 7 % 3, -7 % 3, 1e3, 0.1 + 0.2, 3.0 + 1, infinite, nan",
        "0",
        "3.5 3 1 -1 1e3 0.30000000000000004 4 1.7976931348623157e+308 null",
    ),
];

#[test]
fn programs_give_what_jq_gives() {
    for (text, input, expected) in PROGRAMS {
        assert_eq!(outputs(text, input).join(" "), expected, "{text} on {input}");
    }
}

#[test]
fn many_outputs_and_errors_come_in_the_order_of_jq() {
    for (text, expected) in [
        ("[(1,2) + (10,20)]", "[11,12,21,22]"),
        ("[{a: (1,2), b: (3,4)} | [.a, .b]]", "[[1,3],[1,4],[2,3],[2,4]]"),
        ("[{((\"a\",\"b\")): (1,2)}]", r#"[{"a":1},{"a":2},{"b":1},{"b":2}]"#),
        ("[\"\\(1,2)-\\(3,4)\"]", r#"["1-3","2-3","1-4","2-4"]"#),
        ("[{a: error(\"x\"), b: empty}]", "x"),
        ("[{a: empty, b: error(\"x\")}]", "[]"),
        ("[{(error(\"x\")): empty}]", "x"),
        ("[1 + (error(\"x\") + empty)]", "[]"),
        ("[empty + error(\"x\")]", "x"),
        ("[empty == error(\"x\")]", "x"),
        ("[\"\\(error(\"x\"))\\(empty)\"]", "[]"),
        ("[\"\\(empty)\\(error(\"x\"))\"]", "x"),
        ("{a: (1 | . + 1), b: 2, c: (3 | -.), d: 4, e: 5, f: 6, g: 7, h: 8, i: (9 | length)} | keys | length", "9"),
        ("[{id, b: empty}]", "cannot index array with string"),
        ("[.a // 1]", "cannot index array with string"),
        ("[(1, error(\"x\"), 2) // 3]", "x"),
        ("[(null, error(\"x\")) // (3, 4)]", "x"),
        ("{} | (.a // .b) |= 1", r#"{"b":1}"#),
        ("1 as $x | {$x, y: ($x | . + 1)}", r#"{"x":1,"y":2}"#),
    ] {
        let output = match Program::compile(text).unwrap().run(b"[]", NOTHING) {
            Ok(outputs) => String::from_utf8(outputs.concat()).unwrap(),
            Err(RunError::Failed(message)) => message,
            Err(other) => panic!("{text}: {other}"),
        };
        assert_eq!(output, expected, "{text}");
    }
}

#[test]
fn faults_of_a_program_show_line_and_column() {
    let cases = [
        (".a |", 1, 5, "the program ends too early; expected term"),
        (".a\n| foo(1)", 2, 3, "there is no function foo"),
        (".a\n| map", 2, 3, "the function map takes 1 arguments, not 0"),
        ("\"é\" | $x", 1, 7, "there is no variable $x here; the only one from outside is $metadata"),
        ("[1, 2", 1, 6, "closing bracket is missing"),
        ("def f: . | f; f", 1, 12, "the function f calls itself"),
        ("env.PATH", 1, 1, "the function env is not available: programs do not see the environment"),
        ("1 | input", 1, 5, "the function input is not available"),
        ("$ENV", 1, 1, "$ENV is not available"),
        ("import \"a\" as a; .", 1, 1, "modules are not supported"),
        ("break $x", 1, 7, "there is no label $x around this break"),
        ("", 1, 1, "the program ends too early; expected term"),
        ("1 §", 1, 3, "this character has no meaning in jq"),
        ("reduce . as $x (0)", 1, 1, "reduce needs two arguments"),
    ];
    for (text, line, column, message) in cases {
        let fault = fault(text);
        assert_eq!((fault.line, fault.column), (line, column), "{text}: {fault}");
        assert!(fault.message.contains(message), "{text}: {fault}");
    }
    assert_eq!(fault(".a |").to_string(), "line 1, column 5: the program ends too early; expected term");
}

#[test]
fn keys_and_conditions_are_the_first_output() {
    let text = |program: &str, input: &str| Program::compile(program).unwrap().run_text(input.as_bytes(), NOTHING);
    assert_eq!(text(".a", r#"{"a":"x"}"#), Ok(Some("x".to_owned())));
    assert_eq!(text(".a, .b", r#"{"a":1.50,"b":2}"#), Ok(Some("1.50".to_owned())));
    assert_eq!(text(".a", r#"{"a":true}"#), Ok(Some("true".to_owned())));
    assert_eq!((text(".a", "{}"), text("empty", "{}")), (Ok(None), Ok(None)));
    assert_eq!(text(".", "{}"), Err(RunError::NoText("object")));
    let is_true = |program: &str| Program::compile(program).unwrap().run_condition(b"{\"a\":0}", NOTHING);
    let outcomes = ["true", ".a", ".b", "false, true", "empty"].map(|program| is_true(program).unwrap());
    assert_eq!(outcomes, [true, true, false, false, false]);
}

#[test]
fn metadata_is_read_only_when_the_program_names_it() {
    let with = Program::compile(". + {key: $metadata.partitionKey}").unwrap();
    assert!(with.uses_metadata());
    let output = with.run(b"{\"a\":1}", [("partitionKey", "k")]).unwrap();
    assert_eq!(output, [r#"{"a":1,"key":"k"}"#]);
    let without = Program::compile(".a").unwrap();
    assert!(!without.uses_metadata());
    let never = std::iter::from_fn(|| -> Option<(String, String)> { panic!("metadata was asked for") });
    assert_eq!(without.run(b"{\"a\":1}", never).unwrap(), ["1"]);
}

#[test]
fn failures_say_why_and_hold_no_payload() {
    let fail =
        |program: &str, input: &str| Program::compile(program).unwrap().run(input.as_bytes(), NOTHING).unwrap_err();
    assert_eq!(fail(".a", r#""secret""#).to_string(), "the program failed: cannot index string with string");
    assert_eq!(fail("error(\"no id\")", "1").to_string(), "the program failed: no id");
    assert_eq!(fail("error({code: 1})", "1").to_string(), r#"the program failed: {"code":1}"#);
    assert_eq!(fail("1 / 0", "1").to_string(), "the program failed: division by zero");
    for (program, input) in [
        ("fromdate", r#""2015-03-05T23:53:41Z secret""#),
        ("fromdate", r#""secret""#),
        ("strptime(\"%Y\")", r#""2015 secret""#),
        ("strptime(.)", r#""%secret""#),
        ("1 as $date | . as $format | $date | strftime($format)", r#""%!secret""#),
        ("mktime", "[2015, 98, 1, 0, 0, 0]"),
        ("@base64d", r#""secret!""#),
    ] {
        let error = fail(program, input).to_string();
        let is_quoted = ["secret", "98", "99", "33"].iter().any(|part| error.contains(part));
        assert!(error.starts_with("the program failed: ") && !is_quoted, "{program}: {error}");
    }
    assert_eq!(fail(".", "{\"a\":}").to_string(), "the input is not JSON: no value of JSON at byte 5");
    for input in
        ["", "1 2", "[1,]", "{\"a\"}", "01", "1.", "\"a", "\"\\x\"", "nul", "+1", "'a'", "\"\u{1}\"", "NaN", "-"]
    {
        assert!(matches!(fail(".", input), RunError::Input { .. }), "{input}");
    }
    assert!(matches!(Program::compile(".").unwrap().run(b"\"\xff\"", NOTHING), Err(RunError::Input { .. })));
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let program = Program::compile("[.[] | . + 1]").unwrap();
    shared(&program);
    let threads: Vec<_> = (0..4)
        .map(|_| program.clone())
        .map(|program| std::thread::spawn(move || program.run(b"[1]", NOTHING).unwrap()))
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), ["[2]"]);
    }
}
