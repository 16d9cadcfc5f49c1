//! §1.10 and §3.1 to §3.5: what component files mean, without and with `--dapr-compat`.

use super::{environment, exchange, request};
use crate::environment::{Environment, Sidecar};
use bindd::daemon::StartError;

/// A component that nothing is wrong with.
const ROWS: &str = "metadata: {name: rows}\nspec: {type: bindings.aws.dynamodb, version: v1, metadata: [{name: table, value: \
                    rows}, {name: region, value: us-east-1}, {name: accessKey, value: a}, {name: secretKey, value: s}]}\n";

fn document(text: &str) -> String {
    format!("apiVersion: dapr.io/v1alpha1\nkind: Component\n{text}")
}

/// How a sidecar without and one with `--dapr-compat` start: the names of their components, or the fault.
async fn starts(files: &[(&str, &str)]) -> [Result<Vec<String>, String>; 2] {
    let mut results = [Ok(Vec::new()), Ok(Vec::new())];
    for (result, is_compat) in results.iter_mut().zip([false, true]) {
        let env = Environment::start().await;
        for (name, text) in files {
            env.file(name, text);
        }
        let mut settings = env.settings(None);
        settings.dapr_compat = is_compat;
        *result = match Sidecar::start(&settings).await {
            Ok(sidecar) => {
                let page = exchange(sidecar.address(), &request("GET /v1.0/metadata", "", "")).await.json();
                sidecar.stop().await;
                let components = page["components"].as_array().cloned().unwrap_or_default();
                Ok(components.iter().map(|component| component["name"].as_str().unwrap().to_owned()).collect())
            }
            Err(StartError::Files(faults)) => Err(faults.to_string()),
            Err(error) => panic!("{error}"),
        };
    }
    results
}

/// The sidecar of bindd does not start, that of daprd starts with `rows` alone.
#[tokio::test]
async fn faulty_files_are_skipped_only_with_the_switch() {
    let rows = document(ROWS);
    let other = |text: &str| document(&format!("metadata: {{name: other}}\n{text}"));
    let item = |item: &str| format!("spec: {{type: bindings.aws.dynamodb, metadata: [{{name: table, {item}}}]}}\n");
    for (says, text, fault) in [
        ("3.1 a document that cannot be parsed", document("spec: {type: bindings.aws.kinesis\n\tx: ["), "a.yaml"),
        (
            "3.1 a name that is no path segment",
            document("metadata: {name: a/b}\nspec: {type: bindings.aws.dynamodb}\n"),
            "a/b",
        ),
        (
            "3.3 a field that is wrong",
            other("spec: {type: bindings.aws.kinesis, metadata: [{name: mode, value: x}]}\n"),
            "mode",
        ),
        ("3.3 a version that does not exist", other("spec: {type: bindings.aws.dynamodb, version: v9}\n"), "v9"),
        ("3.5 a variable that is not set", other(&item("envRef: NOT_SET_ANYWHERE")), "NOT_SET_ANYWHERE"),
        ("3.5 a variable that is refused", other(&item("envRef: DAPR_API_TOKEN")), "DAPR_"),
        (
            "3.5 a store that is not loaded",
            other(&format!("{}auth: {{secretStore: vault}}\n", item("secretKeyRef: {name: a}"))),
            "vault",
        ),
    ] {
        let [own, compat] = starts(&[("a.yaml", &text), ("rows.yaml", &rows)]).await;
        let own = own.unwrap_err();
        assert!(own.contains(fault), "{says}: {own}");
        assert_eq!(compat, Ok(vec!["rows".to_owned()]), "{says}");
    }
}

