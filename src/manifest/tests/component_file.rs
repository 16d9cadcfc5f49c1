use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

const TEXT: &str = "kind: Component\nmetadata:\n  name: orders\nspec:\n  type: bindings.cron\n";

fn document() -> RawDocument {
    RawDocument::parse(TEXT, DocumentFormat::Yaml).unwrap()
}

fn place(path: &Path) -> Place {
    Place { file: path.to_string_lossy().into_owned(), document: 1 }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn refused(result: Result<StagedFile, FileError>) -> String {
    match result {
        Err(FileError::NotAllowed(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_document_gets_a_file_that_only_its_user_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let staged = document().stage(FileTarget::NewIn(folder.path())).unwrap();
    assert_eq!(files(folder.path()), [".orders.yaml.bindd-tmp"]);
    staged.commit().unwrap();
    let path = folder.path().join("orders.yaml");
    assert_eq!(
        (files(folder.path()), fs::read_to_string(&path).unwrap()),
        (vec!["orders.yaml".to_owned()], TEXT.to_owned())
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(refused(document().stage(FileTarget::NewIn(folder.path()))).contains("exists and is not the file"));
    assert!(refused(document().stage(FileTarget::NewIn(&path))).contains("is not a folder"));
    remove_document(&place(&path), &document()).unwrap();
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[test]
fn a_document_replaces_that_of_its_file_in_the_same_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.json");
    fs::write(&path, format!("{}", document().0)).unwrap();
    fs::write(folder.path().join(".any.json.bindd-tmp"), "left of a process that was killed").unwrap();
    let changed = document().with_disabled(true);
    let target = (place(&path), document());
    changed.stage(FileTarget::Existing { place: &target.0, document: &target.1 }).unwrap().commit().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(RawDocument::parse(&text, DocumentFormat::Json), Ok(changed));
    assert_eq!(files(folder.path()), ["any.json"]);
}

#[test]
fn a_data_connector_and_a_document_with_a_status_are_recognized_in_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let connector = r#"{"type": "aws-kinesis", "id": "orders", "stream": "orders"}"#;
    for (name, text, document) in [
        ("connector.json", connector.to_owned(), RawDocument::of_connector(connector).unwrap()),
        ("status.yaml", format!("{TEXT}status: {{state: running}}\n"), document()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        remove_document(&place(&path), &document).unwrap();
    }
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[test]
fn files_that_may_not_be_changed_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let two = write("two.yaml", &format!("{TEXT}---\n{}", TEXT.replace("orders", "other")));
    let edited = write("edited.yaml", &TEXT.replace("cron", "http"));
    let broken = write("broken.yaml", "{broken");
    let link = folder.path().join("link.yaml");
    symlink(write("target.yaml", TEXT), &link).unwrap();
    for (path, problem) in [
        (two, "has 2 documents"),
        (edited, "was edited meanwhile"),
        (broken, "cannot be read as a document now; correct or remove it"),
        (link, "is a link"),
    ] {
        let (place, document) = (place(&path), document());
        let before = fs::read_to_string(&path).unwrap();
        let text = refused(document.stage(FileTarget::Existing { place: &place, document: &document }));
        assert!(text.contains(problem), "{text}");
        assert!(matches!(remove_document(&place, &document), Err(FileError::NotAllowed(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
}

#[test]
fn the_longest_names_of_files_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for (name, fits) in [("n".repeat(250), true), ("n".repeat(251), false), (".".repeat(242), false)] {
        assert_eq!(fits_new_file(&name), fits, "{name}");
    }
    for name in ["n".repeat(250), "\u{fc}".repeat(125), ".".repeat(241)] {
        let document = document().named(&name);
        document.stage(FileTarget::NewIn(folder.path())).unwrap().commit().unwrap();
    }
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn an_edit_between_the_two_steps_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.yaml");
    fs::write(&path, TEXT).unwrap();
    let (place, document) = (place(&path), document());
    let target = FileTarget::Existing { place: &place, document: &document };
    let staged = document.clone().with_disabled(true).stage(target).unwrap();
    fs::write(&path, "# edited\n").unwrap();
    assert!(matches!(staged.commit(), Err(FileError::NotAllowed(_))));
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path()).len()), ("# edited\n", 1));
}

#[test]
fn a_file_that_was_created_between_the_two_steps_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let staged = document().stage(FileTarget::NewIn(folder.path())).unwrap();
    let path = folder.path().join("orders.yaml");
    fs::write(&path, "# of another tool\n").unwrap();
    let Err(FileError::NotAllowed(text)) = staged.commit() else { panic!("it was committed") };
    assert!(text.contains("exists and is not the file of this component"), "{text}");
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path()).len()), ("# of another tool\n", 1));
}
