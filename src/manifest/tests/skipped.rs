//! Which files of a folder are loaded, which are skipped with a notice, and which are faults.

use super::tests::{component, folder, load_paths, load_with, names, notices, only_fault, with_store};

/// The beginning of a component of a served type, to which tests add invalid YAML.
const SERVED: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nspec: {type: bindings.aws.kinesis}\n";

#[test]
fn every_broken_component_is_a_fault_and_the_valid_ones_still_load() {
    let folder = folder(&[
        ("a.yaml", &component("good", "")),
        ("b.yaml", &format!("{SERVED}a: [\n")),
        ("c.yaml", &format!("{SERVED}{}", "x".repeat(1 << 20))),
        ("d.yaml", &format!("{SERVED}kind: Component\n")),
        ("g.json", r#"{"kind": "Component", "spec": {"type": "bindings.aws.dynamodb""#),
        ("h.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {}\nspec: {}\n"),
        ("i.yaml", "apiVersion:dapr.io/v1alpha1 kind:Component type:bindings.aws.kinesis"),
        ("j.yaml", &format!("{SERVED}a: !thing x\n")),
        ("k.yaml", &component("k", "  metadata: [{name: streamName, value: {{ .Values.stream }}}]\n")),
    ]);
    std::fs::write(folder.path().join("f.yaml"), [SERVED.as_bytes(), b"a: \xff\n"].concat()).unwrap();
    let loaded = load_with(&folder, &[]);
    assert_eq!(names(&loaded), ["good"]);
    let shown = loaded.faults.to_string();
    for part in [
        "b.yaml: document 1: ",
        "c.yaml: the file is larger than 1 MiB; split",
        "written twice",
        "f.yaml: the file is not UTF-8 text (byte 83); save it as UTF-8",
        "g.json: document 1",
        "field `metadata.name`: the component has no name",
        "field `spec.type`: the type is missing",
        "i.yaml: document 1: the document is a single value",
        "j.yaml: document 1: ",
        "k.yaml: document 1: ",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert_eq!((loaded.faults.len(), loaded.notices.len()), (10, 0), "{shown}");
}

#[test]
fn a_file_without_a_served_component_is_skipped_with_one_notice() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", component("x", "").trim_end().replace('\n', "\n  "));
    let sequence = format!("- {}", component("x", "").trim_end().replace('\n', "\n  "));
    let redis = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: r}\nspec:\n  type: state.redis\n";
    let files = [
        ("a.yaml", "- just\n- a list\n"),
        ("b.yaml", sequence.as_str()),
        ("c.yaml", list.as_str()),
        ("d.yaml", "just a text\n"),
        ("e.yaml", "Resources:\n  Stream: !Ref Other\n  Name: !Sub '${AWS::StackName}'\n"),
        ("f.json", r#"{"name": "app", "version": "1.0.0"}"#),
        ("g.json", "{\n  // TypeScript\n  \"compilerOptions\": {}\n}\n"),
        ("h.json", "{\"id\": 1}\n{\"id\": 2}\n"),
        ("i.yaml", "apiVersion: v1\nkind: Service\nspec: {{ toYaml .Values.spec | nindent 2 }}\n"),
        ("j.yaml", ""),
        ("k.yaml", "services: {app: {image: app}}\n"),
        ("l.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"),
        ("m.yaml", "a: [\n"),
        ("n.yaml", "kind: x\nkind: y\n"),
        ("o.yaml", &format!("{redis}a: [\n")),
        ("p.yaml", &redis.replace("state.redis", "bindings.kafka").replace("metadata:", "other:")),
        ("q.yaml", &format!("--- !Ref x\n{redis}")),
        ("r.json", ""),
        ("s.yaml", &format!("big: {}\n", "x".repeat(1 << 20))),
        ("t.yaml", "a:\n\t- tab\n"),
        ("u.yaml", "a: &a [*a]\n"),
    ];
    for (name, text) in files {
        let loaded = load_with(&folder(&[(name, text)]), &[]);
        let notices = notices(&loaded);
        assert!(loaded.faults.is_empty() && loaded.documents.is_empty(), "{name}: {}", loaded.faults);
        assert_eq!(loaded.notices.len(), 1, "{name}: {notices}");
        assert!(notices.contains(name), "{notices}");
        if name.starts_with(['b', 'c']) {
            assert!(notices.contains("as its own document, with `---` between"), "{notices}");
        }
        if text.contains("list") || text.contains("a: [") || text.contains("TypeScript") {
            // A path to this file means that it is expected to be loaded.
            let folder = folder(&[(name, text)]);
            let loaded = load_paths(&[folder.path().join(name)]);
            assert_eq!((loaded.faults.len(), loaded.notices.len()), (1, 0), "{name}");
        }
    }
}

#[test]
fn binary_files_and_links_without_a_component_are_skipped() {
    let folder = folder(&[]);
    std::fs::write(folder.path().join("a.yaml"), b"\x7fELF\0\xff\xfe").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("notes.txt")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join(".#a.yaml")).unwrap();
    std::fs::create_dir(folder.path().join(".git.yaml")).unwrap();
    std::fs::create_dir(folder.path().join("..data")).unwrap();
    std::fs::write(folder.path().join(".DS_Store"), b"\xff").unwrap();
    let loaded = load_with(&folder, &[]);
    let notices = notices(&loaded);
    assert!(loaded.faults.is_empty(), "{}", loaded.faults);
    assert_eq!(loaded.notices.len(), 3, "{notices}");
    for part in ["a.yaml: not loaded: the file is not UTF-8 text", "notes.txt: not loaded", ".#a.yaml: not loaded"] {
        assert!(notices.contains(part), "{part}: {notices}");
    }
    std::os::unix::fs::symlink("nowhere", folder.path().join("b.yaml")).unwrap();
    assert!(only_fault(&load_with(&folder, &[])).contains("b.yaml: the file cannot be opened"));
}

