//! Fields of filters and transforms, and methods.

use crate::bindings::kinesis::{HashKeySource, KeySource};
use crate::bindings::{CheckResult, Spec, check};
use crate::manifest::{Environment, LoadRequest, load};

struct NoVariables;

impl Environment for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

fn check_with(kind: &str, items: &[(&str, &str)], methods: &str) -> CheckResult {
    let items: String = items
        .iter()
        .map(|(name, value)| format!("    - {{name: {name}, value: {}}}\n", serde_json::json!(value)))
        .collect();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  type: {kind}\n  \
         metadata:\n{items}{methods}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    check(load(&LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &NoVariables }))
}

fn kinesis(items: &[(&str, &str)]) -> CheckResult {
    check_with("bindings.aws.kinesis", &[&[("streamName", "orders")], items].concat(), "")
}

fn method(name: &str, program: &str) -> String {
    format!("---\napiVersion: dapr.io/v1alpha1\nkind: Method\nmetadata: {{name: {name}}}\nspec: {{jq: '{program}'}}\n")
}

fn with_methods(items: &[(&str, &str)], methods: &str) -> CheckResult {
    check_with("bindings.aws.kinesis", &[&[("streamName", "orders")], items].concat(), methods)
}

fn only_fault(result: &CheckResult) -> String {
    assert_eq!(result.faults.len(), 1, "{}", result.faults);
    result.faults.to_string()
}

