use super::*;
use crate::bindings::check;
use crate::manifest::{FetchedSecrets, LoadRequest, ProcessEnvironment, read};
use std::fs;
use tempfile::TempDir;

/// A DynamoDB component.
fn component(name: &str, table: &str, more: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
         type: bindings.aws.dynamodb\n  version: v1\n{more}  metadata:\n  - {{name: table, value: {table}}}\n  \
         - {{name: region, value: us-east-1}}\n"
    )
}

struct Files {
    folder: TempDir,
    running: RunningFiles,
    dapr_compat: bool,
}

impl Files {
    /// Components `a`, `b` and `c` run, each from its own file.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Self { folder, running: RunningFiles::new(), dapr_compat: false };
        for name in ["a", "b", "c"] {
            files.write(&format!("{name}.yaml"), &component(name, "rows", ""));
        }
        let added = files.plan();
        assert_eq!(added, "+a +b +c");
        files
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.folder.path().join(file)).unwrap();
    }

    /// What would change: `-` removed, `~` changed, `+` added; `?` a value cannot be read. Then it has changed.
    fn plan(&mut self) -> String {
        let paths = [self.folder.path().to_owned()];
        let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &ProcessEnvironment };
        let loaded = read(&request).with_dapr_compat(self.dapr_compat).resolved(&FetchedSecrets::default());
        let Plan { removed, changed, added, lacking } = plan(&mut self.running, check(loaded));
        let mut shown: Vec<String> = removed.iter().map(|name| format!("-{name}")).collect();
        shown.extend(changed.iter().map(|checked| format!("~{}", checked.name)));
        shown.extend(added.iter().map(|checked| format!("+{}", checked.name)));
        shown.extend(lacking.iter().map(|name| format!("?{name}")));
        for name in removed {
            self.running.remove(&name);
        }
        for checked in changed.iter().chain(&added) {
            self.running.insert(checked.name.clone(), RunningFile::new(checked));
        }
        shown.join(" ")
    }
}

#[test]
fn what_differs_is_removed_changed_and_added() {
    let mut files = Files::new();
    assert_eq!(files.plan(), "");
    files.remove("a.yaml");
    files.write("b.yaml", &component("b", "others", ""));
    files.write("d.yaml", &component("d", "rows", ""));
    assert_eq!(files.plan(), "-a ~b +d");
    assert_eq!(files.plan(), "");
}

#[test]
fn formatting_place_and_metadata_make_no_difference() {
    let mut files = Files::new();
    let text = "# The same.\nkind: Component\napiVersion: dapr.io/v1alpha1\nmetadata:\n  name: a\n  annotations: {x: y}\n\
                spec:\n  version: v1\n  type: Bindings.AWS.DynamoDB\n  metadata:\n    - name: region\n      \
                value: us-east-1\n    - name: Table\n      value: rows\n";
    files.remove("a.yaml");
    files.write("z.yaml", text);
    assert_eq!(files.plan(), "");
    // It is known that it is in another file now.
    files.remove("z.yaml");
    assert_eq!(files.plan(), "-a");
    for more in ["  initTimeout: 9s\n", "  ignoreErrors: true\n"] {
        files.write("b.yaml", &component("b", "rows", more));
        assert_eq!(files.plan(), "~b", "{more}");
    }
}

#[test]
fn a_uuid_is_no_change() {
    let mut files = Files::new();
    files.write("a.yaml", &component("a", "'rows-{uuid}'", ""));
    assert_eq!(files.plan(), "~a");
    assert_eq!(files.plan(), "");
    files.write("a.yaml", &component("a", "'more-{uuid}'", ""));
    assert_eq!(files.plan(), "~a");
}

#[test]
fn a_component_with_a_fault_runs_on_and_the_others_change() {
    for bad in [
        "".to_owned(),
        "\n".to_owned(),
        "spec: {".to_owned(),
        component("a", "''", ""),
        component("a", "''", "  ignoreErrors: true\n"),
        component("a", "rows", "").replace("  type: bindings.aws.dynamodb\n", ""),
        component("a", "rows", "").replace("dynamodb", "dynamod"),
    ] {
        let mut files = Files::new();
        files.write("a.yaml", &bad);
        files.write("b.yaml", &component("b", "others", ""));
        assert_eq!(files.plan(), "~b", "{bad}");
        files.write("a.yaml", &component("a", "rows", ""));
        assert_eq!(files.plan(), "", "{bad}");
        files.write("a.yaml", "# It was here.\n");
        assert_eq!(files.plan(), "-a", "{bad}");
    }
}

#[test]
fn names_that_are_taken_twice_change_nothing() {
    let mut files = Files::new();
    files.remove("a.yaml");
    files.write("b.yaml", &component("b", "others", ""));
    files.write("z.yaml", &component("c", "others", ""));
    assert_eq!(files.plan(), "");
    files.remove("z.yaml");
    assert_eq!(files.plan(), "-a ~b");
}

#[test]
fn what_was_in_a_folder_that_is_gone_runs_on() {
    let mut files = Files::new();
    let moved = files.folder.path().with_extension("moved");
    fs::rename(files.folder.path(), &moved).unwrap();
    assert_eq!(files.plan(), "");
    fs::rename(&moved, files.folder.path()).unwrap();
    files.remove("a.yaml");
    assert_eq!(files.plan(), "-a");
}

#[test]
fn a_secret_that_cannot_be_read_any_more_is_not_replaced_by_an_empty_one() {
    let mut files = Files::new();
    files.dapr_compat = true;
    let (secrets, folder) = (files.folder.path().join("secrets.txt"), files.folder.path().display().to_string());
    files.write(
        "store.yaml",
        &format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: vault}}\nspec:\n  \
             type: secretstores.local.file\n  metadata: [{{name: secretsFile, value: {folder}/secrets.txt}}]\n"
        ),
    );
    let with_secret = |more: &str| {
        format!(
            "{}  - {{name: accessKey, secretKeyRef: {{name: id}}}}\n  - {{name: secretKey, secretKeyRef: {{name: key}}}}\n\
             auth: {{secretStore: vault}}\n",
            component("a", "rows", more)
        )
    };
    fs::write(&secrets, r#"{"id": "a", "key": "one"}"#).unwrap();
    files.write("a.yaml", &with_secret(""));
    assert_eq!(files.plan(), "~a");
    fs::write(&secrets, r#"{"id": "a", "key": "two"}"#).unwrap();
    assert_eq!(files.plan(), "~a", "a secret that was rotated");
    fs::write(&secrets, r#"{"id": "a"}"#).unwrap();
    files.write("b.yaml", &component("b", "others", ""));
    assert_eq!(files.plan(), "~b ?a");
    fs::write(&secrets, r#"{"id": "a", "key": "two"}"#).unwrap();
    assert_eq!(files.plan(), "");
    // One that never had the value changes with its file, as at a start.
    fs::write(&secrets, r#"{"id": "a"}"#).unwrap();
    files.write("d.yaml", &with_secret("").replace("name: a}", "name: d}"));
    assert_eq!(files.plan(), "+d ?a");
    files.write("d.yaml", &with_secret("  initTimeout: 9s\n").replace("name: a}", "name: d}"));
    assert_eq!(files.plan(), "~d ?a");
}
