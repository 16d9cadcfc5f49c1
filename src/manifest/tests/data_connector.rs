use super::*;
use crate::manifest::RawDocument;
use proptest::prelude::*;

const PASSWORD: &str = "pa55word-that-nobody-sees";

fn example() -> Value {
    json!({
        "type": "aws-kinesis", "id": "dc.kinesis.1", "credentials": {"user": "AKIDEXAMPLE", "password": PASSWORD},
        "region": "us-west-2", "stream": "test", "shards": 1, "maxRecordsPerShardPerSecond": 1000,
        "maxBytesPerShardPerSecond": 1_000_000, "dataProcessingMethodId": "rename", "disabled": false
    })
}

fn with(changes: &Value) -> Value {
    let mut object = example();
    for (name, value) in changes.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn without(mut object: Value, member: &str) -> Value {
    object.as_object_mut().unwrap().shift_remove(member);
    object
}

fn members(faults: &[ConnectorFault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.member.as_str()).collect()
}

#[test]
fn an_object_is_the_kinesis_output_of_its_id() {
    let document = component(&example()).unwrap();
    let expected = json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "dc.kinesis.1"},
        "spec": {"type": "bindings.aws.kinesis", "version": "v1", "metadata": [
            {"name": "direction", "value": "output"},
            {"name": "accessKey", "value": "AKIDEXAMPLE"},
            {"name": "secretKey", "value": PASSWORD},
            {"name": "region", "value": "us-west-2"},
            {"name": "streamName", "value": "test"},
            {"name": "shards", "value": "1"},
            {"name": "maxRecordsPerShardPerSecond", "value": "1000"},
            {"name": "maxBytesPerShardPerSecond", "value": "1000000"},
            {"name": "method", "value": "rename"},
        ]},
    });
    assert_eq!(document, expected);
    assert_eq!(object(&document).unwrap(), without(example(), "credentials"), "credentials are never returned");
    let disabled = component(&with(&json!({"disabled": true}))).unwrap();
    assert_eq!((&disabled["spec"]["disabled"], &object(&disabled).unwrap()["disabled"]), (&json!(true), &json!(true)));
}

#[test]
fn only_type_id_and_stream_are_required_and_null_is_absent() {
    let least = json!({"type": "aws-kinesis", "id": "a", "stream": "s"});
    let document = component(&least).unwrap();
    assert_eq!(document["spec"]["metadata"].as_array().unwrap().len(), 2);
    let nulls =
        json!({"credentials": null, "region": null, "shards": null, "disabled": null, "dataProcessingMethod": null});
    let mut all = least;
    all.as_object_mut().unwrap().extend(nulls.as_object().unwrap().clone());
    assert_eq!(component(&all).unwrap(), document);
    assert_eq!(members(&component(&json!({})).unwrap_err()), ["type", "id", "stream"]);
    for other in [json!(null), json!([]), json!("aws-kinesis"), json!(7)] {
        assert_eq!(members(&component(&other).unwrap_err()), [""], "{other}");
        assert!(!is_data_connector(&other) && object(&other).is_none());
    }
}

