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
    removals: Removals,
    now: Instant,
    dapr_compat: bool,
    /// Of the last plan.
    faults: BTreeMap<ComponentName, String>,
}

impl Files {
    /// Components `a`, `b` and `c` run, each from its own file.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Self {
            folder,
            running: RunningFiles::new(),
            removals: Removals::default(),
            now: Instant::now(),
            dapr_compat: false,
            faults: BTreeMap::new(),
        };
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

    /// What changes once the files are settled.
    fn plan(&mut self) -> String {
        let first = self.plan_at(Duration::ZERO);
        match self.plan_at(SETTLE) {
            later if first.is_empty() => later,
            later if later.is_empty() || first.contains(&later) => first,
            later => format!("{later} {first}"),
        }
    }

    /// What changes after this time: `-` removed, `~` changed, `+` added; `?` a value cannot be read; `=` kept for a notice.
    /// Then it has changed.
    fn plan_at(&mut self, after: Duration) -> String {
        self.now += after;
        let paths = [self.folder.path().to_owned()];
        let request =
            LoadRequest { paths: &paths, app_id: Some("lab"), namespace: None, environment: &ProcessEnvironment };
        let loaded = read(&request).with_dapr_compat(self.dapr_compat).resolved(&FetchedSecrets::default());
        let mut result = check(loaded);
        let disabled = std::mem::take(&mut result.faulty_disabled);
        result.components.extend(disabled);
        let plan = plan(&mut self.running, &mut self.removals, &mut result, self.now);
        let Plan { removed, changed, added, lacking, kept, faults, next: _, concerns_all: _ } = plan;
        self.faults = faults;
        let mut shown: Vec<String> = removed.iter().map(|name| format!("-{name}")).collect();
        shown.extend(changed.iter().map(|checked| format!("~{}", checked.name)));
        shown.extend(added.iter().map(|checked| format!("+{}", checked.name)));
        shown.extend(lacking.iter().map(|name| format!("?{name}")));
        shown.extend(kept.iter().map(|(name, _)| format!("={name}")));
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
    assert_eq!(files.plan(), "-a +d ~b");
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
        assert_eq!(files.plan().replace(" =a", ""), "~b", "{bad}");
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

/// A component in the order of fields in which a document says last for whom it is.
const FULL: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: a\nspec:\n  \
                    type: bindings.aws.dynamodb\n  version: v1\n  metadata:\n  - name: table\n    value: rows\n  - \
                    name: region\n    value: us-east-1\nscopes:\n- lab\n";

#[test]
fn no_beginning_of_a_component_removes_it() {
    for text in
        [FULL.to_owned(), format!("# Copyright\n{FULL}"), FULL.replace("  name: a\n", "  labels: {x: y}\n  name: a\n")]
    {
        for end in 0..text.len() {
            let mut files = Files::new();
            let head = text.get(..end).unwrap();
            files.write("a.yaml", head);
            let first = files.plan_at(Duration::ZERO);
            assert!(!first.contains('-'), "{first}: {head}");
            // Once nothing follows, a comment alone, or scopes without this app, say that the component is removed.
            let is_comment = !head.is_empty() && head.lines().all(|line| line.starts_with('#'));
            let is_excluded = head.contains("scopes:\n- l") && !head.contains("- lab");
            assert_eq!(files.plan_at(SETTLE) == "-a", is_comment || is_excluded, "{head}");
        }
    }
}

#[test]
fn a_document_that_is_skipped_for_its_kind_or_type_is_a_fault_of_the_component_that_ran() {
    let good = component("a", "rows", "");
    for bad in [
        good.replace("kind: Component", "kind: Componentt"),
        good.replace("kind: Component\n", ""),
        good.replace("v1alpha1", "v1alpha2"),
        good.replace("bindings.aws.dynamodb", "bindings.kafka"),
        good.replace("bindings.aws.dynamodb", "state.redis"),
        good.replace("metadata: {name: a}\n", "").replace("kind: Component", "kind: Other"),
        "[]".to_owned(),
        "{}".to_owned(),
    ] {
        let mut files = Files::new();
        files.write("a.yaml", &bad);
        assert_eq!(files.plan(), "=a", "{bad}");
        files.write("a.yaml", &good);
        assert_eq!(files.plan(), "", "{bad}");
        files.remove("a.yaml");
        assert_eq!(files.plan(), "-a", "{bad}");
    }
    let mut files = Files::new();
    files.write("a.yaml", &component("z", "rows", ""));
    assert_eq!(files.plan(), "-a +z", "another component");
    files.write("z.yaml", &good.replace("kind: Component", "kind: Other"));
    files.remove("b.yaml");
    assert_eq!(files.plan(), "-b", "a file from which it never ran");
}

#[test]
fn what_is_no_regular_file_any_more_removes_nothing() {
    let mut files = Files::new();
    files.remove("a.yaml");
    fs::create_dir(files.folder.path().join("a.yaml")).unwrap();
    files.remove("b.yaml");
    let status = std::process::Command::new("mkfifo").arg(files.folder.path().join("b.yaml")).status().unwrap();
    assert!(status.success());
    files.remove("c.yaml");
    std::os::unix::fs::symlink("nowhere", files.folder.path().join("c.yaml")).unwrap();
    assert_eq!(files.plan(), "=a =b");
}

#[test]
fn a_document_of_several_is_removed_once_the_file_is_complete() {
    let all = ["a", "b", "c"].map(|name| component(name, "rows", ""));
    let text = all.join("---\n");
    let mut files = Files::new();
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        files.remove(name);
    }
    files.write("all.yaml", &text);
    assert_eq!(files.plan(), "");
    let ends = [all[0].len(), all[0].len() + "---\n".len() + all[1].len()];
    for cut in 1..text.len() {
        files.write("all.yaml", &text[..cut]);
        // The last line of a document, its region, may be left out.
        let is_complete = ends.iter().any(|end| (end - 40..=end + "---\n".len()).contains(&cut));
        let plan = files.plan();
        assert!(is_complete || !plan.contains('-'), "{plan}: {}", &text[..cut]);
        files.write("all.yaml", &text);
        files.plan();
    }
    files.write("all.yaml", &all[1..].join("---\n"));
    assert_eq!(files.plan(), "-a");
    let typing_error = all[1].replace("kind: Component", "kind: Komponent");
    files.write("all.yaml", &typing_error);
    assert_eq!(files.plan(), "=b =c", "the file is not correct, so nothing of it is removed");
}

