//! Folders on disk, as an operator would write them.

use super::super::{Environment, LoadRequest, Loaded, load};
use crate::manifest::Reader;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

#[derive(Default)]
struct Variables(HashMap<&'static str, &'static str>);

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }
}

pub(super) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(super) fn load_with(folder: &TempDir, variables: &[(&'static str, &'static str)]) -> Loaded {
    let environment = Variables(variables.iter().copied().collect());
    let paths = [folder.path().to_owned()];
    load(&LoadRequest {
        paths: &paths,
        app_id: Some("shop"),
        namespace: environment.0.get("NAMESPACE").copied(),
        environment: &environment,
    })
}

pub(super) fn load_paths(paths: &[PathBuf]) -> Loaded {
    load(&LoadRequest { paths, app_id: Some("shop"), namespace: None, environment: &Variables::default() })
}

pub(super) fn component(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  type: bindings.aws.kinesis\n  version: v1\n{rest}"
    )
}

pub(super) fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.documents.iter().map(|document| document.name.as_str()).collect()
}

pub(super) fn only_fault(loaded: &Loaded) -> String {
    assert_eq!(loaded.faults.len(), 1, "{}", loaded.faults);
    loaded.faults.to_string()
}

pub(super) fn notices(loaded: &Loaded) -> String {
    loaded.notices.iter().map(|notice| format!("{notice}\n")).collect()
}

#[test]
fn files_come_in_order_of_their_names_and_documents_in_order_of_writing() {
    let two = format!("{}---\n{}", component("b1", ""), component("b2", ""));
    let json = r#"{"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{"name":"a"},"spec":{"type":"bindings.aws.dynamodb"}}"#;
    let folder = folder(&[("2.YML", &component("c", "")), ("1.yaml", &two), ("0.json", json)]);
    std::fs::create_dir(folder.path().join("below")).unwrap();
    std::fs::write(folder.path().join("below/x.yaml"), component("below", "")).unwrap();
    let loaded = load_with(&folder, &[]);
    assert_eq!(names(&loaded), ["a", "b1", "b2", "c"]);
    assert!(loaded.faults.is_empty() && loaded.notices.is_empty(), "{loaded:?}");
    assert_eq!(loaded.documents[2].place.document, 2);
}

#[test]
fn hidden_files_other_files_and_other_kinds_give_notices() {
    let other = "apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata: {name: r}\n";
    let folder =
        folder(&[(".h.yaml", "{{{"), ("readme.md", "x"), ("r.yaml", other), ("e.yaml", "# none\n"), ("n.yaml", "~\n")]);
    let loaded = load_with(&folder, &[]);
    assert!(loaded.faults.is_empty() && loaded.documents.is_empty());
    let notices = notices(&loaded);
    assert_eq!(loaded.notices.len(), 5, "{notices}");
    for part in [
        ".h.yaml: not loaded: the file is hidden",
        "readme.md: not loaded",
        "`kind` is `Subscription`",
        "e.yaml: the file is empty",
        "the document is empty",
    ] {
        assert!(notices.contains(part), "{part}: {notices}");
    }
}

