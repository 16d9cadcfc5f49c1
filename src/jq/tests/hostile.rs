//! Programs that want too much: each must end at a limit, or not compile.

use crate::jq::{Limit, Limits, Program, RunError};

const NOTHING: [(&str, &str); 0] = [];

/// Programs that must end at a limit, whatever they catch.
const OVER_LIMIT: [&str; 67] = [
    "range(1e18)",
    "[range(1e9)]",
    "[range(1e18) | empty]",
    "last(range(1e18))",
    "range(0; 1e18; 1e-9)",
    "first(range(1e18) | select(. < 0))",
    "[limit(1e9; repeat(1))] | length",
    "repeat(.)",
    "[repeat(empty, .)]",
    "def f: repeat(.); f",
    "until(false; .)",
    "[while(true; . )] | length",
    "recurse(.)",
    "[recurse(., .)] | length",
    "null | last(recurse(.a?))",
    ".[1e9] = 1",
    ".[1e18] = 1",
    "{} | .a[1e9].b = 1",
    "\"x\" * 1e9",
    "\"x\" * 1e300",
    "reduce range(60) as $i (\"x\"; . + .)",
    "reduce range(60) as $i (\"x\"; . * 2)",
    "reduce range(60) as $i ([1]; . + .)",
    "reduce range(60) as $i (1; [., .])",
    "reduce range(60) as $i ({}; {a: ., b: .})",
    "reduce range(60) as $i (1; [., .]) | tojson",
    "reduce range(60) as $i (1; [., .]) | . == .",
    "reduce range(60) as $i (1; [., .]) | flatten",
    "reduce range(1e6) as $i (0; [.])",
    "reduce range(1e6) as $i (0; {a: .})",
    "reduce range(1e6) as $i (null; {a: 1} | .a = $i) | repeat(.)",
    "[range(1e5) as $i | [range(1e5)]]",
    "range(1000) | range(1000) | range(1000) | empty",
    "[range(1000) as $i | range(1000) as $j | range(1000) as $k | empty]",
    "[range(1000) + range(1000) + range(1000)] | length",
    ".[range(1000)]?[range(1000)]?[range(1000)]?",
    "[.[range(1000):range(1000)]] | length",
    "{a: range(1e3), b: range(1e3), c: range(1e3)} | empty",
    "[\"\\(range(1e3))\\(range(1e3))\\(range(1e3))\"] | length",
    "[try range(1e18) catch .] | length",
    "[range(1e18) | (error(\"x\"))?] | length",
    "[range(1e18) | try error(.) catch empty]",
    "try repeat(.) catch 1",
    "(repeat(.))?",
    "[.[]?, (try (\"x\" * 1e9) catch 1)] | repeat(.)",
    "(\"x\" * 1e9)? // 1",
    "def a: .,.; def b: a|a; def c: b|b; def d: c|c; def e: d|d; def f: e|e; [f] | length",
    "def a: .|.; def b: a|a|a|a; def c: b|b|b|b; def d: c|c|c|c; def e: d|d|d|d; def f: e|e|e|e; \
     def g: f|f|f|f; def h: g|g|g|g; def i: h|h|h|h; def j: i|i|i|i; j",
    "def two(f): f | f; two(two(two(two(two(two(two(two(two(two(two(two(two(two(two(two(two(. )))))))))))))))))",
    "[range(30)] | [combinations(10)] | length",
    "[[range(100)], [range(100)], [range(100)], [range(100)]] | [combinations]",
    "[range(5e4)] | tojson * 1000",
    "[range(5e4)] | map(tostring) | join(\"x\" * 1000)",
    "(\"ab\" * 1e6) | [splits(\"a\")] | length",
    "(\"a\" * 1e6) | explode | length",
    "(\"a\" * 1e6) | [scan(\"a\")] | length",
    "(\"a\" * 1e6) | gsub(\"a\"; \"bbbbbbbbbbbbbbbbbbbbbbbb\")",
    "(\"a\" * 9e6) | @base64 | @base64",
    "(\"a\" * 5e5) | [range(1000) as $i | . + \"b\"] | length",
    "[range(2e4)] | [range(1e4) as $i | . + [1]] | length",
    "[range(2e4)] | [range(1e4) as $i | sort] | length",
    "(\"[\" * 1000) + (\"]\" * 1000) | fromjson",
    // Where all is alike, a search may compare each place to its end.
    "reduce range(17) as $i ([1]; . + .) | indices(.[:50000])",
    "(\"a\" * 1e6) | indices(\"a\" * 5e5)",
    "(\"9\" * 1e6 | fromjson) as $n | reduce range(5000) as $i (0; . + $n)",
    "(\"a\" * 1e5) | test(\"(a{30}){30}b\")",
    "(\"[\" + (\"[],\" * 1e6) + \"1]\") | fromjson",
];