#[test]
fn a_removal_waits_until_its_file_is_settled_and_holds_up_what_replaces_it() {
    let mut files = Files::new();
    let second = Duration::from_secs(1);
    files.write("a.yaml", &component("z", "rows", ""));
    assert_eq!(files.plan_at(Duration::ZERO), "");
    assert_eq!(files.plan_at(second), "");
    files.write("a.yaml", &component("y", "rows", ""));
    files.write("b.yaml", &component("b", "others", ""));
    assert_eq!(files.plan_at(second), "~b", "the time begins again");
    assert_eq!(files.plan_at(second), "");
    assert_eq!(files.plan_at(second), "-a +y");
    files.remove("b.yaml");
    files.write("d.yaml", &component("d", "others", ""));
    assert_eq!(files.plan_at(second), "", "it may be the same under another name");
    files.write("b.yaml", &component("b", "others", ""));
    assert_eq!(files.plan_at(second), "+d", "it was only gone for a moment");
}

#[test]
fn each_component_that_runs_on_has_the_fault_of_its_file_until_it_is_corrected() {
    let mut files = Files::new();
    let good = component("a", "rows", "");
    for (bad, part) in [
        (good.replace("us-east-1", "moon"), "a.yaml: document 1: component `a`: field `region`: "),
        (good.replace("metadata:\n", "metadata: [\n"), "a.yaml: document 1: "),
        (good.replace("kind: Component", "kind: Componentt"), "`Componentt`"),
        (format!("{good}---\n{good}"), "duplicate definition of Component name a"),
        (good.replace("value: rows", "envRef: NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE"),
    ] {
        files.write("a.yaml", &bad);
        files.plan();
        let faults: Vec<_> = files.faults.iter().map(|(name, fault)| (name.as_str(), fault.as_str())).collect();
        assert!(matches!(faults[..], [("a", fault)] if fault.contains(part)), "{bad}: {faults:?}");
        files.write("a.yaml", &good);
        files.plan();
        assert_eq!(files.faults, BTreeMap::new(), "{bad}");
    }
    files.dapr_compat = true;
    let item = |name: &str| format!("  - {{name: {name}, envRef: NOT_SET_ANYWHERE}}\n");
    files.write("a.yaml", &format!("{good}{}{}", item("accessKey"), item("secretKey")));
    assert_eq!(files.plan(), "?a");
    assert!(files.faults.values().next().unwrap().ends_with("a.yaml: a value of the component cannot be read"));
}

#[test]
fn what_a_disabled_component_says_makes_no_difference_until_it_is_enabled() {
    let mut files = Files::new();
    let disabled = component("a", "rows", "  disabled: true\n");
    files.write("a.yaml", &disabled);
    assert_eq!(files.plan(), "~a");
    for text in [disabled.replace("rows", "others"), disabled.replace("value: rows", "envRef: NOT_SET_ANYWHERE")] {
        files.write("a.yaml", &text);
        assert_eq!(files.plan(), "", "{text}");
    }
    files.write("a.yaml", &component("a", "others", ""));
    assert_eq!(files.plan(), "~a");
    files.dapr_compat = true;
    files.write("a.yaml", &disabled.replace("value: rows", "envRef: NOT_SET_ANYWHERE"));
    assert_eq!(files.plan(), "~a", "a value that is missing does not keep it running");
}
