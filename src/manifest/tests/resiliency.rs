use super::*;
use crate::manifest::{ProcessEnvironment, load};
use std::path::PathBuf;

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let paths = vec![folder.path().to_owned()];
    (folder, paths)
}

fn request(paths: &[PathBuf]) -> LoadRequest<'_> {
    LoadRequest { paths, app_id: Some("shop"), namespace: Some("prod"), environment: &ProcessEnvironment }
}

#[test]
fn every_document_of_the_kind_is_read_and_scopes_are_respected() {
    let (_folder, paths) = folder(&[
        ("b.yaml", "kind: Resiliency\nmetadata: {name: second, namespace: other}\nspec: {policies: {}}\n"),
        (
            "a.yaml",
            "kind: Component\nmetadata: {name: x}\n---\napiVersion: any/v9\nkind: Resiliency\nmetadata: {name: first}\n\
             scopes: [till, shop]\n---\nkind: Resiliency\nmetadata: {name: foreign}\nscopes: [till]\n",
        ),
        ("c.json", r#"{"kind": "Resiliency", "metadata": {"name": "third"}}"#),
    ]);
    let (documents, notices) = load_resiliencies(&request(&paths));
    let names: Vec<_> = documents.iter().map(|document| (document.name.as_str(), document.place.document)).collect();
    assert_eq!(names, [("first", 2), ("second", 1), ("third", 1)]);
    assert_eq!(notices, []);
}

#[test]
fn the_loader_of_components_has_no_notice_about_them_and_a_broken_one_is_named_here() {
    let (_folder, paths) = folder(&[
        ("a.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: good}\nspec: {}\n"),
        ("b.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\n\tspec: {}\n"),
    ]);
    let loaded = load(&request(&paths));
    assert!(loaded.faults.is_empty());
    assert!(loaded.notices.iter().all(|notice| !notice.file.ends_with("a.yaml")), "{:?}", loaded.notices);
    let (documents, notices) = load_resiliencies(&request(&paths));
    assert_eq!(documents.len(), 1);
    assert!(notices[0].to_string().contains("b.yaml: document 1: Could not parse resiliency file: "), "{notices:?}");
}