/// Programs that call themselves, see the process, or are too deep.
const REFUSED: [&str; 30] = [
    "def f: f; f",
    "def f: 1 + f; f",
    "def f: def g: f; g; f",
    "def f(g): f(g | g); f(.)",
    "def f: .a | f?; f",
    "def f: def f: 1; def g: g; g; f",
    "env",
    "$ENV",
    "env.PATH",
    "input",
    "inputs",
    "[inputs]",
    "halt",
    "halt_error",
    "\"x\" | halt_error(1)",
    "debug",
    "debug(\"x\")",
    "stderr",
    "input_filename",
    "$__loc__",
    "$__prog_args",
    "import \"a\" as a; .",
    "include \"a\"; .",
    "a::b",
    "modulemeta",
    "localtime",
    "_step",
    "_range(0; 1; 1)",
    ". as $__input | .",
    "get_search_list",
];

fn run(text: &str) -> Result<usize, RunError> {
    let program = Program::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    program.run(br#"[{"a":[1,2,{"b":"c"}]}]"#, NOTHING).map(|outputs| outputs.len())
}

#[test]
fn programs_that_want_too_much_end_at_a_limit() {
    for text in OVER_LIMIT {
        let outcome = run(text);
        assert!(matches!(outcome, Err(RunError::Limit(_))), "{text}: {outcome:?}");
    }
}

#[test]
fn programs_that_call_themselves_or_see_the_process_do_not_compile() {
    for text in REFUSED {
        assert!(Program::compile(text).is_err(), "{text} compiled");
    }
}

#[test]
fn deep_programs_are_refused_and_not_read_by_an_overflow() {
    let deep = [
        "[".repeat(8_000),
        format!("{}1{}", "[".repeat(4000), "]".repeat(4000)),
        format!("{}1{}", "(".repeat(4000), ")".repeat(4000)),
        format!("{}1", "-".repeat(8_000)),
        format!("{}.", "try ".repeat(2000)),
        format!("{}.", ". as $x|".repeat(1000)),
        format!("{}.", "def f: 1; ".repeat(800)),
        format!("{}1", "1|".repeat(4000)),
        format!("{}1", "1+".repeat(4000)),
        format!("{}1", "1,".repeat(4000)),
        format!(".{}", "[0]".repeat(2500)),
        format!(".{}", "[]?".repeat(2500)),
        format!("def f0: .; {} f400", (1..=400).map(|n| format!("def f{n}: f{}; ", n - 1)).collect::<String>()),
        "\"\\(".repeat(2500),
        format!("{}. {}", "if . then ".repeat(700), "end ".repeat(400)),
        "x".repeat(9 << 10),
    ];
    for text in deep {
        if let Ok(program) = Program::compile(&text) {
            let outcome = program.run(b"[[1]]", NOTHING);
            assert!(outcome.is_ok() || matches!(outcome, Err(RunError::Failed(_) | RunError::Limit(_))), "{outcome:?}");
        }
    }
}

#[test]
fn the_deepest_programs_that_compile_run_on_the_stack_of_a_worker() {
    let nested = |open: &str, inner: &str, close: &str| {
        let build = |n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
        let deepest = (1..=32).rev().map(|n| build(n * 8)).find_map(|text| Program::compile(&text).ok());
        deepest.unwrap_or_else(|| panic!("{open} never compiles"))
    };
    let programs = [
        nested("[", ".", "]"),
        nested("(.,.|", ".", ")"),
        nested("[.[]?|", ".", "]"),
        nested("map(", ".", ")"),
        nested("try (", "error(1)", ") catch ."),
        nested("{a:", ".", "}"),
        nested("if . then ", ".", " else . end"),
        nested("reduce (", ".", ") as $x (0; $x)"),
        nested("first(", ".", ")"),
        nested(". as $x | ", ".", ""),
        nested("[..|", ".", "]"),
        nested("1 + (", "1", ")"),
        nested("path(", ".", ") | length"),
        nested(".[0]? |= (", ".", ")"),
        nested("sort_by(", ".", ")"),
    ];
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            for program in programs {
                let _outcome = program.run(b"[[1,2],[3]]", NOTHING);
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn long_paths_are_refused_and_do_not_overflow_the_stack() {
    let many = |step: &str, count: usize| vec![step; count].join(" | ");
    let start = "[range(100) | \"a\"] as $p | null | ";
    let programs = [
        format!("{start} path({})", many("getpath($p)", 40)),
        format!("{start} [path(recurse({}))]", many("getpath($p)", 20)),
        format!("{start} ({}) |= 1", many("getpath($p)", 40)),
        format!("{start} ({}) = 1", many("getpath($p)", 40)),
        "null | path(recurse(.a))".to_owned(),
    ];
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            for text in programs {
                let outcome = run(&text);
                assert_eq!(outcome, Err(RunError::Failed("a path is too long".to_owned())), "{text}");
            }
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(run("null | [range(128) | \"a\"] as $p | path(getpath($p))"), Ok(1));
    assert_eq!(run("null | [range(64) | \"a\"] as $p | (getpath($p) | getpath($p)) |= 1"), Ok(1));
}

#[test]
fn each_limit_says_which_it_is() {
    let time = std::time::Duration::from_secs(3600);
    let limits = Limits { steps: 1000, output_bytes: 1000, outputs: 10, nesting: 5, time };
    let run = |text: &str, input: &str| {
        Program::compile(text).unwrap().with_limits(limits).run(input.as_bytes(), NOTHING).unwrap_err()
    };
    assert_eq!(run("last(range(1e9))", "1"), RunError::Limit(Limit::Steps));
    assert_eq!(run("\"x\" * 1001", "1"), RunError::Limit(Limit::Bytes));
    assert_eq!(run("range(3) | \"x\" * 400", "1"), RunError::Limit(Limit::Bytes));
    assert_eq!(run("range(11)", "1"), RunError::Limit(Limit::Outputs));
    assert_eq!(run(".", "[[[[[[1]]]]]]"), RunError::Limit(Limit::Nesting));
    assert_eq!(run("[.]", "[[[[[1]]]]]"), RunError::Limit(Limit::Nesting));
    assert_eq!(run(".", &format!("\"{}\"", "x".repeat(2000))), RunError::Limit(Limit::Bytes));
}

#[test]
fn time_is_limited_for_runs_that_are_not_short() {
    let limits = Limits { steps: u64::MAX, time: std::time::Duration::ZERO, ..Limits::default() };
    let run = |text: &str| Program::compile(text).unwrap().with_limits(limits).run(b"1", NOTHING);
    assert_eq!(run("try last(range(1e9)) catch 1"), Err(RunError::Limit(Limit::Time)));
    assert_eq!(run("last(range(100))").unwrap(), ["99"]);
}

#[test]
fn a_limit_cannot_be_caught_and_does_not_outlive_its_run() {
    let limits = Limits { steps: 1000, ..Limits::default() };
    let greedy = Program::compile("try (\"x\" * 1e9) catch 1, 2, 3").unwrap().with_limits(limits);
    assert_eq!(greedy.run(b"1", NOTHING), Err(RunError::Limit(Limit::Bytes)));
    let modest = Program::compile(".").unwrap();
    assert_eq!(modest.run(b"1", NOTHING).unwrap(), ["1"]);
}