#[test]
fn paths_without_a_component_file_are_faults() {
    let folder = folder(&[("a.txt", "")]);
    let loaded = load_paths(&["nowhere", "a.txt", "a.txt/b.yaml"].map(|name| folder.path().join(name)));
    let shown = loaded.faults.to_string();
    for part in
        ["does not exist; create it", "a.txt: the name ends neither in", "a.txt/b.yaml: the file cannot be opened"]
    {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert_eq!((loaded.faults.len(), loaded.notices.len()), (3, 0), "{shown}");
}

#[test]
fn a_path_to_a_file_loads_only_that_file() {
    let folder = folder(&[("a.yaml", &component("a", "")), (".b.yml", &component("b", "")), ("c.yaml", "a: [")]);
    let loaded = load_paths(&["a.yaml", ".b.yml"].map(|name| folder.path().join(name)));
    assert_eq!(names(&loaded), ["a", "b"]);
    assert!(loaded.faults.is_empty() && loaded.notices.is_empty(), "{loaded:?}");
}

#[test]
fn duplicate_names_are_a_fault_that_names_the_first_document() {
    let folder = folder(&[("a.yaml", &component("x", "")), ("b.yaml", &component("x", ""))]);
    let loaded = load_with(&folder, &[]);
    assert_eq!(names(&loaded), ["x"]);
    let shown = only_fault(&loaded);
    assert!(
        shown.contains("component `x`: field `metadata.name`: duplicate definition of Component name x (bindings.aws."),
        "{shown}"
    );
    assert!(shown.contains("a.yaml, document 1; rename"), "{shown}");
}

#[test]
fn namespaces_and_scopes_choose_the_documents() {
    let here = component("here", "scopes: [shop, till]\n");
    let there = component("there", "scopes: [till]\n");
    let elsewhere = component("elsewhere", "").replace("  name:", "  namespace: test\n  name:");
    let folder = folder(&[("a.yaml", &here), ("b.yaml", &there), ("c.yaml", &elsewhere)]);
    assert_eq!(names(&load_with(&folder, &[])), ["here", "elsewhere"]);
    let loaded = load_with(&folder, &[("NAMESPACE", "prod")]);
    assert_eq!(names(&loaded), ["here"]);
    assert_eq!(loaded.notices.len(), 2);
}

#[test]
fn unusual_names_and_timeouts_are_read_as_in_dapr() {
    let text = component("7", "  ignoreErrors: true\n  initTimeout: 1m30s\n");
    let folder = folder(&[("a.yaml", &text), ("b.yaml", &component("b", "  initTimeout: soon\n  metdata: []\n"))]);
    let loaded = load_with(&folder, &[]);
    assert_eq!(names(&loaded), ["7", "b"]);
    assert!(loaded.documents[0].ignore_errors);
    assert_eq!(loaded.documents[0].init_timeout, Duration::from_secs(90));
    assert_eq!(loaded.documents[1].init_timeout, Duration::from_secs(5));
    let notices = notices(&loaded);
    assert!(
        notices.contains("did you mean `spec.metadata`?") && notices.contains("`spec.initTimeout` is `soon`"),
        "{notices}"
    );
}

#[test]
fn values_become_text() {
    let items = "  metadata:\n  - {name: A, value: x}\n  - {name: b, value: 5}\n  - {name: c, value: true}\n  \
                 - {name: d, value: {k: [1, z]}}\n  - {name: e, value: 'to-{appID}-{namespace}'}\n  - {name: f}\n";
    let loaded = load_with(&folder(&[("a.yaml", &component("x", items))]), &[]);
    let mut reader = Reader::new(&loaded.documents[0]);
    assert_eq!(reader.text("a").unwrap(), "x");
    assert_eq!(reader.text("B").unwrap(), "5");
    assert_eq!(reader.boolean("c"), Some(true));
    assert_eq!(reader.text("d").unwrap(), r#"{"k":[1,"z"]}"#);
    assert_eq!(reader.text("e").unwrap(), "to-shop-default.shop");
    assert_eq!(reader.text("f"), None);
    let (faults, notices) = reader.finish();
    assert!(faults.is_empty() && notices.is_empty());
}

#[test]
fn items_that_differ_only_in_case_are_a_fault() {
    let items = "  metadata:\n  - {name: region, value: x}\n  - {name: Region, value: y}\n";
    let loaded = load_with(&folder(&[("a.yaml", &component("x", items))]), &[]);
    assert!(only_fault(&loaded).contains("also given as `region`"));
    assert!(!loaded.documents[0].is_complete());
}

#[test]
fn environment_references_are_resolved_or_are_faults() {
    let items = "  metadata:\n  - {name: a, envRef: KEY}\n  - {name: b, envRef: GONE}\n  - {name: c, envRef: DAPR_X}\n  \
                 - {name: d, value: '{podName}'}\n";
    let folder = folder(&[("a.yaml", &component("x", items))]);
    let shown = load_with(&folder, &[("KEY", "k"), ("DAPR_X", "no")]).faults.to_string();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(
        shown.contains("`GONE` is not set; set it") && shown.contains("DAPR_") && shown.contains("POD_NAME"),
        "{shown}"
    );
    let forgiving = component("x", items).replace("  version", "  ignoreErrors: true\n  version");
    std::fs::write(folder.path().join("a.yaml"), forgiving).unwrap();
    let loaded = load_with(&folder, &[("KEY", "k")]);
    assert!(loaded.faults.is_empty() && !loaded.documents[0].is_complete());
    assert!(notices(&loaded).contains("left out, as `ignoreErrors` is set"));
}

#[test]
fn references_without_a_name_are_ignored() {
    let items = "  metadata:\n  - {name: a, value: x, secretKeyRef: {name: '', key: ''}}\n  \
                 - {name: b, value: y, secretKeyRef: {name: '', key: k}, envRef: ''}\n  - {name: c, value: '', envRef: KEY}\n  \
                 - {name: d, value: null, envRef: KEY, secretKeyRef: {name: '', key: ''}}\n  - {name: e, envRef: ''}\n";
    let folder = folder(&[("a.yaml", &component("x", items))]);
    let loaded = load_with(&folder, &[("KEY", "k")]);
    assert!(loaded.faults.is_empty() && loaded.notices.is_empty(), "{loaded:?}");
    let mut reader = Reader::new(&loaded.documents[0]);
    let values = ["a", "b", "c", "d"].map(|name| reader.text(name).unwrap());
    assert_eq!((values, reader.text("e")), (["x", "y", "k", "k"].map(str::to_owned), None));
    let nameless = component("x", "  metadata: [{name: secretKey, secretKeyRef: {name: '', key: k}}]\n");
    std::fs::write(folder.path().join("a.yaml"), nameless).unwrap();
    assert!(only_fault(&load_with(&folder, &[])).contains("has a `key`, but no `name`"));
}

#[test]
fn ignore_errors_takes_the_words_of_yaml_1_1() {
    for (word, flag) in [
        ("true", true),
        ("yes", true),
        ("On", true),
        ("'true'", true),
        ("Y", true),
        ("no", false),
        ("OFF", false),
        ("\"false\"", false),
        ("~", false),
        ("False", false),
    ] {
        let text = component("x", &format!("  ignoreErrors: {word}\n"));
        let loaded = load_with(&folder(&[("a.yaml", &text)]), &[]);
        assert!(loaded.faults.is_empty() && loaded.documents[0].ignore_errors == flag, "{word}: {}", loaded.faults);
    }
    for word in ["maybe", "''", "[]", "2"] {
        let text = component("x", &format!("  ignoreErrors: {word}\n"));
        assert!(only_fault(&load_with(&folder(&[("a.yaml", &text)]), &[])).contains("spec.ignoreErrors"), "{word}");
    }
}

/// An environment in which every variable but `PLAIN` holds bytes that are not UTF-8.
struct Bytes;

impl Environment for Bytes {
    fn get(&self, name: &str) -> Option<String> {
        (name == "PLAIN").then(|| "plain".to_owned())
    }

    fn is_not_text(&self, name: &str) -> bool {
        name != "PLAIN"
    }
}

#[test]
fn variables_that_are_not_utf8_are_faults() {
    let item = |reference: &str| {
        component("x", &format!("  metadata: [{{name: a, {reference}}}]\nauth: {{secretStore: vault}}\n"))
    };
    let vault = component("vault", "").replace("bindings.aws.kinesis", "secretstores.local.env");
    for (reference, part) in [
        ("envRef: PLAIN", "`DAPR_ENV_KEYS` is not UTF-8 text, so no variable is allowed"),
        ("secretKeyRef: {name: KEY}", "`KEY` is not UTF-8 text"),
    ] {
        let folder = folder(&[("a.yaml", &item(reference)), ("b.yaml", &vault)]);
        let paths = [folder.path().to_owned()];
        let loaded = load(&LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &Bytes });
        assert!(only_fault(&loaded).contains(part), "{}", loaded.faults);
    }
}

pub(super) fn with_store(store: &str, reference: &str) -> String {
    let document = component(
        "x",
        &format!("  metadata:\n  - {{name: secretKey, secretKeyRef: {reference}}}\nauth: {{secretStore: vault}}\n"),
    );
    format!("{document}---\n{}", component("vault", store).replace("bindings.aws.kinesis", "secretstores.local.file"))
}

#[test]
fn secrets_come_from_files_and_never_show() {
    let secrets = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&secrets, r#"{"aws": {"key": "s3cret{uuid}", "list": ["l0"]}, "empty": ""}"#).unwrap();
    let store =
        |more: &str| format!("  metadata:\n  - {{name: secretsFile, value: '{}'}}\n{more}", secrets.path().display());
    let many = store("  - {name: multiValued, value: true}\n  - {name: nestedSeparator, value: .}\n");
    for (store, reference) in [(store(""), "{name: 'aws:key'}"), (many.clone(), "{name: aws, key: key}")] {
        let loaded = load_with(&folder(&[("a.yaml", &with_store(&store, reference))]), &[]);
        assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        let document = loaded.documents.iter().find(|document| document.name.as_str() == "x").unwrap();
        assert_eq!(Reader::new(document).secret("secretKey").unwrap().expose_secret(), "s3cret{uuid}");
        assert!(!format!("{loaded:?}").contains("s3cret"));
        let mut reader = Reader::new(document);
        assert_eq!(reader.duration("secretKey", Duration::ZERO..=Duration::from_secs(1)), None);
        assert!(!reader.finish().0.to_string().contains("s3cret"));
    }
    for (reference, part) in [
        ("{name: gone}", "no secret `gone`"),
        ("{name: empty, key: empty}", "is empty"),
        ("{name: aws, key: no}", "no key `no`"),
    ] {
        let shown = only_fault(&load_with(&folder(&[("a.yaml", &with_store(&many, reference))]), &[]));
        assert!(shown.contains(part), "{shown}");
    }
    for (store, reference, part) in [
        (store(""), "{name: aws, key: key}", "write `name: aws:key` without `key`, or set `multiValued: \"true\"`"),
        (store(""), "{name: aws}", "write `name: aws:KEY` without `key`"),
        (many.clone(), "{name: aws.key}", "write `name: aws` and `key: key`"),
        (many.clone(), "{name: aws.no}", "no secret `aws.no`; add it"),
    ] {
        let shown = only_fault(&load_with(&folder(&[("a.yaml", &with_store(&store, reference))]), &[]));
        assert!(shown.contains(part) && !shown.contains("s3cret"), "{shown}");
    }
    let list = load_with(&folder(&[("a.yaml", &with_store(&many, "{name: aws, key: list.0}"))]), &[]);
    assert!(list.faults.is_empty(), "{}", list.faults);
}

#[test]
fn the_environment_is_a_secret_store() {
    let store = "  metadata: [{name: prefix, value: MY_}]\n";
    let text = with_store(store, "{name: KEY, key: KEY}").replace("local.file", "local.env");
    let folder = folder(&[("a.yaml", &text)]);
    let loaded = load_with(&folder, &[("MY_KEY", "v")]);
    assert_eq!(Reader::new(&loaded.documents[0]).secret("secretkey").unwrap().expose_secret(), "v");
    assert!(only_fault(&load_with(&folder, &[])).contains("`MY_KEY` is not set or empty"));
}

#[test]
fn missing_secret_stores_are_faults() {
    let reference = "  metadata: [{name: a, secretKeyRef: {name: s}}]\n";
    let none = load_with(&folder(&[("a.yaml", &component("x", reference))]), &[]);
    assert!(only_fault(&none).contains("names no secret store"));
    let unloaded = component("x", &format!("{reference}auth: {{secretStore: v}}\n"));
    assert!(only_fault(&load_with(&folder(&[("a.yaml", &unloaded)]), &[])).contains("secret store `v` is not loaded"));
    let lost = with_store("  metadata: [{name: secretsFile, value: /nowhere/x.json}]\n", "{name: s}");
    let shown = load_with(&folder(&[("a.yaml", &lost)]), &[]).faults.to_string();
    assert!(shown.contains("field `secretsFile`: /nowhere/x.json: the file cannot be read"), "{shown}");
    let skipped =
        unloaded + "---\n" + &component("v", "").replace("bindings.aws.kinesis", "secretstores.hashicorp.vault");
    let shown = only_fault(&load_with(&folder(&[("a.yaml", &skipped)]), &[]));
    assert!(shown.contains("bindd does not open stores of its type `secretstores.hashicorp.vault`"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_as_a_file_end_in_documents_notices_or_faults(bytes in proptest::collection::vec(any::<u8>(), 0..400), json: bool) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(if json { "a.json" } else { "a.yaml" }), &bytes).unwrap();
        let loaded = load_with(&folder, &[]);
        prop_assert!(loaded.documents.is_empty());
        prop_assert!(!loaded.faults.is_empty() || !loaded.notices.is_empty());
    }

    #[test]
    fn a_damaged_component_never_panics(at in 0_usize..200, with in "[-:\\[\\]{}&*!?|>'\" \n\t#0x]{0,3}") {
        let mut text = component("x", "  metadata:\n  - {name: a, value: 1}\n  - name: b\n    envRef: X\nauth: {secretStore: v}\nscopes: [shop]\n");
        let at = at.min(text.len());
        text.insert_str(at, &with);
        let loaded = load_with(&folder(&[("a.yaml", &text)]), &[("X", "1")]);
        prop_assert!(loaded.documents.len() <= 2);
    }
}
