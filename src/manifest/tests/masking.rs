//! What of a document is hidden from those who read it.

use super::*;
use crate::manifest::DocumentFormat;
use proptest::prelude::*;
use serde_json::json;

const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn document(items: &Value) -> RawDocument {
    let text = json!({"metadata": {"name": "a"}, "spec": {"type": "x", "metadata": items}}).to_string();
    RawDocument::parse(&text, DocumentFormat::Json).unwrap()
}

fn annotated(notes: &Value) -> RawDocument {
    let metadata = json!({"name": "a", "annotations": notes, "labels": notes});
    RawDocument(json!({"metadata": metadata, "spec": {"type": "x", "metadata": []}}))
}

fn secrets() -> RawDocument {
    document(&json!([
        {"name": "secretKey", "value": "s3cret"},
        {"name": "accessKey", "value": 12},
        {"name": "sessionToken", "secretKeyRef": {"name": "t", "key": "k"}},
        {"name": "url", "value": "https://user:pass@example.com/x"},
        {"name": "ourPassword", "value": "p"},
        {"name": "partitionKeyFrom", "value": "/id"},
        {"name": "endpoint", "value": "https://example.com/a@b"},
        {"name": "hook", "value": "https://example.com/hook?sig=abc&token=def"},
        {"name": "database", "value": "user:pass@tcp(host:3306)/orders"},
        {"name": "more", "value": {"nested": [{"password": "p"}]}},
    ]))
}

#[test]
fn secrets_are_masked_and_references_and_other_values_are_shown() {
    let masked = secrets().masked();
    let items = masked["spec"]["metadata"].as_array().unwrap();
    let values: Vec<_> = items.iter().map(|item| item["value"].as_str().unwrap_or("-")).collect();
    assert_eq!(values, [MASK, MASK, "-", MASK, MASK, "/id", "https://example.com/a@b", MASK, MASK, MASK]);
    assert_eq!(items[2]["secretKeyRef"]["key"], "k");
    let inline = ["secretKey", "accessKey", "url", "ourPassword", "hook", "database", "more"];
    assert_eq!(secrets().inline_secrets(), inline);
}

#[test]
fn a_masked_document_that_is_sent_back_keeps_its_secrets() {
    let back = RawDocument(secrets().masked());
    assert_eq!(back.unmasked(Some(&secrets())), Ok(secrets()));
    let by_reference = document(&json!([{"name": "SECRETKEY", "value": MASK}]));
    let old = document(&json!([{"name": "secretKey", "secretKeyRef": {"name": "s", "key": "k"}}]));
    assert_eq!(by_reference.clone().unmasked(Some(&old)), Ok(old));
    let lost = Err(LostSecret { field: "SECRETKEY".to_owned() });
    assert_eq!(by_reference.clone().unmasked(None), lost);
    assert_eq!(by_reference.unmasked(Some(&document(&json!([])))), lost);
    let plain = document(&json!([{"name": "table", "value": MASK}]));
    assert_eq!(plain.clone().unmasked(Some(&secrets())), Err(LostSecret { field: "table".to_owned() }));
    assert_eq!(plain.clone().unmasked(Some(&plain)), Ok(plain.clone()), "it was written so");
}

#[test]
fn annotations_and_labels_with_secrets_are_masked() {
    let kept = json!({"spec": {"metadata": [{"name": "secretKey", "value": "s3cret"}]}}).to_string();
    let references = json!({"spec": {"metadata": [{"name": "secretKey", "secretKeyRef": {"name": "n"}}]}}).to_string();
    for (name, value, is_secret) in [
        (APPLIED, "{}", true),
        ("objectset.rio.cattle.io/applied", "H4sIAAAA", true),
        ("example.com/original", kept.as_str(), true),
        ("example.com/plan", references.as_str(), false),
        ("example.com/api-token", "abc", true),
        ("team", "https://user:pass@example.com", true),
        ("hook", "https://example.com/?sig=abc", true),
        ("example.com/api-token", "", false),
        ("team", "payments", false),
    ] {
        let old = annotated(&json!({ name: value }));
        let masked = old.masked();
        for notes in ["annotations", "labels"] {
            let shown = if is_secret { MASK } else { value };
            assert_eq!(masked["metadata"][notes][name], shown, "{notes} {name}: {value}");
        }
        let fields = if is_secret { 2 } else { 0 };
        assert_eq!(old.inline_secrets().len(), fields, "{name}: {value}");
        assert_eq!(RawDocument(masked).unmasked(Some(&old)), Ok(old), "{name}: {value}");
    }
}

