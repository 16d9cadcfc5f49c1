//! Documents of kind `Method` in folders.

use super::tests::{component, folder, load_with, notices, only_fault};
use crate::manifest::Loaded;

fn method(name: &str, rest: &str) -> String {
    format!("apiVersion: dapr.io/v1alpha1\nkind: Method\nmetadata:\n  name: {name}\n{rest}")
}

fn load_one(text: &str) -> Loaded {
    load_with(&folder(&[("a.yaml", text)]), &[])
}

fn user(method: &str) -> String {
    component("orders", &format!("  metadata: [{{name: streamName, value: s}}, {{name: method, value: {method}}}]\n"))
}

#[test]
fn methods_are_read_beside_components_wherever_they_are() {
    let files =
        [("a.yaml", user("slim")), ("b.yaml", method("slim", "spec:\n  jq: |\n    {id}\n    | .uuid = \"{uuid}\"\n"))];
    let loaded = load_with(&folder(&[(files[0].0, &files[0].1), (files[1].0, &files[1].1)]), &[]);
    assert!(loaded.faults.is_empty() && loaded.notices.is_empty(), "{} {}", loaded.faults, notices(&loaded));
    let found = loaded.methods.get("slim").unwrap();
    // A program is no value of an item: `{uuid}` in it is jq.
    assert_eq!(found.program, "{id}\n| .uuid = \"{uuid}\"\n");
    assert_eq!(loaded.methods.nearest("slimm"), Some("slim"));
    assert_eq!(loaded.documents[0].methods().get("slim"), Some(found));
}

#[test]
fn a_wrong_method_is_a_fault_with_its_place() {
    for (rest, field, part) in [
        ("spec: {}\n", "spec.jq", "no program"),
        ("", "spec.jq", "no program"),
        ("spec: {jq: [1]}\n", "spec.jq", "not a program"),
        ("spec: {jq: ' '}\n", "spec.jq", "not a program"),
    ] {
        let fault = only_fault(&load_one(&method("slim", rest)));
        assert!(fault.contains("a.yaml: document 1: ") && fault.contains(field) && fault.contains(part), "{fault}");
    }
    for name in ["", "a/b"] {
        let fault = only_fault(&load_one(&method(name, "spec: {jq: .}\n")));
        assert!(fault.contains("metadata.name"), "{fault}");
    }
    let broken = only_fault(&load_one("apiVersion: dapr.io/v1alpha1\nkind: Method\n\tspec: x"));
    assert!(broken.contains("a.yaml"), "{broken}");
}

#[test]
fn two_methods_of_one_name_are_a_fault_of_all() {
    let text = format!("{}---\n{}", method("slim", "spec: {jq: .}\n"), method("slim", "spec: {jq: .a}\n"));
    let loaded = load_one(&text);
    let fault = only_fault(&loaded);
    assert!(fault.contains("document 2") && fault.contains("`slim` already"), "{fault}");
    assert!(loaded.faults.iter().all(|fault| fault.concerns_all));
}

#[test]
fn methods_of_others_are_skipped() {
    let elsewhere = method("slim\n  namespace: other", "spec: {jq: .}\n");
    let loaded = load_with(&folder(&[("a.yaml", &elsewhere)]), &[("NAMESPACE", "prod")]);
    assert!(loaded.methods.get("slim").is_none() && notices(&loaded).contains("namespace"), "{}", notices(&loaded));
    let scoped = load_one(&method("slim", "spec: {jq: .}\nscopes: [till]\n"));
    assert!(scoped.methods.get("slim").is_none() && notices(&scoped).contains("scopes"), "{}", notices(&scoped));
    assert!(load_one(&method("slim", "spec: {jq: .}\nscopes: [shop]\n")).methods.get("slim").is_some());
    let unknown = load_one(&method("slim", "spec: {jq: ., jqq: .}\n"));
    assert!(notices(&unknown).contains("did you mean `spec.jq`?"), "{}", notices(&unknown));
}

#[test]
fn another_program_is_another_content_of_those_who_use_it() {
    let content = |program: &str, used: &str| {
        let text = format!("{}---\n{}", user(used), method("slim", &format!("spec: {{jq: {program}}}\n")));
        load_one(&text).documents[0].content()
    };
    assert_eq!(content(".a", "slim"), content(".a", "slim"));
    assert_ne!(content(".a", "slim"), content(".b", "slim"));
    assert_eq!(content(".a", "other"), content(".b", "other"));
    let empty = "slim}, {name: dataProcessingMethodId, value: ''";
    assert_ne!(content(".a", empty), content(".b", empty));
}