#[test]
fn every_fault_is_found_at_once() {
    let wrong = json!({
        "type": "aws-sqs", "id": "a/b", "credentials": {"user": 7, "password": "", "token": "x"}, "region": " ",
        "stream": ["s"], "shards": 0, "maxRecordsPerShardPerSecond": "1000", "maxBytesPerShardPerSecond": 1.5,
        "dataProcessingMethodId": {}, "dataProcessingMethod": "m", "disabled": "no", "shard": 1
    });
    let faults = component(&wrong).unwrap_err();
    let mut found = members(&faults);
    found.sort_unstable();
    let mut expected = vec![
        "type",
        "id",
        "credentials.user",
        "credentials.password",
        "credentials.token",
        "region",
        "stream",
        "shards",
        "maxRecordsPerShardPerSecond",
        "maxBytesPerShardPerSecond",
        METHOD[0],
        METHOD[1],
        "disabled",
        "shard",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let misspelt = faults.iter().find(|fault| fault.member == "shard").unwrap();
    assert_eq!(misspelt.remedy, "did you mean `shards`?");
    assert!(faults.iter().all(|fault| !fault.problem.is_empty() && !fault.remedy.is_empty()));
}

#[test]
fn ids_are_names_of_components() {
    for id in ["dc.kinesis.1", "orders", "ü", &"x".repeat(253)] {
        assert!(component(&with(&json!({"id": id}))).is_ok(), "{id}");
    }
    for id in ["", ".", "..", "a/b", "a%2Fb", "a\nb", &"x".repeat(254)] {
        assert_eq!(members(&component(&with(&json!({"id": id}))).unwrap_err()), ["id"], "{id}");
    }
}

#[test]
fn a_part_changes_only_what_it_has() {
    let current = component(&example()).unwrap();
    let part = json!({"shards": 2, "maxRecordsPerShardPerSecond": 500, "dataProcessingMethodId": null});
    let expected = json!({"spec": {"metadata": [
        {"name": "shards", "value": "2"},
        {"name": "maxRecordsPerShardPerSecond", "value": "500"},
        {"name": "method", "value": null},
    ]}});
    assert_eq!(patch(&part, "dc.kinesis.1", &current).unwrap(), expected);
    let switched =
        patch(&json!({"disabled": true, "id": "dc.kinesis.1", "type": "aws-kinesis"}), "dc.kinesis.1", &current);
    assert_eq!(switched.unwrap(), json!({"spec": {"metadata": []}, "disabled": true}));
    assert_eq!(patch(&json!({}), "a", &current).unwrap(), json!({"spec": {"metadata": []}}));
    let removed = patch(&json!({"credentials": null}), "dc.kinesis.1", &current).unwrap();
    assert_eq!(removed["spec"]["metadata"].as_array().unwrap().len(), 2);
    let renamed = patch(&json!({"id": "other", "shards": -1}), "dc.kinesis.1", &current).unwrap_err();
    assert_eq!(members(&renamed), ["shards", "id"]);
}

#[test]
fn a_part_uses_the_names_of_the_component() {
    let current =
        json!({"spec": {"metadata": [{"name": "AWSRegion", "value": "x"}, {"name": METHOD[0], "value": "m"}]}});
    let patch = patch(&json!({"region": "eu-west-1", "dataProcessingMethod": "n"}), "a", &current).unwrap();
    let names: Vec<_> = patch["spec"]["metadata"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["awsRegion", METHOD[0]]);
}

#[test]
fn only_outputs_of_kinesis_are_connectors() {
    let document = |kind: &str, direction: &str| {
        json!({"metadata": {"name": "a"}, "spec": {"type": kind, "metadata": [
            {"name": "Direction", "value": direction}, {"name": "streamName", "value": "s"},
            {"name": "region", "envRef": "REGION"}, {"name": "maxBytesPerShardPerSecond", "value": "1Mi"},
            {"name": "secretKey", "value": PASSWORD}]}})
    };
    let expected = json!({"type": "aws-kinesis", "id": "a", "stream": "s", "maxBytesPerShardPerSecond": 1 << 20, "disabled": false});
    assert_eq!(object(&document("Bindings.AWS.Kinesis", "output")), Some(expected));
    for (kind, direction) in
        [("bindings.aws.kinesis", "both"), ("bindings.aws.kinesis", ""), ("bindings.cron", "output")]
    {
        assert_eq!(object(&document(kind, direction)), None, "{kind} {direction}");
    }
}

#[test]
fn documents_are_recognised_by_their_type() {
    assert!(is_data_connector(&example()) && is_data_connector(&json!({"type": "AWS-Kinesis"})));
    for other in
        [json!({"type": "aws-kinesis", "kind": "x"}), json!({"type": "aws-kinesis", "apiVersion": null}), json!({})]
    {
        assert!(!is_data_connector(&other), "{other}");
    }
    for (field, member) in [("secretKey", "credentials.password"), ("streamName", "stream"), ("metadata.name", "id")] {
        assert_eq!(member_of(field), member);
    }
    assert_eq!(member_of("endpoint"), "endpoint");
}

#[test]
fn credentials_may_be_references() {
    let secret = json!({"user": {"envRef": "USER"}, "password": {"secretKeyRef": {"name": "aws", "key": "secret"}}});
    let document = component(&with(&json!({"credentials": secret}))).unwrap();
    let items = document["spec"]["metadata"].as_array().unwrap();
    assert_eq!(items[1], json!({"name": "accessKey", "envRef": "USER"}));
    assert_eq!(items[2], json!({"name": "secretKey", "secretKeyRef": {"name": "aws", "key": "secret"}}));
    for wrong in [json!({"value": "x"}), json!({"envRef": ""}), json!({"envRef": "A", "secretKeyRef": {}}), json!({})] {
        let credentials = json!({"credentials": {"user": wrong}});
        assert_eq!(members(&component(&with(&credentials)).unwrap_err()), ["credentials.user"]);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from(PASSWORD)),
    ];
    let name = prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        proptest::sample::select(
            &["user", "password", "envRef", "secretKeyRef", "spec", "metadata", "name", "value"][..]
        )
        .prop_map(str::to_owned),
        ".{0,80}",
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..12)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn anything_is_read_or_refused_with_faults_of_bounded_length(value in any_json(), current in any_json()) {
        let results = [component(&value), patch(&value, "a", &current)];
        drop(object(&value));
        for result in results {
            match result {
                Ok(document) => prop_assert!(document.get("spec").is_some()),
                Err(faults) => {
                    prop_assert!(!faults.is_empty() && faults.len() < 60);
                    for fault in faults {
                        prop_assert!(fault.member.len() + fault.problem.len() + fault.remedy.len() < 2_000);
                        prop_assert!(!fault.problem.contains(PASSWORD) && !fault.remedy.contains(PASSWORD));
                    }
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", end in 0..400_usize) {
        let mut cut = example().to_string();
        cut.truncate(end);
        for text in [text, cut] {
            let document = RawDocument::of_connector(&text);
            let is_whole = serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object());
            prop_assert!(is_whole || document.is_err());
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        id in "[a-z.0-9_-]{3,20}", stream in "[a-zA-Z0-9_.-]{1,128}", shards in 1..100_000_u64, bytes in 1..u64::MAX,
        disabled: bool, method in proptest::option::of("[a-z]{1,9}"),
    ) {
        let mut written = json!({"type": "aws-kinesis", "id": id, "stream": stream, "shards": shards,
            "maxBytesPerShardPerSecond": bytes});
        let members = written.as_object_mut().unwrap();
        members.extend(method.map(|method| (METHOD[0].to_owned(), method.into())));
        members.insert("disabled".to_owned(), disabled.into());
        let document = component(&written).unwrap();
        prop_assert_eq!(object(&document).unwrap(), written);
    }
}

/// Loads a folder with one file.
fn load_file(name: &str, text: &str) -> crate::manifest::Loaded {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let (paths, environment) = ([folder.path().to_owned()], crate::manifest::ProcessEnvironment);
    crate::manifest::load(&crate::manifest::LoadRequest {
        paths: &paths,
        app_id: Some("shop"),
        namespace: None,
        environment: &environment,
    })
}

#[test]
fn a_connector_loads_from_a_file_in_json_and_yaml() {
    let yaml = "# one connector and one component\ntype: aws-kinesis\nid: dc.kinesis.1\nstream: test\nshards: 2\n---\n\
                apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: orders\nspec:\n  \
                type: bindings.aws.kinesis\n  version: v1\n";
    for (name, text, count) in [("c.json", example().to_string(), 1), ("c.yaml", yaml.to_owned(), 2)] {
        let loaded = load_file(name, &text);
        assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        assert_eq!(loaded.documents.len(), count, "{name}");
        let document = &loaded.documents[0];
        assert_eq!((document.name.as_str(), document.component_type.as_str()), ("dc.kinesis.1", KINESIS));
        assert_eq!(crate::manifest::Reader::new(document).text("streamName").as_deref(), Some("test"));
    }
}

#[test]
fn a_wrong_connector_in_a_file_is_a_fault_of_the_file() {
    let loaded = load_file("c.yaml", "type: aws-kinesis\nid: dc.kinesis.1\nstream: test\nshards: many\n");
    let fault = loaded.faults.iter().next().unwrap();
    assert_eq!((fault.component.as_deref(), fault.field.as_deref()), (Some("dc.kinesis.1"), Some("shards")));
    assert!(load_file("c.json", r#"{"type": "aws-kinesis", "id": "#).faults.len() == 1, "text that cannot be parsed");
    let other = load_file("c.json", r#"{"type": "aws-sqs", "id": "a"}"#);
    assert!(other.faults.is_empty() && other.documents.is_empty(), "other objects are skipped, as in Dapr");
}