#[test]
fn a_mask_of_an_annotation_that_is_not_known_is_an_error_and_is_not_moved() {
    let new = annotated(&json!({ APPLIED: MASK }));
    let lost = Err(LostSecret { field: format!("metadata.annotations.{APPLIED}") });
    assert_eq!(new.clone().unmasked(None), lost);
    assert_eq!(new.unmasked(Some(&annotated(&json!({"other": "https://user:pass@x"})))), lost);
    let moved = annotated(&json!({"note": MASK}));
    let old = annotated(&json!({"other": "https://user:pass@x", "note": "plain"}));
    let lost = Err(LostSecret { field: "metadata.annotations.note".to_owned() });
    assert_eq!(moved.clone().unmasked(Some(&old)), lost);
    assert_eq!(moved.clone().unmasked(Some(&moved)), Ok(moved.clone()), "it was written so");
}

#[test]
fn secrets_elsewhere_in_the_document_are_masked() {
    let document = RawDocument(json!({
        "metadata": {"name": "a"}, "spec": {"type": "x", "note": "https://user:pass@x", "metadata": "a:b@c"},
        "auth": {"secretStore": "vault"}, "scopes": ["shop", "x:y@z"],
    }));
    let masked = document.masked();
    assert_eq!((&masked["spec"]["note"], &masked["spec"]["metadata"]), (&json!(MASK), &json!(MASK)));
    assert_eq!((&masked["auth"]["secretStore"], &masked["scopes"]), (&json!("vault"), &json!(["shop", MASK])));
}

#[test]
fn members_that_bindd_does_not_know_are_masked_by_their_names() {
    let reference = json!({"name": "n", "key": "k"});
    let with = |secrets: [&str; 4]| {
        let [item, note, text, member] = secrets;
        let items = json!([
            {"name": "secretKey", "vaule": item, "secretKeyRef": reference},
            {"name": "table", "value": "t", "note": note, "envRef": ""},
            text,
        ]);
        let spec = json!({"type": "x", "metadata": items, "password": member, "own": {"apiKeys": [member, ""]}});
        RawDocument(json!({"metadata": {"name": "my-token"}, "spec": spec, "auth": {"secretStore": "vault"}}))
    };
    let old = with(["s3cret", "https://user:pass@x", "a:b@c", "p"]);
    assert_eq!(old.masked(), with([MASK; 4]).0);
    let members = ["metadata.0.vaule", "metadata.1.note", "metadata.2", "password", "own.apiKeys.0"];
    assert_eq!(old.inline_secrets(), members.map(|member| format!("spec.{member}")));
    assert_eq!(with([MASK; 4]).unmasked(Some(&old)), Ok(old));
    let lost = with([MASK; 4]).unmasked(None);
    assert_eq!(lost, Err(LostSecret { field: "spec.metadata.0.vaule".to_owned() }));
    let item = |name: &str, note: &str| document(&json!([{"name": name, "note": note}]));
    let moved = item("table", MASK);
    let lost = Err(LostSecret { field: "spec.metadata.0.note".to_owned() });
    assert_eq!(moved.unmasked(Some(&item("secretKey", "s3cret"))), lost, "it would be shown there");
}

proptest! {
    /// Whatever a document looks like, a secret in one of these places is not shown, and reading and sending back a
    /// document changes nothing.
    #[test]
    fn no_secret_is_shown_and_none_is_lost(
        names in prop::collection::vec("[a-z/.~-]{1,12}", 1..6), others in prop::collection::vec("[ -~]{0,20}", 1..6)
    ) {
        const SECRET: &str = "Zq9-the-secret";
        let forms = [
            format!("https://u:{SECRET}@h/p"), format!("u:{SECRET}@tcp(h)/d"), format!("https://h/p?a=b&sig={SECRET}"),
            format!("Server=h;Password={SECRET};"),
            json!({"spec": {"metadata": [{"name": "secretKey", "value": SECRET}]}}).to_string(),
        ];
        let items: Vec<Value> = names.iter().zip(forms.iter().cycle())
            .map(|(name, form)| json!({"name": name, "value": form}))
            .filter(|item| !item["value"].as_str().unwrap().starts_with('{'))
            .chain([json!({"name": "aSecretOfOurs", "value": SECRET})])
            .chain(others.iter().map(|value| json!({"name": "other", "value": value})))
            .collect();
        let notes: serde_json::Map<String, Value> =
            names.iter().zip(forms.iter().rev().cycle()).map(|(name, form)| (name.clone(), json!(form)))
            .chain([(APPLIED.to_owned(), json!(SECRET))]).collect();
        let document = RawDocument(json!({
            "metadata": {"name": "a", "annotations": notes, "labels": notes}, "spec": {"type": "x", "metadata": items},
        }));
        let masked = document.masked();
        prop_assert!(!masked.to_string().contains(SECRET), "{}", masked);
        let distinct = document.item_names().iter().collect::<std::collections::BTreeSet<_>>().len() == document.items().len();
        if distinct {
            prop_assert_eq!(RawDocument(masked).unmasked(Some(&document)), Ok(document));
        }
    }
}