#[test]
fn the_content_of_a_skipped_component_is_not_checked() {
    let items = "  ignoreErrors: perhaps\n  initTimeout: never\n  version: 1.10\n  metadta: 1\n  metadata:\n  - {name: a, envRef: GONE}\n  \
                 - {name: b, envRef: DAPR_API_TOKEN}\n  - {name: c, secretKeyRef: {name: x, key: y}}\n  - {name: c, value: '{podName}'}\n  \
                 - 5\n  - {value: 1.10}\nauth: {secretStore: nowhere}\nscopes: 7\n";
    for other in
        ["state.redis", "pubsub.kafka", "bindings.kafka", "secretstores.hashicorp.vault", "workflow.x", "our.own"]
    {
        let text = component("x", items).replace("bindings.aws.kinesis", other).replace("  version: v1\n", "");
        let loaded = load_with(&folder(&[("a.yaml", &text), ("b.yaml", &text)]), &[]);
        assert!(loaded.faults.is_empty() && loaded.documents.is_empty(), "{other}: {}", loaded.faults);
        let notices = notices(&loaded);
        assert_eq!(loaded.notices.len(), 2, "{notices}");
        assert!(
            notices.contains(&format!("component `x`: skipped: bindd does not serve the type `{other}`")),
            "{notices}"
        );
    }
    let elsewhere = component("x", "  metadata: [{name: a, envRef: GONE}]\nscopes: [till]\n");
    let loaded = load_with(&folder(&[("a.yaml", &elsewhere)]), &[]);
    assert!(loaded.faults.is_empty() && loaded.notices.len() == 1, "{}", loaded.faults);
}

#[test]
fn a_fault_names_the_line_of_the_file_not_of_the_document() {
    let folder = folder(&[("a.yaml", &format!("kind: x\n---\n\n{SERVED}b: [\n"))]);
    let shown = only_fault(&load_with(&folder, &[]));
    assert!(shown.contains("document 2: ") && shown.contains("line 8 "), "{shown}");
}

#[test]
fn yaml_with_directives_is_read() {
    let text = format!("%YAML 1.2\n%TAG !e! tag:example.com,2000:\n---\n{}", component("x", ""));
    let loaded = load_with(&folder(&[("a.yaml", &text)]), &[]);
    assert_eq!(names(&loaded), ["x"]);
    assert!(loaded.faults.is_empty() && loaded.notices.is_empty(), "{loaded:?}");
}

#[test]
fn numbers_whose_text_changes_give_a_notice_with_component_and_field() {
    let items =
        "  metadata: [{name: version, value: 1.10}, {name: b, value: '1.10'}, {name: secretKey, value: 0x10}]\n";
    let loaded = load_with(&folder(&[("a.yaml", &component("x", items))]), &[]);
    let notices = notices(&loaded);
    assert!(loaded.faults.is_empty() && loaded.notices.len() == 2, "{notices}");
    let expected =
        "document 1: component `x`: field `version`: YAML reads `1.10` as the number `1.1`; put it in quotes";
    assert!(notices.contains(expected) && notices.contains("field `secretKey`: YAML reads this value"), "{notices}");
}

#[test]
fn a_store_that_no_loaded_component_uses_may_be_broken() {
    let unused = with_store("  metadata: [{name: secretsFile, value: /nowhere/x.json}]\n", "{name: s}")
        .replace("bindings.aws.kinesis", "state.redis");
    let loaded = load_with(&folder(&[("a.yaml", &unused)]), &[]);
    assert!(loaded.faults.is_empty() && loaded.notices.len() == 2, "{}", loaded.faults);
    assert!(notices(&loaded).contains("no component that bindd runs refers to this store"));
}

#[test]
fn documents_beyond_the_thousandth_are_faults_only_if_their_type_is_served() {
    let many = "a: 1\n---\n".repeat(1_001);
    let loaded = load_with(&folder(&[("a.yaml", &many)]), &[]);
    assert!(loaded.faults.is_empty() && notices(&loaded).contains("more than 1000; the others are skipped"));
    let text = many + &component("x", "");
    assert!(only_fault(&load_with(&folder(&[("a.yaml", &text)]), &[])).contains("more than 1000; split it"));
}
