//! Texts that are no patterns.

use super::operator_tests::FIELDS;
use super::{Filter, MAX_LENGTH};

fn fault(text: &str) -> String {
    Filter::compile(text, &FIELDS).unwrap_err().to_string()
}

#[test]
fn a_fault_says_where_it_is_and_what_to_write() {
    for (pattern, expected) in [
        ("", "the filter is not valid JSON: EOF while parsing a value at line 1 column 0: write a pattern such as"),
        (r#"{"data": }"#, "expected value at line 1 column 10"),
        ("5", "a filter is a JSON object or a list of them"),
        ("[]", "the list of patterns is empty"),
        ("[5]", "`[0]`: a pattern is a JSON object"),
        ("{}", "an object without fields would match everything"),
        (r#"{"data": {}}"#, "`data`: an object without fields"),
        (
            r#"{"type": ["a"]}"#,
            "there is no field `type` beside `data`: write the fields of the data inside `data`; the others \
                                are `partitionKey`, `sequenceNumber`",
        ),
        (r#"{"data": {"a": 1}}"#, "`data.a`: a value must be in a list"),
        (r#"{"data": {"a": []}}"#, "`data.a`: an empty list matches nothing"),
        (r#"{"data": {"a": [[1]]}}"#, "`data.a[0]`: a list inside a list"),
        (r#"{"data": {"a": [1, {"prefix": 5}]}}"#, "`data.a[1].prefix`: it is not a string"),
        (r#"{"data": {"a": [{"prefix": ""}]}}"#, "an empty string would match every string"),
        (r#"{"data": {"a": [{"prefix": {"suffix": "x"}}]}}"#, "`suffix` cannot be combined with it"),
        (r#"{"data": {"a": [{"prefix": "a", "suffix": "b"}]}}"#, "`data.a[0]`: a comparison has exactly one member"),
        (r#"{"data": {"a": [{}]}}"#, "a comparison has exactly one member"),
        (
            r#"{"data": {"a": [{"starts": "a"}]}}"#,
            "`data.a[0].starts`: there is no such comparison: the comparisons are",
        ),
        (r#"{"data": {"a": [{"exists": "yes"}]}}"#, "it is neither `true` nor `false`"),
        (r#"{"data": {"a": [{"cidr": "10.0.0.0/33"}]}}"#, "it is no range of addresses"),
        (r#"{"data": {"a": [{"cidr": "10.0.0.1"}]}}"#, "it is no range of addresses"),
        (r#"{"data": {"a": [{"wildcard": "a**b"}]}}"#, "two asterisks follow each other"),
        (r#"{"data": {"a": [{"wildcard": "a\\b"}]}}"#, "a backslash stands only before"),
        (r#"{"data": {"a": [{"numeric": 5}]}}"#, "it is not a list"),
        (r#"{"data": {"a": [{"numeric": []}]}}"#, "one or two pairs"),
        (r#"{"data": {"a": [{"numeric": ["<"]}]}}"#, "pairs of a sign in quotes and a number"),
        (r#"{"data": {"a": [{"numeric": ["=", 1, "<", 2]}]}}"#, "`=` stands alone"),
        (r#"{"data": {"a": [{"numeric": ["<", 1, "<=", 2]}]}}"#, "`<=` repeats a limit"),
        (r#"{"data": {"a": [{"numeric": [">", 5, "<", 5]}]}}"#, "no number is in the range"),
        (r#"{"data": {"a": [{"numeric": ["~", 5]}]}}"#, "`~` is no sign"),
        (r#"{"data": {"a": [{"numeric": ["<", 1e999]}]}}"#, "1e999 is out of range"),
        (r#"{"data": {"a": [{"anything-but": []}]}}"#, "an empty list excludes nothing"),
        (r#"{"data": {"a": [{"anything-but": {"prefix": []}}]}}"#, "an empty list excludes nothing"),
        (r#"{"data": {"a": [{"anything-but": ["a", 1]}]}}"#, "strings and numbers are mixed"),
        (r#"{"data": {"a": [{"anything-but": null}]}}"#, "it takes strings or numbers"),
        (r#"{"data": {"a": [{"anything-but": {"numeric": ["<", 1]}}]}}"#, "it cannot be negated"),
        (r#"{"data": {"$or": [{"a": [1]}]}}"#, "`data.$or`: it needs at least two patterns"),
        (r#"{"data": {"$or": [{"a": [1]}, 5]}}"#, "`data.$or[1]`: it is not an object"),
        (
            r#"{"data": {"$or": [{"prefix": "a"}, {"a": [1]}]}}"#,
            "`data.$or[0]`: `prefix` is a comparison and needs a field",
        ),
        (r#"{"data": {"a": [1], "a": [2]}}"#, "`a` is written twice"),
    ] {
        let message = fault(pattern);
        assert!(message.contains(expected), "{pattern}: {message}");
    }
}

#[test]
fn faults_of_the_filters_of_lambda_say_what_they_look_like() {
    for (pattern, expected) in [
        (r#"{"Filters": []}"#, "`Filters` is empty"),
        (r#"{"Filters": [{"Pattern": {}}]}"#, "`Filters[0]`: it must have one member, the string `Pattern`"),
        (r#"{"Filters": [{"Pattern": "{"}]}"#, "`Filters[0]`: the filter is not valid JSON"),
        (r#"{"FilterCriteria": []}"#, "`FilterCriteria` must have one member, the list `Filters`: write `{\"Filters\""),
        (r#"{"FilterCriteria": {"data": {"a": [1]}}}"#, "`FilterCriteria` must have one member, the list `Filters`"),
        (
            r#"{"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}"#,
            "`FilterCriteria.Filters[0]`: the filter is not valid JSON",
        ),
    ] {
        let message = fault(pattern);
        assert!(message.contains(expected), "{pattern}: {message}");
    }
}

#[test]
fn patterns_are_limited_in_length_depth_number_and_combinations() {
    assert!(fault(&" ".repeat(MAX_LENGTH + 1)).contains("65537 bytes"));
    let deep = format!("{}1{}", r#"{"a": "#.repeat(5000), "}".repeat(5000));
    assert!(fault(&deep).contains("nested deeper than 64 levels"));
    let many = format!("[{}]", vec![r#"{"data": ["a"]}"#; 101].join(","));
    assert!(fault(&many).contains("101 patterns"));
    let or = |name: usize| format!(r#""x{name}": {{"$or": [{{"a": [1]}}, {{"b": [1]}}]}}"#);
    let branches = |count| format!(r#"{{"data": {{{}}}}}"#, (0..count).map(or).collect::<Vec<_>>().join(","));
    assert!(Filter::compile(&branches(9), &FIELDS).is_ok(), "512 combinations");
    assert!(fault(&branches(10)).contains("more than 1000 combinations"));
}