fn spec(result: CheckResult) -> crate::bindings::kinesis::Spec {
    assert!(result.faults.is_empty() && result.notices.is_empty(), "{} {:?}", result.faults, result.notices);
    match result.components.into_iter().next().unwrap().spec {
        Spec::Kinesis(spec) => *spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_without_these_fields_shapes_nothing() {
    let plain = spec(kinesis(&[]));
    assert!(plain.shaping.is_none());
    assert_eq!((plain.output.partition_key, plain.output.explicit_hash_key), (KeySource::Random, HashKeySource::None));
}

#[test]
fn filters_and_transforms_are_read_in_all_their_forms() {
    for items in [
        [("filter", r#"{"data": {"type": ["order"]}}"#)].as_slice(),
        &[("filter", r#"[{"data": {"a": [1]}}, {"partitionKey": ["x"]}]"#), ("partitionKey", "x")],
        &[("filter", r#"{"FilterCriteria": {"Filters": [{"Pattern": "{\"data\": {\"a\": [1]}}"}]}}"#)],
        &[("filter", r#"{"sequenceNumber": [{"exists": true}]}"#), ("direction", "input")],
        &[("transform", ".order | {id}"), ("direction", "output")],
        &[("transform", "."), ("transformOnError", "drop-counted")],
        &[
            ("transform", "."),
            ("transformOnError", "dead-letter"),
            ("deadLetterFolder", "/x"),
            ("direction", "input"),
            ("maxAttempts", "3"),
        ],
    ] {
        assert!(spec(kinesis(items)).shaping.is_some(), "{items:?}");
    }
}

#[test]
fn faults_name_the_field_the_place_and_what_to_write() {
    for (items, parts) in [
        ([("transform", ".a\n| ..b")].as_slice(), ["field `transform`", "line 2, column"].as_slice()),
        (&[("transform", "nosuch(1)")], &["field `transform`", "line 1, column 1", "correct the jq program"]),
        (&[("transform", "def f: f; f")], &["field `transform`", "line 1"]),
        (&[("transform", "env.HOME")], &["field `transform`", "line 1, column 1"]),
        (&[("filter", "{")], &["field `filter`", "not valid JSON", "write a pattern such as"]),
        (&[("filter", r#"{"data": {"a": 1}}"#)], &["field `filter`", "`data.a`", "in brackets"]),
        (&[("filter", r#"{"key": [1]}"#)], &["field `filter`", "no field `key`", "`partitionKey`"]),
        (
            &[("filter", r#"{"sequenceNumber": ["1"]}"#)],
            &["field `filter`", "only records of the input", "direction: input"],
        ),
        (&[("transformOnError", "fail")], &["field `transformOnError`", "only on the errors", "add `transform`"]),
        (&[("transform", "."), ("transformOnError", "pass")], &["field `transformOnError`", "`pass` is not known"]),
        (
            &[("transform", "."), ("transformOnError", "dead-letter")],
            &["field `transformOnError`", "no target at the output"],
        ),
        (
            &[("transform", "."), ("transformOnError", "dead-letter"), ("direction", "input")],
            &["field `transformOnError`", "no target at the input", "`deadLetterFolder`"],
        ),
    ] {
        let fault = only_fault(&kinesis(items));
        assert!(parts.iter().all(|part| fault.contains(part)), "{items:?}: {fault}");
    }
}

#[test]
fn each_key_has_one_source() {
    for items in [
        [("partitionKeyExpression", ".id")].as_slice(),
        &[("partitionKey", r#"a-${! json("doc.id") }"#), ("explicitHashKey", r#"${! meta("h") }"#)],
        &[("partitionKey", "${! uuid_v4() }"), ("explicitHashKeyExpression", ".h")],
        &[("partitionKey", "{constant} $")],
    ] {
        let output = spec(kinesis(items)).output;
        assert!(output.partition_key != KeySource::Random, "{items:?}");
    }
    for (items, parts) in [
        ([("partitionKey", "x${! this.id }")].as_slice(), ["`partitionKey`", "column 2", "`partitionKeyExpression`"]),
        (
            &[("explicitHashKey", "${! counter() }")],
            ["`explicitHashKey`", "not supported", "`explicitHashKeyExpression`"],
        ),
        (&[("explicitHashKeyExpression", ".h |")], ["`explicitHashKeyExpression`", "line 1, column", "correct the jq"]),
        (
            &[("partitionKey", "a"), ("partitionKeyExpression", ".id")],
            ["field `partitionKeyExpression`", "`partitionKey` is given too", "leave one"],
        ),
        (
            &[("partitionKeyPath", "/id"), ("partitionKeyExpression", ".id")],
            ["field `partitionKeyExpression`", "`partitionKeyPath` is given too", "leave one"],
        ),
        (
            &[("recordDistribution", "auto"), ("explicitHashKeyExpression", ".h")],
            ["field `explicitHashKeyExpression`", "records have no keys", "leave it out"],
        ),
    ] {
        let fault = only_fault(&kinesis(items));
        assert!(parts.iter().all(|part| fault.contains(part)), "{items:?}: {fault}");
    }
}

#[test]
fn a_table_has_items_and_no_dead_letters() {
    let table =
        |items: &[(&str, &str)]| check_with("bindings.aws.dynamodb", &[&[("table", "orders")], items].concat(), "");
    let all = table(&[("filter", r#"{"data": {"a": [1]}}"#)]);
    let notices: String = all.notices.iter().map(|notice| format!("{notice}\n")).collect();
    assert!(all.faults.is_empty() && notices.contains("only `create` and `bulkCreate`"), "{} {notices}", all.faults);
    let named = table(&[("transform", ".a"), ("allowedOperations", "create, transact")]);
    assert!(named.faults.is_empty() && named.notices.is_empty(), "{:?}", named.notices);
    for (items, parts) in [
        ([("filter", r#"{"partitionKey": ["a"]}"#)].as_slice(), ["field `filter`", "inside `data`"]),
        (&[("transform", "."), ("transformOnError", "dead-letter")], ["`transformOnError`", "no dead letter target"]),
    ] {
        let fault = only_fault(&table(items));
        assert!(parts.iter().all(|part| fault.contains(part)), "{items:?}: {fault}");
    }
}

#[test]
fn a_method_is_the_transform_of_those_who_name_it() {
    for field in ["method", "dataProcessingMethodId", "dataprocessingmethodid"] {
        let result = with_methods(&[(field, "slim"), ("direction", "output")], &method("slim", "{id}"));
        assert!(spec(result).shaping.unwrap().has_transform(), "{field}");
    }
    for (items, methods, parts) in [
        (
            [("method", "slimm")].as_slice(),
            method("slim", "{id}"),
            ["field `method`", "no method", "did you mean `slim`?"],
        ),
        (&[("method", "slim")], String::new(), ["field `method`", "no method", "kind `Method`"]),
        (
            &[("method", "slim"), ("transform", ".")],
            method("slim", "."),
            ["field `method`", "one transform", "leave one"],
        ),
        (
            &[("method", "slim"), ("dataProcessingMethodId", "slim")],
            method("slim", "."),
            ["field `dataProcessingMethodId`", "means the same", "leave one"],
        ),
    ] {
        let fault = only_fault(&with_methods(items, &methods));
        assert!(parts.iter().all(|part| fault.contains(part)), "{items:?}: {fault}");
    }
}

#[test]
fn a_dead_letter_binding_that_may_leave_letters_out_gets_a_notice() {
    let target = "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: letters}\nspec:\n  \
                  type: bindings.aws.kinesis\n  metadata: [{name: streamName, value: letters}, {name: transform, value: .}, \
                  {name: direction, value: output}]\n";
    let result = with_methods(&[("deadLetterBinding", "letters"), ("direction", "output")], target);
    let notices: String = result.notices.iter().map(|notice| format!("{notice}\n")).collect();
    assert!(result.faults.is_empty() && notices.lines().count() == 1, "{} {notices}", result.faults);
    assert!(notices.contains("component `letters` has a `filter` or a `transform`"), "{notices}");
}

#[test]
fn a_wrong_method_is_a_fault_of_its_document_and_of_its_users() {
    let unused = only_fault(&with_methods(&[], &method("slim", ".a.")));
    assert!(unused.contains("document 2") && unused.contains("spec.jq") && unused.contains("line 1"), "{unused}");
    let result = with_methods(&[("method", "slim")], &method("slim", ".a."));
    let faults = result.faults.to_string();
    assert!(faults.lines().count() == 2 && faults.contains("the program of this method is wrong: line 1"), "{faults}");
    assert!(result.components.is_empty() && result.left_out.len() == 1);
}

fn notices(result: &CheckResult) -> String {
    assert!(result.faults.is_empty(), "{}", result.faults);
    result.notices.iter().map(|notice| format!("{notice}\n")).collect()
}

#[test]
fn a_filter_by_a_key_that_the_output_does_not_know_yet_gets_a_notice() {
    let filter = ("filter", r#"[{"data": {"a": [1]}}, {"$or": [{"partitionKey": ["x"]}, {"data": {"b": [1]}}]}]"#);
    for (key, part) in [
        (Some(("partitionKeyFrom", "/id")), "taken from the record after the filter"),
        (Some(("partitionKeyExpression", ".id")), "taken from the record after the filter"),
        (Some(("partitionKey", r#"${! json("id") }"#)), "taken from the record after the filter"),
        (Some(("recordDistribution", "auto")), "the records of this output have no keys"),
        (None, "a random key is made after the filter"),
    ] {
        for direction in [None, Some(("direction", "output"))] {
            let fields: Vec<_> = [Some(filter), key, direction].into_iter().flatten().collect();
            let shown = notices(&kinesis(&fields));
            assert!(shown.contains("field `filter`") && shown.contains(part), "{fields:?}: {shown}");
        }
        let fields: Vec<_> = [Some(filter), Some(("direction", "input"))].into_iter().flatten().collect();
        assert_eq!(notices(&kinesis(&fields)), "");
    }
    assert_eq!(notices(&kinesis(&[filter, ("partitionKey", "all")])), "");
    assert_eq!(notices(&kinesis(&[("filter", r#"{"data": {"partitionKey": ["x"]}}"#)])), "");
}

#[test]
fn a_transform_that_may_stop_a_key_of_the_input_gets_a_notice() {
    let stops = "stops the later records of its key";
    let direction = ("direction", "input");
    for fields in [
        [("transform", ".a")].as_slice(),
        &[("transform", ".a"), direction],
        &[("transform", ".a"), ("direction", "input, output")],
        &[("transform", ".a"), ("transformOnError", "fail"), direction],
        &[("transform", ".a"), ("maxAttempts", "3"), direction],
    ] {
        let shown = notices(&kinesis(fields));
        assert!(shown.contains("field `transform`") && shown.contains(stops), "{fields:?}: {shown}");
    }
    let by_method = notices(&with_methods(&[("method", "slim"), direction], &method("slim", ".a")));
    assert!(by_method.contains("field `method`") && by_method.contains(stops), "{by_method}");
    for fields in [
        [("transform", ".a"), ("direction", "output")].as_slice(),
        &[("transform", ".a"), direction, ("transformOnError", "drop-counted")],
        &[("transform", ".a"), direction, ("onPoison", "halt-key")],
        &[("transform", ".a"), direction, ("deadLetterFolder", "/x")],
    ] {
        assert_eq!(notices(&kinesis(fields)), "", "{fields:?}");
    }
}

#[test]
fn a_dead_letter_target_that_a_transform_never_uses_gets_a_notice() {
    let target = "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: letters}\nspec:\n  \
                  type: bindings.aws.kinesis\n  metadata: [{name: streamName, value: letters}, {name: direction, value: output}]\n";
    let common = [("transform", ".a"), ("direction", "input")];
    let binding = [("deadLetterBinding", "letters"), ("deadLetterFolder", "/x")];
    for word in ["passthrough", "drop-counted"] {
        for given in [&binding[..1], &binding[1..]] {
            let fields = [&common, &[("transformOnError", word)][..], given].concat();
            let shown = notices(&with_methods(&fields, target));
            let part = format!("field `{}`: it has an effect only with a retry policy", given[0].0);
            assert!(shown.contains(&part) && shown.contains("the transform gives no record up"), "{fields:?}: {shown}");
            let limited = [&fields, &[("maxAttempts", "3"), ("deadLetterFolder", "/x")][..]].concat();
            if given[0].0 == "deadLetterBinding" {
                assert_eq!(notices(&with_methods(&limited, target)), "", "{fields:?}");
            }
        }
        let fields = [&common, &[("transformOnError", word), ("onPoison", "halt-shard")][..]].concat();
        assert!(only_fault(&kinesis(&fields)).contains("no record is ever given up"), "{word}");
    }
}

#[test]
fn fields_without_a_value_and_templates_in_programs_get_a_notice() {
    let output = ("direction", "output");
    for (fields, parts) in [
        ([("filter", ""), output], ["field `filter`: it is empty", "no record is left out"]),
        ([("transform", ""), output], ["field `transform`: it is empty", "stay as they are"]),
        ([("method", ""), output], ["field `method`: it is empty", "stay as they are"]),
        ([("transform", ". + {id: \"{uuid}\"}"), output], ["field `transform`: `{uuid}`", "{uuid: .uuid}"]),
        (
            [("partitionKeyExpression", "\"{uuid}\""), output],
            ["field `partitionKeyExpression`: `{uuid}`", "every record"],
        ),
    ] {
        let shown = notices(&kinesis(&fields));
        assert!(shown.lines().count() == 1 && parts.iter().all(|part| shown.contains(part)), "{fields:?}: {shown}");
    }
    let fault = only_fault(&kinesis(&[("transform", ". as {uuid} | error"), output]));
    assert!(fault.contains("line 1, column") && fault.contains("{uuid: .uuid}"), "{fault}");
    let fault = only_fault(&kinesis(&[("filter", "[]"), output]));
    assert!(fault.contains("the list of patterns is empty"), "{fault}");
}
