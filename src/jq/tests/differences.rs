//! A row for each difference from jq that the docs list. What jq 1.6 gives is in the comments.

use crate::jq::{CompileError, Program, RunError};

/// Whether the docs have these words, perhaps with a line break between them.
fn is_in_docs(words: &str) -> bool {
    let docs: Vec<&str> = include_str!("../../../docs/shaping.md").split_whitespace().collect();
    docs.join(" ").contains(words)
}

fn compiled(text: &str) -> Result<Program, CompileError> {
    Program::compile(text)
}

/// The outputs, or the failure of the run.
fn run(text: &str, input: &str) -> Result<String, RunError> {
    let program = compiled(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let outputs = program.run(input.as_bytes(), [("", ""); 0])?;
    Ok(outputs.iter().map(|output| String::from_utf8(output.to_vec()).unwrap()).collect::<Vec<_>>().join(" "))
}

/// Programs that jq compiles, by the words of the docs for what is missing.
const MISSING: [(&str, &str); 26] = [
    ("`input`", "input"),
    ("`inputs`", "[inputs]"),
    ("`env`", "env"),
    ("`$ENV`", "$ENV"),
    ("`debug`", "debug"),
    ("`stderr`", "stderr"),
    ("`halt`", "halt"),
    ("`halt_error`", "halt_error"),
    ("`input_filename`", "input_filename"),
    ("`$__loc__`", "$__loc__"),
    ("`import`", "import \"a\" as a; ."),
    ("`include`", "include \"a\"; ."),
    ("`localtime`", "localtime"),
    ("`strflocaltime`", "strflocaltime(\"%Y\")"),
    ("A function may not call itself", "def f: if . > 3 then . else . + 1 | f end; f"),
    ("`?//`", ".[] as [$a] ?// $a | $a"),
    ("`bsearch`", "bsearch(2)"),
    ("`tostream`", "[tostream]"),
    ("`fromstream`", "fromstream(1)"),
    ("`truncate_stream`", "truncate_stream(1)"),
    ("`@base32`", "@base32"),
    ("`@base32d`", "@base32d"),
    ("`builtins`", "builtins"),
    ("`input_line_number`", "input_line_number"),
    ("functions in the style of SQL", "JOIN({}; .)"),
    ("`$x` as a parameter of a function is a variable only", "def f($x): x; f(1)"),
];

/// By the words of the docs; a failure of the run is its message.
const DIFFERENT: [(&str, &str, &str, &str); 30] = [
    ("`recurse`, `repeat`", "[limit(2; repeat(1))], [recurse(empty)]", "0", "[0,1] [0]"),
    ("`while`, `until`, `walk`, `range`", "[while(. < 2; . + 1)], until(. > 1; . + 1), walk(.)", "0", "[0,1] 2 0"),
    ("`limit`, `reduce` and `foreach` are there", "reduce range(3) as $x (.; . + $x)", "0", "3"),
    ("except `IN` and `INDEX`", "IN(1, 2), INDEX(1, 2; .)", "1", r#"true {"1":1,"2":2}"#),
    // {"a":2}
    ("`reduce` and `foreach` have no path", r#"(foreach "a" as $x (.; .[$x])) |= 2"#, r#"{"a":1}"#, "failed"),
    ("`path(reduce …)` fails", r#"path(reduce "a" as $x (.; .[$x]))"#, r#"{"a":1}"#, "failed"),
    // {"a":2}, each of them
    ("`try`, `first(f)`", "(try .a) |= 2", r#"{"a":1}"#, "failed"),
    ("`try`, `first(f)`", "first(.a) |= 2", r#"{"a":1}"#, "failed"),
    ("`limit`, `label`", "limit(1; .a) |= 2", r#"{"a":1}"#, "failed"),
    ("`limit`, `label`", "(label $out | .a) |= 2", r#"{"a":1}"#, "failed"),
    // [2]
    ("`recurse(f)` cannot stand", "(recurse(.[]?) | numbers) |= 2", "[1]", "failed"),
    ("`..`, `.[]?`, `select`, `if` and `getpath` can", "(.. | numbers) |= 2", "[1]", "[2]"),
    ("`..`, `.[]?`, `select`, `if` and `getpath` can", ".[]? |= 2", "[1]", "[2]"),
    ("`..`, `.[]?`, `select`, `if` and `getpath` can", "(.[] | select(. > 1)) |= 9", "[1,2]", "[1,9]"),
    ("`..`, `.[]?`, `select`, `if` and `getpath` can", "(if .a then .b else .c end) |= 9", "{}", r#"{"c":9}"#),
    ("`..`, `.[]?`, `select`, `if` and `getpath` can", r#"getpath(["a"]) |= 3"#, "{}", r#"{"a":3}"#),
    // 9007199254740992
    ("Integers of 64 bits are calculated exactly", ". + 1", "9007199254740993", "9007199254740994"),
    ("all other numbers as floats", ". + 0", "36893488147419103233", "3.6893488147419103e+19"),
    // [1,1.7976931348623157e+308]
    ("come out as they were written", ".", "[1.0,1e400]", "[1.0,1e400]"),
    // [1,9]
    (
        "`walk`, `..|=` and updates take the first output",
        r#"walk(if type == "number" then (., 9) else . end)"#,
        "[1]",
        "[1]",
    ),
    ("`walk`, `..|=` and updates take the first output", ".[] |= (., 9)", "[1]", "[1]"),
    // [2]
    ("with none, the place is deleted", ".[] |= empty", "[1,2,3]", "[]"),
    // Cannot use null (null) as object key
    ("takes the keys `k` and `name` and the value `v` too", "from_entries", r#"[{"k":"a","v":1}]"#, r#"{"a":1}"#),
    // Cannot use number (2) as object key
    ("keys that are numbers or booleans", "from_entries", r#"[{"key":2,"value":3}]"#, r#"{"2":3}"#),
    // Nothing
    ("catch the errors of their own expression only", r#"(try 1) | error("x")"#, "0", "failed"),
    // true
    ("is not true because `f` has no output", "all(if . == 1 then empty else false end)", "[1,2]", "false"),
    // "2015-03-05T23:53:41Z"
    ("keep fractions of a second", "todate | length > 20", "1425599621.5", "true"),
    (
        "are those of later versions",
        "(abs), toarray, (\" a \" | trim), ({a: 1, b: 2} | pick(.a))",
        "-1",
        r#"1 [-1] "a" {"a":1}"#,
    ),
    // true, each of them
    ("no lookaround", r#"test("a(?=b)")"#, r#""ab""#, "failed"),
    ("no back-references", r#"test("(a)\\1")"#, r#""aa""#, "failed"),
];

#[test]
fn what_the_docs_say_is_missing_does_not_compile() {
    for (words, program) in MISSING {
        assert!(is_in_docs(words), "{words} is not in the docs");
        assert!(compiled(program).is_err(), "{program} compiles");
    }
}

#[test]
fn what_the_docs_say_is_different_is() {
    let mut others = Vec::new();
    for (words, program, input, expected) in DIFFERENT {
        assert!(is_in_docs(words), "{words} is not in the docs");
        let output = match run(program, input) {
            Err(RunError::Failed(_)) => "failed".to_owned(),
            other => other.unwrap_or_else(|e| panic!("{program}: {e}")),
        };
        if output != expected {
            others.push(format!("{program} on {input}: {output}, not {expected}"));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert!(is_in_docs("classes of ASCII only"));
    assert_eq!(run(r#"test("\\w")"#, r#""é""#).unwrap(), "false");
    assert!(is_in_docs("name kinds of values, but never values"));
    assert_eq!(
        run(".a.b", r#"{"a":"s3cret"}"#).unwrap_err().to_string(),
        "the program failed: cannot index string with string"
    );
}
