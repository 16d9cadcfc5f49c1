use super::*;
use crate::bindings::secretstores::server::Server;
use crate::bindings::{CheckResult, check};
use crate::manifest::{Environment, load as load_offline};
use crate::manifest::{LoadRequest, read};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::task::LocalSet;

struct Variables;

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        (name == "STORE_KEY").then(|| "AKIAIOSFODNN7EXAMPLE".to_owned())
    }
}

fn store(name: &str, kind: &str, url: &str, fields: &str) -> String {
    format!(
        "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
         type: secretstores.{kind}\n  version: v1\n  initTimeout: 2s\n  metadata:\n  \
         - {{name: region, value: us-east-1}}\n  - {{name: endpoint, value: '{url}'}}\n{fields}\n"
    )
}

const KEYS: &str = "  - {name: accessKey, value: AKIAIOSFODNN7EXAMPLE}\n  - {name: secretKey, value: x}";

/// A table whose name is a secret.
fn table(store: &str, secret: &str, key: &str) -> String {
    format!(
        "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: rows}}\nspec:\n  \
         type: bindings.aws.dynamodb\n  version: v1\n  metadata:\n  \
         - {{name: table, secretKeyRef: {{name: {secret}, key: {key}}}}}\n  \
         - {{name: region, value: us-east-1}}\nauth: {{secretStore: {store}}}\n"
    )
}

fn files(text: &str) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let paths = vec![folder.path().to_owned()];
    (folder, paths)
}

async fn loaded(text: &str) -> CheckResult {
    let (_folder, paths) = files(text);
    let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &Variables };
    check(load(read(&request), StoreOptions::default()).await)
}

fn table_name(result: &CheckResult) -> &str {
    match &result.components.first().unwrap().spec {
        crate::bindings::Spec::DynamoDb(spec) => &spec.table,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_value_comes_from_secrets_manager_after_a_failed_attempt() {
    LocalSet::new()
        .run_until(async {
            let found = r#"{"Name": "db", "SecretString": "{\"table\": \"orders\"}"}"#;
            let (server, task) = Server::start(false, &[(500, "{}"), (200, found)]).await;
            let fields = format!("{KEYS}\n  - {{name: multipleKeyValuesPerSecret, value: 'true'}}");
            let text = table("aws", "db", "table") + &store("aws", "aws.secretmanager", &server.url, &fields);
            let result = loaded(&text).await;
            assert!(result.faults.is_empty() && result.notices.is_empty(), "{} {:?}", result.faults, result.notices);
            assert_eq!(table_name(&result), "orders");
            let requests = server.script.requests();
            assert_eq!(requests.len(), 2, "{requests:?}");
            assert!(
                requests[1].contains("secretsmanager.GetSecretValue") && requests[1].contains(r#""SecretId":"db""#)
            );
            task.abort();
        })
        .await;
}

#[tokio::test]
async fn a_store_whose_own_keys_are_secrets_of_another_store_is_read_in_a_later_round() {
    LocalSet::new()
        .run_until(async {
            let found = r#"{"Parameter": {"Name": "/shop/db", "Value": "orders"}}"#;
            let (server, task) = Server::start(false, &[(200, found)]).await;
            let keys = "  - {name: prefix, value: /shop/}\n  - {name: secretKey, value: x}\n  \
                        - {name: accessKey, secretKeyRef: {name: STORE_KEY, key: STORE_KEY}}\nauth: {secretStore: vars}";
            let vars = "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: vars}\nspec:\n  \
                        type: secretstores.local.env\n  version: v1\n";
            let parameters = store("aws", "aws.parameterstore", &server.url, keys);
            let result = loaded(&(table("aws", "db", "db") + &parameters + vars)).await;
            assert!(result.faults.is_empty(), "{}", result.faults);
            assert_eq!(table_name(&result), "orders");
            let requests = server.script.requests();
            assert!(requests[0].contains(r#""Name":"/shop/db""#) && requests[0].contains(r#""WithDecryption":true"#));
            task.abort();
        })
        .await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_a_fault_that_names_store_secret_and_key() {
    LocalSet::new()
        .run_until(async {
            let missing = r#"{"__type": "ResourceNotFoundException", "Message": "no"}"#;
            let found = r#"{"Name": "db", "SecretString": "s3cret"}"#;
            let (server, task) = Server::start(false, &[(400, missing), (200, found)]).await;
            let text = table("aws", "db", "other") + &store("aws", "aws.secretmanager", &server.url, KEYS);
            for parts in [["store `aws`", "add the secret"], ["has no key `other`", "secretKeyRef.key"]] {
                let faults = loaded(&text).await.faults.to_string();
                assert!(faults.contains("`db`") && parts.iter().all(|part| faults.contains(part)), "{faults}");
                assert!(!faults.contains("s3cret"), "{faults}");
            }
            task.abort();
        })
        .await;
}

#[tokio::test]
async fn stores_that_refer_to_each_other_are_a_fault() {
    let refers = |other: &str| {
        format!(
            "  - {{name: secretKey, value: x}}\n  - {{name: accessKey, secretKeyRef: {{name: k, key: k}}}}\nauth: {{secretStore: {other}}}"
        )
    };
    let text = table("one", "db", "db")
        + &store("one", "aws.secretmanager", "http://127.0.0.1:1", &refers("two"))
        + &store("two", "aws.secretmanager", "http://127.0.0.1:1", &refers("one"));
    let faults = loaded(&text).await.faults.to_string();
    assert!(faults.contains("must not refer to secrets of each other"), "{faults}");
}

#[test]
fn without_network_calls_the_value_is_not_checked_which_a_notice_says() {
    let text = table("aws", "db", "db") + &store("aws", "aws.secretmanager", "http://127.0.0.1:1", KEYS);
    let (_folder, paths) = files(&text);
    let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &Variables };
    let result = check(load_offline(&request));
    assert!(result.faults.is_empty() && result.components.len() == 1, "{}", result.faults);
    let notices: Vec<_> = result.notices.iter().map(ToString::to_string).collect();
    assert!(notices.len() == 1 && notices[0].contains("field `table`"), "{notices:?}");
}

#[tokio::test]
async fn a_store_that_no_component_needs_is_not_opened() {
    let result = loaded(&store("aws", "aws.secretmanager", "http://127.0.0.1:1", "")).await;
    assert!(result.faults.is_empty() && result.notices.len() == 1, "{} {:?}", result.faults, result.notices);
}

#[tokio::test]
async fn outside_of_a_pod_the_store_of_kubernetes_says_so() {
    let kubernetes = "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: k8s}\nspec:\n  \
                      type: secretstores.kubernetes\n  version: v1\n";
    let faults = loaded(&(table("k8s", "db", "db") + kubernetes)).await.faults.to_string();
    assert!(faults.contains("not a pod"), "{faults}");
    let (_folder, paths) = files(&table("", "db", "db"));
    let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &Variables };
    let builtin = StoreOptions { builtin_kubernetes: true, ..StoreOptions::default() };
    let faults = check(load(read(&request), builtin).await).faults.to_string();
    assert!(faults.contains("store `kubernetes`") && faults.contains("not a pod"), "{faults}");
}
