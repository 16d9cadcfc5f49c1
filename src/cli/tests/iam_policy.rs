use super::*;
use crate::bindings::check;
use crate::manifest::{Environment, FetchedSecrets, LoadRequest, read};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

struct Empty;

impl Environment for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

fn policy_of(paths: &[PathBuf], region: Option<&str>) -> Value {
    let request = LoadRequest { paths, app_id: Some("shop"), namespace: None, environment: &Empty };
    let files = read(&request);
    let secrets = files.wanted(&FetchedSecrets::default());
    let result = check(files.offline());
    assert!(result.faults.is_empty(), "{}", result.faults);
    policy(&result.components, &secrets, PolicyScope { app_id: "shop", region })
}

fn policy_of_text(text: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    policy_of(&[folder.path().to_owned()], None)
}

fn component(name: &str, kind: &str, items: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: bindings.aws.{kind}\n  \
         version: v1\n  metadata: [{items}]\n---\n"
    )
}

#[test]
fn the_samples_have_this_policy() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("components");
    let policy = policy_of(&[samples], Some("eu-central-1"));
    let stream = "arn:aws:kinesis:eu-central-1:*:stream/orders";
    let leases = json!([
        "dynamodb:CreateTable",
        "dynamodb:DescribeTable",
        "dynamodb:Scan",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    ]);
    let allow = |sid: &str, actions: Value, resources: Value| json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources });
    let expected = json!({ "Version": "2012-10-17", "Statement": [
        allow(
            "OrdersFanoutRead",
            json!(["kinesis:ListShards", "kinesis:RegisterStreamConsumer", "kinesis:DescribeStreamSummary"]),
            json!([stream]),
        ),
        allow(
            "OrdersFanoutSubscribe",
            json!(["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"]),
            json!([format!("{stream}/consumer/orders-fanout:*"), stream]),
        ),
        allow("OrdersFanoutLeases", leases.clone(), json!(["arn:aws:dynamodb:eu-central-1:*:table/orders-fanout"])),
        allow("OrdersOutWrite", json!(["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:ListShards"]), json!([stream])),
        allow(
            "OrdersSharedRead",
            json!([
                "kinesis:ListShards",
                "kinesis:GetShardIterator",
                "kinesis:GetRecords",
                "kinesis:DescribeStreamSummary",
            ]),
            json!([stream]),
        ),
        allow("OrdersSharedLeases", leases, json!(["arn:aws:dynamodb:eu-central-1:*:table/orders-shared"])),
        allow(
            "OrdersTableItems",
            json!([
                "dynamodb:BatchGetItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:ConditionCheckItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            ]),
            json!([
                "arn:aws:dynamodb:eu-central-1:*:table/orders",
                "arn:aws:dynamodb:eu-central-1:*:table/orders/index/*",
            ]),
        ),
    ]});
    assert_eq!(policy, expected, "{policy:#}");
}

#[test]
fn arns_are_exact_and_partitions_follow_the_region() {
    let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders";
    let text = component(
        "one",
        "kinesis",
        &format!("{{name: streamName, value: \"{arn}\"}}, {{name: mode, value: extended}}"),
    ) + &component("two", "dynamodb", "{name: table, value: orders}, {name: region, value: us-gov-west-1}")
        + &component("three", "dynamodb", "{name: table, value: orders}");
    let shown = policy_of_text(&text).to_string();
    for part in [
        format!("[\"{arn}\"]"),
        format!("{arn}/consumer/shop-one:*"),
        "arn:aws-cn:dynamodb:cn-north-1:*:table/shop-one".to_owned(),
        "arn:aws-us-gov:dynamodb:us-gov-west-1:*:table/orders".to_owned(),
        "arn:aws:dynamodb:*:*:table/orders".to_owned(),
    ] {
        assert!(shown.contains(&part), "{part} is not in {shown}");
    }
    assert!(shown.contains("DescribeStreamSummary"), "every input checks which stream its leases belong to: {shown}");
}

#[test]
fn sids_are_words_and_unique() {
    let item = "{name: table, value: orders}";
    let text = component("a-b", "dynamodb", item) + &component("a.b", "dynamodb", item);
    let policy = policy_of_text(&text);
    let sids: Vec<&str> =
        policy["Statement"].as_array().unwrap().iter().map(|statement| statement["Sid"].as_str().unwrap()).collect();
    assert_eq!(sids, ["ABItems", "ABItems2"]);
}

#[test]
fn a_role_must_be_allowed_to_be_assumed() {
    let role = "arn:aws:iam::123456789012:role/writer";
    let items = format!("{{name: table, value: orders}}, {{name: assumeRoleArn, value: \"{role},{role}2\"}}");
    let policy = policy_of_text(&component("x", "dynamodb", &items));
    let statement = &policy["Statement"][1];
    assert_eq!((&statement["Action"], &statement["Resource"]), (&json!(["sts:AssumeRole"]), &json!([role])));
}

#[test]
fn every_operation_has_its_actions() {
    for operation in Operation::ALL {
        assert_eq!(actions_of(operation).is_empty(), operation == Operation::Exec, "{operation:?}");
    }
}

#[test]
fn only_outputs_that_use_the_shard_list_may_list_shards() {
    for (more, listed) in [
        ("", true),
        (", {name: rateLimitMode, value: \"off\"}", false),
        (", {name: rateLimitMode, value: \"off\"}, {name: aggregation, value: shard}", true),
        (", {name: rateLimitMode, value: \"off\"}, {name: aggregation, value: key}", false),
    ] {
        let items = format!("{{name: streamName, value: orders}}, {{name: direction, value: output}}{more}");
        let policy = policy_of_text(&component("out", "kinesis", &items));
        assert_eq!(policy.to_string().contains("kinesis:ListShards"), listed, "{more}: {policy:#}");
    }
}

#[test]
fn exec_is_allowed_the_actions_of_its_statements() {
    let actions = |statements: &[&str]| {
        let named: serde_json::Map<String, Value> =
            statements.iter().enumerate().map(|(place, text)| (place.to_string(), json!(text))).collect();
        let items = format!(
            "{{name: table, value: orders}}, {{name: allowedOperations, value: exec}}, {{name: statements, value: {}}}",
            Value::from(Value::from(named).to_string())
        );
        let policy = policy_of_text(&component("rows", "dynamodb", &items));
        (policy["Statement"][0]["Action"].clone(), policy["Statement"][0]["Resource"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(actions(&["SELECT * FROM orders"]), (json!(["dynamodb:PartiQLSelect"]), 2));
    let writes = actions(&["\n delete FROM orders WHERE id = ?", "Insert INTO orders VALUE ?", "DELETE FROM orders"]);
    assert_eq!(writes, (json!(["dynamodb:PartiQLDelete", "dynamodb:PartiQLInsert"]), 1));
    assert_eq!(
        actions(&["UPSERT INTO orders"]).0.as_array().unwrap().len(),
        4,
        "an unknown statement may need any action"
    );
    assert_eq!(actions(&[]), (Value::Null, 0), "nothing to execute needs nothing");
}

#[test]
fn an_input_may_do_only_what_its_fields_make_it_do() {
    let leases = LEASE_ACTIONS.to_vec();
    let base = ["kinesis:ListShards", "kinesis:DescribeStreamSummary"];
    let (polling, register) = (["kinesis:GetShardIterator", "kinesis:GetRecords"], ["kinesis:RegisterStreamConsumer"]);
    let subscribe = vec!["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
    let letters = "{name: deadLetterBinding, value: rows}, {name: maxAttempts, value: \"3\"}";
    let table =
        component("rows", "dynamodb", "{name: table, value: letters}, {name: allowedOperations, value: create}");
    for (fields, read, more) in [
        ("{name: mode, value: shared}, {name: pollInterval, value: 2s}", [&base[..], &polling].concat(), vec![]),
        ("{name: mode, value: extended}", [&base[..], &register].concat(), vec![&subscribe]),
        ("{name: mode, value: extended}, {name: createConsumer, value: \"false\"}", base.to_vec(), vec![&subscribe]),
        (
            "{name: mode, value: extended}, {name: fallback, value: shared}",
            [&base[..], &polling, &register].concat(),
            vec![&subscribe],
        ),
        (letters, [&base[..], &polling].concat(), vec![&vec!["dynamodb:PutItem"]]),
        // These need no AWS service.
        (
            "{name: deadLetterFolder, value: /x}, {name: permanentStatus, value: \"422\"}, {name: order, value: none}, \
             {name: bodyFormat, value: lambda}, {name: decompress, value: auto}, {name: onGap, value: halt}",
            [&base[..], &polling].concat(),
            vec![],
        ),
    ] {
        let items = format!("{{name: streamName, value: orders}}, {{name: direction, value: input}}, {fields}");
        let mut text = component("in", "kinesis", &items);
        if fields == letters {
            text += &table;
        }
        let policy = policy_of_text(&text);
        let allowed = |value: &Value| -> BTreeSet<String> {
            value.as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
        };
        let found: BTreeSet<BTreeSet<String>> =
            policy["Statement"].as_array().unwrap().iter().map(|statement| allowed(&statement["Action"])).collect();
        let expected: BTreeSet<BTreeSet<String>> =
            [&read, &leases].into_iter().chain(more).map(|actions| allowed(&json!(actions))).collect();
        assert_eq!(found, expected, "{fields}");
    }
}

#[test]
fn the_lease_table_has_the_name_that_the_input_uses() {
    for (fields, table) in [
        ("", "shop-in"),
        (", {name: consumerName, value: reader}", "reader"),
        (", {name: consumerName, value: reader}, {name: leaseTable, value: leases}", "leases"),
    ] {
        let items = format!("{{name: streamName, value: orders}}, {{name: direction, value: input}}{fields}");
        let policy = policy_of_text(&component("in", "kinesis", &items));
        assert_eq!(policy["Statement"][1]["Resource"], json!([format!("arn:aws:dynamodb:*:*:table/{table}")]));
    }
}

#[test]
fn secrets_of_aws_are_read_by_name_from_the_region_of_their_store() {
    let store = |name: &str, kind: &str, items: &str| {
        component(name, "x", items).replace("bindings.aws.x", &format!("secretstores.aws.{kind}"))
    };
    let with_secrets = |name: &str, store: &str, secrets: [&str; 2]| {
        let [first, second] = secrets;
        let items = format!(
            "{{name: table, value: rows}}, {{name: accessKey, secretKeyRef: {{name: {first:?}}}}}, \
             {{name: secretKey, secretKeyRef: {{name: {second:?}}}}}"
        );
        component(name, "dynamodb", &items).replace("---\n", &format!("auth: {{secretStore: {store}}}\n---\n"))
    };
    let region = "{name: region, value: eu-west-1}";
    let role = "{name: assumeRoleArn, value: 'arn:aws:iam::111122223333:role/reader'}";
    let text = [
        store("vault", "secretmanager", &format!("{region}, {role}")),
        store("parameters", "parameterstore", &format!("{region}, {{name: prefix, value: /shop}}")),
        store("unused", "secretmanager", region),
        with_secrets("one", "vault", ["id", "arn:aws:secretsmanager:eu-west-1:1:secret:key-AbCdEf"]),
        with_secrets("two", "vault", ["id", "id"]),
        with_secrets("three", "parameters", ["/id", "/key"]),
    ];
    let policy = policy_of_text(&text.concat());
    let of = |sid: &str| {
        let statements = policy["Statement"].as_array().unwrap();
        let found = statements.iter().find(|statement| statement["Sid"] == sid);
        found.map(|statement| (statement["Action"].clone(), statement["Resource"].clone()))
    };
    let vault = json!([
        "arn:aws:secretsmanager:eu-west-1:*:secret:id-??????",
        "arn:aws:secretsmanager:eu-west-1:1:secret:key-AbCdEf"
    ]);
    let parameters = json!(["arn:aws:ssm:eu-west-1:*:parameter/shop/id", "arn:aws:ssm:eu-west-1:*:parameter/shop/key"]);
    assert_eq!(of("VaultSecrets"), Some((json!(["secretsmanager:GetSecretValue"]), vault)));
    assert_eq!(of("ParametersSecrets"), Some((json!(["ssm:GetParameter"]), parameters)));
    assert_eq!(of("VaultAssumeRole").unwrap().1, json!(["arn:aws:iam::111122223333:role/reader"]));
    assert_eq!(of("UnusedSecrets"), None);
}
