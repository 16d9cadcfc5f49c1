use super::*;
use crate::domain::BodyMemory;
use proptest::prelude::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn root() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn store(root: &TempDir, path: &str, data: &[u8]) -> Result<(), FileError> {
    create(root.path(), &names(path)?, data, "1")
}

fn read(root: &TempDir, path: &str) -> Result<Vec<u8>, FileError> {
    get(root.path(), &names(path)?, 1_000, &mut BodyMemory::new(None).reservation())
}

#[test]
fn a_file_is_stored_replaced_read_and_deleted() {
    let root = root();
    store(&root, "/a/b/../c.txt", b"one").unwrap();
    store(&root, "a/c.txt", b"two").unwrap();
    assert_eq!(read(&root, "a//c.txt").unwrap(), b"two");
    assert!(matches!(store(&root, "a", b"x"), Err(FileError::NotAFile)));
    assert!(matches!(store(&root, "a/c.txt/d", b"x"), Err(FileError::NotAFolder)));
    delete(root.path(), &["a", "c.txt"]).unwrap();
    assert!(matches!(read(&root, "a/c.txt"), Err(FileError::NotFound)));
    delete(root.path(), &["a"]).unwrap();
    assert!(matches!(delete(root.path(), &["a"]), Err(FileError::NotFound)));
}

#[test]
fn a_file_that_cannot_be_stored_leaves_nothing_behind() {
    let root = root();
    store(&root, "a", b"one").unwrap();
    // The name for the unfinished file is taken.
    std::fs::write(root.path().join(format!("{UNFINISHED}1")), "").unwrap();
    assert!(store(&root, "a", b"two").is_err());
    assert_eq!(read(&root, "a").unwrap(), b"one");
    assert_eq!(list(root.path(), &[]).unwrap().files, [root.path().join("a")], "an unfinished file is not listed");
    assert!(matches!(read(&root, &format!("{UNFINISHED}1")), Err(FileError::Outside)));
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let root = root();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    symlink(outside.path(), root.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
    for path in ["../x", "a/../../x", "..", "a\0b"] {
        assert!(matches!(names(path), Err(FileError::Outside)), "{path}");
    }
    assert!(matches!(read(&root, "folder/secret"), Err(FileError::Link)));
    assert!(matches!(read(&root, "file"), Err(FileError::Link)));
    assert!(matches!(store(&root, "folder/new", b"x"), Err(FileError::Link)));
    assert!(matches!(store(&root, "file", b"x"), Err(FileError::Link)));
    assert!(matches!(list(root.path(), &["folder"]), Err(FileError::Link)));
    assert_eq!(list(root.path(), &[]).unwrap().files, ["file", "folder"].map(|name| root.path().join(name)));
    // Only the link is deleted.
    delete(root.path(), &["file"]).unwrap();
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "s");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_file_or_too_large_is_not_read() {
    let root = root();
    store(&root, "large", &[0; 1_001]).unwrap();
    assert!(matches!(read(&root, "large"), Err(FileError::TooLarge(1_000))));
    store(&root, "a/b", b"x").unwrap();
    assert!(matches!(read(&root, "a"), Err(FileError::NotAFile)));
    assert!(matches!(read(&root, ""), Err(FileError::Outside)));
    assert!(matches!(delete(root.path(), &["a"]), Err(FileError::NotEmpty)));
    assert!(matches!(list(root.path(), &["large"]), Err(FileError::NotAFolder)));
}

#[test]
fn files_are_listed_in_the_order_of_their_names() {
    let root = root();
    for path in ["b", "a/2", "a/1/x", "c"] {
        store(&root, path, b"").unwrap();
    }
    let listed = |names: &[&str]| -> Vec<String> {
        let files = list(root.path(), names).unwrap().files;
        files.iter().map(|file| file.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&[]), ["a/1/x", "a/2", "b", "c"]);
    assert_eq!(listed(&["a"]), ["a/1/x", "a/2"]);
}

#[test]
fn a_file_in_too_many_folders_is_refused_and_does_not_break_a_list() {
    let root = root();
    let deep = |folders: usize| "d/".repeat(folders) + "file";
    store(&root, &deep(MAX_DEPTH), b"").unwrap();
    assert!(matches!(store(&root, &deep(MAX_DEPTH + 1), b""), Err(FileError::TooDeep)));
    let listed = list(root.path(), &[]).unwrap();
    assert_eq!((listed.files.len(), listed.too_deep), (1, 0));
    // Another program may have stored it.
    std::fs::create_dir_all(root.path().join("d/".repeat(MAX_DEPTH + 1))).unwrap();
    std::fs::write(root.path().join(deep(MAX_DEPTH + 1)), "").unwrap();
    let listed = list(root.path(), &[]).unwrap();
    assert_eq!((listed.files.len(), listed.too_deep), (1, 1));
    assert_eq!(list(root.path(), &["d"]).unwrap().files.len(), 2);
}

proptest! {
    #[test]
    fn the_names_of_any_path_stay_below(path in "[./a-c]{0,20}") {
        if let Ok(names) = names(&path) {
            prop_assert!(names.iter().all(|name| !name.contains('/') && !matches!(*name, "" | "." | "..")));
        }
    }
}
