//! Names of tables and consumers, and lease tables that two components share.

use super::tests::{check_component, check_text, kinesis};

#[test]
fn two_inputs_on_one_lease_table_are_a_fault_only_if_both_are_explicit() {
    let component = |name: &str, direction: &str| {
        let direction = match direction {
            "" => String::new(),
            direction => format!("    - {{name: direction, value: '{direction}'}}\n"),
        };
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: bindings.aws.kinesis\n  \
             version: v1\n  metadata:\n    - {{name: streamName, value: {name}}}\n    - {{name: consumerName, value: shop}}\n{direction}"
        )
    };
    let counts = |directions: &[&str]| {
        let names = ["first", "second", "third"];
        let texts: Vec<_> = names.iter().zip(directions).map(|(name, direction)| component(name, direction)).collect();
        let result = check_text(&texts.join("---\n"));
        for fault in &result.faults {
            assert!(fault.problem.contains("lease table `shop` is also that of component `"), "{fault}");
        }
        let notices = result.notices.iter().filter(|notice| notice.text.contains("lease table `shop`"));
        (result.faults.len(), notices.count())
    };
    for (directions, expected) in [
        (&["input", "input"][..], (1, 0)),
        (&["input", "input, output"], (1, 0)),
        (&["", ""], (0, 1)),
        (&["input", ""], (0, 1)),
        (&["", "input"], (0, 1)),
        (&["input", "output"], (0, 0)),
        (&["", "output"], (0, 0)),
        (&["", "input", "input"], (1, 1)),
        (&["", "", ""], (0, 2)),
    ] {
        assert_eq!(counts(directions), expected, "{directions:?}");
    }
}

#[test]
fn names_that_aws_does_not_allow_are_faults() {
    let shown = |items: &[(&str, &str)]| {
        let result = kinesis(&[&[("streamName", "orders")], items].concat());
        assert!(result.faults.len() <= 1, "{}", result.faults);
        result.faults.to_string()
    };
    let (long, longer) = ("x".repeat(128), "x".repeat(129));
    let allowed = "3 to 128 letters, digits, `_`, `.` or `-`";
    for (name, problem) in [
        ("a", "it has 1 character"),
        ("ab", "it has 2 characters"),
        (&longer, "it has 129 characters"),
        ("a/b", "it holds `/`"),
        ("my shop", "it holds ` `"),
        ("häuser", "it holds `ä`"),
    ] {
        let shown = shown(&[("consumerName", name)]);
        assert!(
            shown.contains("field `consumerName`: ") && shown.contains(allowed) && shown.contains(problem),
            "{shown}"
        );
    }
    for items in [
        &[("consumerName", "abc")][..],
        &[("consumerName", &long)],
        &[("consumerName", "a"), ("leaseTable", "abc")],
        &[("consumerName", "a"), ("leaseTable", "abc"), ("mode", "extended")],
    ] {
        assert_eq!(shown(items), "", "{items:?}");
    }
    assert!(shown(&[("consumerName", "a"), ("mode", "extended")]).contains("it has 1 character"));
    for (table, problem) in
        [("ab", "it has 2 characters"), ("a b c", "it holds ` `"), (&"t".repeat(256), "256 characters")]
    {
        let shown = shown(&[("leaseTable", table)]);
        assert!(
            shown.contains("field `leaseTable`") && shown.contains("3 to 255") && shown.contains(problem),
            "{shown}"
        );
    }
    let stream = kinesis(&[("streamName", "or ders!")]).faults.to_string();
    assert!(
        stream.contains("field `streamName`: `or ders!`: a stream name has 1 to 128") && stream.contains("` `, `!`"),
        "{stream}"
    );
    let table = check_component("bindings.aws.dynamodb", "", &[("table", "a/b")]).faults.to_string();
    assert!(table.contains("field `table`: `a/b`") && table.contains("it holds `/`"), "{table}");
}

#[test]
fn a_default_name_that_is_too_long_is_a_fault() {
    let faults = |length: usize, items: &str| {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {}}}\nspec:\n  type: bindings.aws.kinesis\n  \
             metadata: [{{name: streamName, value: s}}{items}]\n",
            "n".repeat(length)
        );
        check_text(&text).faults
    };
    let extended = ", {name: mode, value: extended}";
    for (length, items) in [
        (250, ""),
        (123, extended),
        (300, ", {name: direction, value: output}"),
        (300, ", {name: consumerName, value: abc}"),
        (300, ", {name: leaseTable, value: abc}"),
    ] {
        assert!(faults(length, items).is_empty(), "{length} {items}: {}", faults(length, items));
    }
    for (length, items) in
        [(251, ""), (124, extended), (124, ", {name: leaseTable, value: abc}, {name: mode, value: extended}")]
    {
        let shown = faults(length, items).to_string();
        assert!(
            shown.contains("field `consumerName`: the field is missing, and its default"),
            "{length} {items}: {shown}"
        );
    }
}
