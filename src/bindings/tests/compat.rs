//! Components as bindd checks them and as `--dapr-compat` does.

use super::super::kinesis::KeySource;
use super::tests::{Empty, component};
use super::{CheckResult, Spec, check};
use crate::manifest::{FetchedSecrets, LoadRequest, read};

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

/// The result without and with `--dapr-compat`.
fn both(text: &str) -> [CheckResult; 2] {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    [false, true].map(|is_compat| {
        let request = LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Empty };
        check(read(&request).with_dapr_compat(is_compat).resolved(&FetchedSecrets::default()))
    })
}

fn kinesis(items: &[(&str, &str)]) -> [CheckResult; 2] {
    let items = [&[("streamName", "orders"), ("region", "eu-central-1")], items].concat();
    both(&component("orders", "bindings.aws.kinesis", &items))
}

fn dynamodb(items: &[(&str, &str)]) -> [CheckResult; 2] {
    both(&component("people", "bindings.aws.dynamodb", &[&[("table", "people")], items].concat()))
}

fn only(result: &CheckResult) -> &Spec {
    assert!(result.faults.is_empty(), "{}", result.faults);
    &result.components[0].spec
}

fn notices(result: &CheckResult) -> String {
    result.notices.iter().map(|notice| format!("{notice}\n")).collect()
}

#[test]
fn a_faulty_component_is_skipped_and_the_rest_runs() {
    let bad = component("bad", "bindings.aws.kinesis", &[("streamName", "orders"), ("mode", "sharred")]);
    let good = component("good", "bindings.aws.dynamodb", &[("table", "people")]);
    let [own, compat] = both(&format!("{bad}{good}"));
    assert_eq!((own.faults.len(), own.components.len()), (1, 1));
    assert!(compat.faults.is_empty(), "{}", compat.faults);
    assert_eq!((compat.components[0].name.as_str(), compat.left_out[0].as_str()), ("good", "bad"));
    let said = "Failed to init component bad (bindings.aws.kinesis/v1): field `mode`: `sharred` is not known";
    assert!(notices(&compat).contains(said), "{}", notices(&compat));
}

#[test]
fn a_faulty_secret_store_stops_the_start_in_both() {
    let store = component("store", "secretstores.aws.secretmanager", &[("maxConnections", "many")]);
    let user = "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: rows}\nspec:\n  \
                type: bindings.aws.dynamodb\n  metadata: [{name: table, value: people}, {name: accessKey, secretKeyRef: \
                {name: a}}]\nauth: {secretStore: store}\n";
    for result in both(&format!("{store}{user}")) {
        let faults = result.faults.to_string();
        assert!(faults.contains("component `store`: field `maxConnections`"), "{faults}");
    }
}

/// In both: a value that came through a reference may be a secret.
#[test]
fn the_value_of_a_reference_is_in_no_message_about_its_region() {
    struct Secret;
    impl crate::manifest::Environment for Secret {
        fn get(&self, name: &str) -> Option<String> {
            (name == "ANY").then(|| "s3cret value".to_owned())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let text = component("people", "bindings.aws.dynamodb", &[("table", "people")])
        .replace("metadata: [", "metadata: [{name: region, envRef: ANY}, ");
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &Secret };
    let result = check(read(&request).resolved(&FetchedSecrets::default()));
    let faults = result.faults.to_string();
    assert!(
        faults.contains("field `region`: the value: this is not the code") && !faults.contains("s3cret"),
        "{faults}"
    );
}

#[test]
fn the_partition_key_of_a_component_is_ignored() {
    let [own, compat] = kinesis(&[("partitionKey", "all")]);
    let key = |result: &CheckResult| match only(result) {
        Spec::Kinesis(spec) => spec.output.partition_key.clone(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(key(&own), KeySource::Constant(_)) && notices(&own).is_empty());
    assert_eq!(key(&compat), KeySource::Random);
    assert!(notices(&compat).contains("field `partitionKey`: it has no effect, as in daprd"), "{}", notices(&compat));
}

#[test]
fn only_create_is_offered_unless_the_file_says_otherwise() {
    let allowed = |result: &CheckResult| match only(result) {
        Spec::DynamoDb(spec) => spec.options.allowed.len(),
        other => panic!("{other:?}"),
    };
    let [own, compat] = dynamodb(&[]);
    assert_eq!((allowed(&own), allowed(&compat)), (10, 1));
    for result in dynamodb(&[("allowedOperations", "create,get,list")]) {
        assert_eq!(allowed(&result), 3, "the file decides");
    }
    let [own, compat] = kinesis(&[]).map(|result| match only(&result) {
        Spec::Kinesis(spec) => spec.output.only_create,
        other => panic!("{other:?}"),
    });
    assert_eq!((own, compat), (false, true));
}

#[test]
fn credentials_that_daprd_ignores_are_ignored() {
    let read = |result: &CheckResult| match only(result) {
        Spec::DynamoDb(spec) => (spec.connection.credentials.is_some(), spec.connection.identity.roles.len()),
        other => panic!("{other:?}"),
    };
    let [own, compat] = dynamodb(&[("assumeRoleArn", ROLE)]);
    assert_eq!((read(&own), read(&compat)), ((false, 1), (false, 0)));
    assert!(notices(&compat).contains("field `assumeRoleArn`: it has no effect, as in daprd"), "{}", notices(&compat));
    let anchor = ("trustAnchorArn", "arn:aws:rolesanywhere:eu-central-1:123456789012:trust-anchor/a");
    for items in [vec![("accessKey", "a")], vec![("secretKey", "s")], vec![anchor]] {
        let [own, compat] = dynamodb(&items);
        assert_eq!((own.faults.len(), read(&compat)), (1, (false, 0)), "{items:?}: {}", own.faults);
    }
    let profile = ("trustProfileArn", "arn:aws:rolesanywhere:eu-central-1:123456789012:profile/a");
    let [own, compat] = dynamodb(&[anchor, profile, ("assumeRoleArn", ROLE)]);
    assert!(!own.faults.is_empty() && compat.components.is_empty(), "all three are not served in either");
}
