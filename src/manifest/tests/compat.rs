//! Faulty files, read as bindd reads them and as daprd does.

use super::super::{Environment, FetchedSecrets, LoadRequest, Loaded, Reader, read};
use super::tests::{component, folder, names, notices};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use tempfile::TempDir;

struct Nothing;

impl Environment for Nothing {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// The result without and with `--dapr-compat`.
fn both(paths: &[PathBuf]) -> [Loaded; 2] {
    [false, true].map(|is_compat| {
        let request = LoadRequest { paths, app_id: Some("shop"), namespace: None, environment: &Nothing };
        read(&request).with_dapr_compat(is_compat).resolved(&FetchedSecrets::default())
    })
}

fn both_of(folder: &TempDir) -> [Loaded; 2] {
    both(&[folder.path().to_owned()])
}

fn item(lines: &str) -> String {
    component("orders", &format!("  metadata:\n  - name: region\n{lines}"))
}

#[test]
fn what_cannot_be_read_is_skipped_and_the_rest_is_loaded() {
    let parsing = "daprd load Component error when parsing manifests yaml resource in";
    let broken = component("broken", "  metadata: [}\n");
    let nameless = component("orders", "").replace("name: orders", "labels: {}");
    let scopes = component("scoped", "scopes: shop\n");
    let flag = component("flagged", "  ignoreErrors: perhaps\n");
    for (text, said) in [
        (broken.as_str(), parsing),
        (&nameless, parsing),
        (&scopes, "Failed to init component scoped (bindings.aws.kinesis/v1): field `scopes`"),
        (&flag, "Failed to init component flagged (bindings.aws.kinesis/v1): field `spec.ignoreErrors`"),
    ] {
        let folder = folder(&[("a.yaml", text), ("b.yaml", &component("good", ""))]);
        let [own, compat] = both_of(&folder);
        assert_eq!(own.faults.len(), 1, "{said}: {}", own.faults);
        assert!(compat.faults.is_empty(), "{said}: {}", compat.faults);
        let complete: Vec<_> = compat.documents.iter().filter(|document| document.is_complete()).collect();
        assert_eq!(complete.len(), 1, "{said}");
        assert_eq!(complete[0].name.as_str(), "good");
        let notices = notices(&compat);
        assert!(notices.contains(said) && notices.contains("skipped, as by daprd"), "{said}: {notices}");
    }
}

#[test]
fn a_file_that_is_skipped_does_not_remove_what_runs() {
    let folder = folder(&[("a.yaml", "kind: Component\nspec: {type: bindings.aws.kinesis}\nx: [}")]);
    let [_, compat] = both_of(&folder);
    assert!(compat.faults.is_empty() && compat.documents.is_empty());
    assert!(compat.not_loaded.iter().any(|one| one.file.ends_with("a.yaml")), "{:?}", compat.not_loaded);
}

#[test]
fn what_stops_daprd_stops_the_start_in_both() {
    let one = component("orders", "");
    let twice = folder(&[("a.yaml", &one), ("b.yaml", &one)]);
    for loaded in both_of(&twice) {
        let fault = loaded.faults.to_string();
        let expected = "duplicate definition of Component name orders (bindings.aws.kinesis/v1) with existing orders";
        assert!(loaded.faults.len() == 1 && fault.contains(expected), "{fault}");
    }
    for loaded in both(&[twice.path().join("none")]) {
        assert_eq!(loaded.faults.len(), 1, "a folder that does not exist: {}", loaded.faults);
    }
    let store = component("store", "").replace("bindings.aws.kinesis", "secretstores.local.file");
    let user = item("    secretKeyRef: {name: a, key: b}\nauth: {secretStore: store}\n");
    for loaded in both_of(&folder(&[("a.yaml", &store), ("b.yaml", &user)])) {
        assert!(loaded.faults.to_string().contains("secretsFile"), "a store that cannot be opened: {}", loaded.faults);
    }
}

#[test]
fn a_value_that_is_missing_is_empty() {
    let secrets = folder(&[("secrets.json", "{}")]);
    let file = secrets.path().join("secrets.json");
    let store = component("store", &format!("  metadata: [{{name: secretsFile, value: {:?}}}]\n", file))
        .replace("bindings.aws.kinesis", "secretstores.local.file");
    for (lines, said) in [
        ("    envRef: NOT_SET\n", "the environment variable `NOT_SET` is not set"),
        ("    envRef: DAPR_X\n", "Component orders references an env variable that isn't allowed: DAPR_X"),
        ("    secretKeyRef: {name: a}\n", "Component orders references a secret store that isn't loaded: "),
        (
            "    secretKeyRef: {name: a}\nauth: {secretStore: store}\n",
            "Error getting secret: the store has no secret `a`",
        ),
    ] {
        let [own, compat] = both_of(&folder(&[("a.yaml", &item(lines)), ("store.yaml", &store)]));
        assert_eq!(own.faults.len(), 1, "{said}: {}", own.faults);
        assert!(compat.faults.is_empty(), "{said}: {}", compat.faults);
        let orders = compat.documents.iter().find(|document| document.name.as_str() == "orders").unwrap();
        assert!(orders.is_complete() && Reader::new(orders).text("region").is_none(), "{said}");
        assert!(notices(&compat).contains(said), "{said}: {}", notices(&compat));
    }
}

#[test]
fn a_component_whose_store_is_not_loaded_does_not_run() {
    let text = item("    secretKeyRef: {name: a}\nauth: {secretStore: vault}\n");
    let [own, compat] = both_of(&folder(&[("a.yaml", &text)]));
    assert!(own.faults.to_string().contains("the secret store `vault` is not loaded"), "{}", own.faults);
    assert!(compat.faults.is_empty() && names(&compat) == ["orders"] && !compat.documents[0].is_complete());
    let said = "Component orders references a secret store that isn't loaded: vault";
    assert!(notices(&compat).contains(said), "{}", notices(&compat));
}

#[test]
fn of_an_item_that_is_given_twice_the_last_counts() {
    let [own, compat] = both_of(&folder(&[("a.yaml", &item("    value: one\n  - name: region\n    value: two\n"))]));
    assert!(own.faults.to_string().contains("field `region`: the item is given twice"), "{}", own.faults);
    assert!(compat.faults.is_empty(), "{}", compat.faults);
    let region = Reader::new(&compat.documents[0]).secret("region").unwrap();
    assert_eq!(region.expose_secret(), "two");
    // daprd cannot decide either if the case differs.
    let [own, compat] = both_of(&folder(&[("a.yaml", &item("    value: one\n  - name: Region\n    value: two\n"))]));
    assert_eq!((own.faults.len(), compat.faults.len()), (1, 0));
    assert!(!compat.documents[0].is_complete(), "it is skipped");
}

#[test]
fn any_other_word_than_a_boolean_is_false() {
    let read = |loaded: &Loaded| {
        let mut reader = Reader::new(&loaded.documents[0]);
        let flag = reader.boolean("region");
        let (faults, notices) = reader.finish();
        (flag, faults.len(), notices.len())
    };
    let [own, compat] = both_of(&folder(&[("a.yaml", &item("    value: perhaps\n"))]));
    assert_eq!((read(&own), read(&compat)), ((None, 1, 0), (Some(false), 0, 1)));
}
