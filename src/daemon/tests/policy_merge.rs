use super::*;
use crate::bindings::check;
use crate::manifest::{FetchedSecrets, LoadRequest, ProcessEnvironment, load_resiliencies, read};
use std::fs;

const SHOP: &str = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: shop\nspec:\n  policies:\n    \
                    retries:\n      DefaultRetryPolicy:\n        policy: constant\n        duration: 1s\n        \
                    maxRetries: 2\n";

struct Files {
    folder: tempfile::TempDir,
    documents: Vec<ResiliencyDocument>,
}

impl Files {
    fn new(text: &str) -> Self {
        let mut files = Self { folder: tempfile::tempdir().unwrap(), documents: Vec::new() };
        assert_eq!(files.write(text), 0);
        files
    }

    /// Returns how many documents are in force only because of a fault.
    fn write(&mut self, text: &str) -> usize {
        fs::write(self.folder.path().join("shop.yaml"), text).unwrap();
        self.read()
    }

    fn read(&mut self) -> usize {
        let paths = [self.folder.path().to_owned()];
        let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &ProcessEnvironment };
        let result = check(read(&request).resolved(&FetchedSecrets::default()));
        let (new, unparsed) = load_resiliencies(&request);
        let merged = merge(&self.documents, &new, &unparsed, &result);
        self.documents = merged.documents;
        merged.kept.len()
    }

    fn names(&self) -> Vec<&str> {
        self.documents.iter().map(|document| document.name.as_str()).collect()
    }
}

#[test]
fn policies_stay_while_their_file_has_a_fault() {
    let wrong = SHOP.replace("constant", "sometimes");
    let misspelt = SHOP.replace("Resiliency", "Resilience");
    let cuts = (0..SHOP.find("policies").unwrap()).map(|end| SHOP[..end].to_owned());
    for bad in cuts.chain([wrong, misspelt, "a: [".to_owned(), SHOP.replace("kind:", "kind")]) {
        let mut files = Files::new(SHOP);
        let before = files.documents.clone();
        for _ in 0..2 {
            assert_eq!(files.write(&bad), 1, "{bad}");
            assert_eq!(files.documents, before, "{bad}");
        }
        assert_eq!(files.write(&SHOP.replace("1s", "2s")), 0);
        assert_ne!(files.documents, before, "the correct version counts again");
        assert_eq!(files.names(), ["shop"]);
    }
}

#[test]
fn policies_end_with_their_document() {
    let other = SHOP.replace("shop", "other");
    let mut files = Files::new(&format!("{SHOP}---\n{other}"));
    assert_eq!(files.names(), ["shop", "other"]);
    assert_eq!((files.write(&other), files.names()), (0, vec!["other"]));
    assert_eq!((files.write("# It was here.\n"), files.names()), (0, Vec::new()));
    files.write(SHOP);
    fs::remove_file(files.folder.path().join("shop.yaml")).unwrap();
    assert_eq!((files.read(), files.names()), (0, Vec::new()));
    files.write(SHOP);
    fs::rename(files.folder.path().join("shop.yaml"), files.folder.path().join("moved.yaml")).unwrap();
    assert_eq!((files.read(), files.names()), (0, vec!["shop"]));
}

#[test]
fn a_document_that_is_kept_stays_in_its_place() {
    let both = |first: &str| format!("{first}---\n{}", SHOP.replace("shop", "other"));
    let mut files = Files::new(&both(SHOP));
    assert_eq!((files.write(&both(&SHOP.replace("constant", "no"))), files.names()), (1, vec!["shop", "other"]));
    let mut files = Files::new(&SHOP.replace("constant", "no"));
    assert_eq!(files.names(), ["shop"], "one that was never correct is reported");
    assert_eq!((files.write(SHOP), files.names()), (0, vec!["shop"]));
}