#[tokio::test]
async fn what_is_the_same_with_and_without_the_switch() {
    let rows = document(ROWS);
    let more = |text: &str| rows.replace("kind: Component\n", &format!("kind: Component\n{text}"));
    let named = |name: &str| rows.replace("name: rows", &format!("name: {name}"));
    let both = |first: &str, second: &str| format!("{first}---\n{second}");
    let store = "metadata: {name: store}\nspec: {type: secretstores.local.env}\n";
    let path = rows.replace("value: s}", "secretKeyRef: {name: PATH}}");
    let secret = format!("{path}auth: {{secretStore: store}}\n");
    for (says, text, names) in [
        ("3.1 several documents in one file, in their order", both(&rows, &named("more")), vec!["rows", "more"]),
        ("3.1 another kind", both("apiVersion: v1\nkind: ConfigMap\n", &rows), vec!["rows"]),
        ("3.1 a name that is a number", named("7"), vec!["7"]),
        ("3.2 scopes without this app", more("scopes: [other]\n"), vec![]),
        ("3.2 scopes with this app", more("scopes: [other, shop]\n"), vec!["rows"]),
        (
            "3.2 a namespace, where NAMESPACE is not set",
            rows.replace("name: rows}", "name: rows, namespace: x}"),
            vec!["rows"],
        ),
        ("3.3 a type in another case", rows.replace("bindings.aws", "Bindings.AWS"), vec!["rows"]),
        ("3.3 no version", rows.replace("version: v1, ", ""), vec!["rows"]),
        (
            "3.3 another building block",
            both(&rows.replace("bindings.aws.dynamodb", "state.redis"), &named("a")),
            vec!["a"],
        ),
        ("3.4 unknown items", rows.replace("name: table,", "name: unknown, value: x}, {name: table,"), vec!["rows"]),
        ("3.4 names of items in another case", rows.replace("name: table", "name: TABLE"), vec!["rows"]),
        (
            "3.5 a value beside a reference with an empty name",
            rows.replace("value: rows", "value: rows, secretKeyRef: {name: '', key: ''}"),
            vec!["rows"],
        ),
        ("3.5 a secret whose key is its name", both(&document(store), &secret), vec!["rows"]),
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let [own, compat] = starts(&[("a.yaml", &text)]).await;
        assert_eq!(own.as_ref(), Ok(&names), "{says}");
        assert_eq!(compat.as_ref(), Ok(&names), "{says}");
    }
    let [own, compat] = starts(&[("a.yaml", &rows), ("b.YML", &named("b")), ("c.txt", &named("c"))]).await;
    assert_eq!(
        (own, compat),
        (Ok(vec!["rows".to_owned(), "b".to_owned()]), Ok(vec!["rows".to_owned(), "b".to_owned()]))
    );
    for result in starts(&[("a.yaml", &rows), ("b.yaml", &rows)]).await {
        let expected = "duplicate definition of Component name rows (bindings.aws.dynamodb/v1) with existing rows";
        assert!(result.unwrap_err().contains(expected), "3.2 a name that is taken stops the start");
    }
}

#[tokio::test]
async fn outputs_offer_no_more_than_those_of_daprd() {
    let env = environment().await;
    env.kinesis_component("keyed", &[("streamName", "orders"), ("direction", "output"), ("partitionKey", "all")]);
    let texts = [
        ("people", "get", "create get update delete query bulkCreate bulkGet bulkDelete transact transactGet"),
        ("orders", "bulkCreate", ""),
    ];
    for is_compat in [false, true] {
        let mut settings = env.settings(None);
        settings.dapr_compat = is_compat;
        let sidecar = Sidecar::start(&settings).await.unwrap();
        for (name, operation, _) in texts {
            let known = if is_compat { "create" } else { texts[0].2 };
            let response = sidecar.invoke(name, &format!(r#"{{"operation":"{operation}"}}"#)).await;
            let refused = format!("supported operations:{known}");
            let is_refused = response.text().contains(&format!("{name} does not support operation {operation}. "));
            assert_eq!(is_refused, is_compat, "1.10 {name} {operation}: {}", response.text());
            assert_eq!(response.text().contains(&refused), is_compat, "1.5 the texts name them: {}", response.text());
        }
        let stored = sidecar.invoke("keyed", r#"{"operation":"create","data":1}"#).await;
        assert_eq!(stored.status, 204, "1.10 create: {}", stored.text());
        let key = env.records("orders").await.pop().unwrap().partition_key.unwrap();
        assert_eq!(key == "all", !is_compat, "1.10 the component's partitionKey is {key}");
        let given = r#"{"operation":"create","data":2,"metadata":{"partitionKey":"one"}}"#;
        assert_eq!(sidecar.invoke("keyed", given).await.status, 204);
        let key = env.records("orders").await.pop().unwrap().partition_key.unwrap();
        assert_eq!(key, "one", "1.10 that of the request counts in both");
        sidecar.stop().await;
    }
}
