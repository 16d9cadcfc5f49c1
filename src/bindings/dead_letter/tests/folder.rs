use super::*;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

use super::super::fixtures::letter;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn each_record_is_one_private_file_and_a_repetition_replaces_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let store = FolderStore::open(folder.clone()).await.unwrap();
    assert_eq!((mode(&folder), names(&folder)), (0o700, vec![]));
    for (data, sub) in [("first", 0), ("other", 1), ("again", 0)] {
        store.store(&letter(data, sub)).await.unwrap();
    }
    let expected = ["orders_orders_shardId-000000000003_4959_0.json", "orders_orders_shardId-000000000003_4959_1.json"];
    assert_eq!(names(&folder), expected);
    let path = folder.join(expected[0]);
    let content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((mode(&path), &content["data"]), (0o600, &Value::from("again")));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_reported_at_the_start() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let error = FolderStore::open(folder).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        assert!(error.to_string().contains("`deadLetterFolder`: files cannot be written in"), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("letters");
    let store = FolderStore::open(folder.clone()).await.unwrap();
    // A folder with the name of the file makes the rename fail.
    fs::create_dir(folder.join(file_name(&letter("x", 0)))).unwrap();
    let error = store.store(&letter("x", 0)).await.unwrap_err();
    assert!(error.to_string().contains("could not be written"), "{error}");
    assert_eq!(names(&folder).len(), 1);
    store.store(&letter("y", 1)).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_was_removed_is_created_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("letters");
    let store = FolderStore::open(folder.clone()).await.unwrap();
    fs::remove_dir(&folder).unwrap();
    store.store(&letter("x", 0)).await.unwrap();
    assert_eq!(names(&folder).len(), 1);
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    let error = store.store(&letter("y", 1)).await.unwrap_err();
    assert!(error.to_string().contains("could not be written"), "{error}");
}

#[tokio::test]
async fn old_incomplete_files_are_removed_at_the_start_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (old, young, seen) = (format!(".a.1{UNFINISHED}"), format!(".a.2{UNFINISHED}"), format!("a{UNFINISHED}"));
    let (other, link, below) = ("old.json".to_owned(), format!(".b{UNFINISHED}"), format!(".c{UNFINISHED}"));
    for name in [&old, &young, &seen, &other] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    fs::create_dir(folder.path().join(&below)).unwrap();
    std::os::unix::fs::symlink(&other, folder.path().join(&link)).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in [&old, &seen, &other, &below] {
        File::open(folder.path().join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    FolderStore::open(folder.path().to_owned()).await.unwrap();
    assert_eq!(names(folder.path()), [young, link, below, seen, other]);
}

#[test]
fn names_are_safe_distinct_and_short() {
    let mut strange = letter("x", 0);
    strange.stream = "../a_b/ü".into();
    assert_eq!(file_name(&strange), "orders_%2E.%2Fa%5Fb%2F%C3%BC_shardId-000000000003_4959_0.json");
    let long = |stream: String, sub| DeadLetter { stream: stream.into(), ..letter("x", sub) };
    let all = [
        file_name(&long("x".repeat(300), 0)),
        file_name(&long("x".repeat(301), 0)),
        file_name(&long("x".repeat(300), 1)),
        file_name(&long("\u{fc}".repeat(300), u64::MAX)),
    ];
    assert!(all.iter().all(|name| name.len() <= MAX_NAME && name.ends_with(EXTENSION)), "{all:?}");
    assert!((1..all.len()).all(|index| !all[..index].contains(&all[index])), "{all:?}");
    assert!(temporary_name(&all[0]).len() <= 255);
}
