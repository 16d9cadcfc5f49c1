use super::*;
use crate::testing::within;
use std::fs;
use std::os::unix::fs::symlink;

/// Waits for a report, and returns whether another one is ready after it.
async fn reported(watch: &mut FileWatch) {
    within("a change to be reported", watch.changed()).await;
    watch.refresh();
    assert!(watch.is_complete(), "{watch:?}");
}

#[tokio::test]
async fn changes_of_files_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (own, file) = (folder.path().join("components"), folder.path().join("components/a.yaml"));
    fs::create_dir(&own).unwrap();
    let mut watch = FileWatch::start(std::slice::from_ref(&own));
    assert!(watch.is_complete(), "{watch:?}");
    fs::write(&file, "a").unwrap();
    reported(&mut watch).await;
    fs::write(folder.path().join("b.yaml"), "b").unwrap();
    fs::rename(folder.path().join("b.yaml"), &file).unwrap();
    reported(&mut watch).await;
    fs::remove_file(&file).unwrap();
    reported(&mut watch).await;
}

#[tokio::test]
async fn a_file_is_watched_although_another_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, "a").unwrap();
    let mut watch = FileWatch::start(std::slice::from_ref(&file));
    for text in ["b", "c"] {
        fs::write(folder.path().join("next"), text).unwrap();
        fs::rename(folder.path().join("next"), &file).unwrap();
        reported(&mut watch).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_created_again_is_watched_again() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("components");
    fs::create_dir(&own).unwrap();
    let mut watch = FileWatch::start(std::slice::from_ref(&own));
    fs::remove_dir(&own).unwrap();
    reported(&mut watch).await;
    fs::create_dir(&own).unwrap();
    reported(&mut watch).await;
    fs::write(own.join("a.yaml"), "a").unwrap();
    reported(&mut watch).await;
}

#[tokio::test]
async fn a_swapped_link_to_a_folder_is_reported_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("components");
    for name in ["one", "two"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    symlink(folder.path().join("one"), &own).unwrap();
    let mut watch = FileWatch::start(std::slice::from_ref(&own));
    symlink(folder.path().join("two"), folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), &own).unwrap();
    reported(&mut watch).await;
    fs::write(folder.path().join("two/a.yaml"), "a").unwrap();
    reported(&mut watch).await;
}

#[test]
fn a_path_that_cannot_be_watched_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = FileWatch::start(&[folder.path().join("absent/components")]);
    assert!(!watch.is_complete() && watch.failure().is_some(), "{watch:?}");
    fs::create_dir(folder.path().join("absent")).unwrap();
    watch.refresh();
    assert!(watch.is_complete(), "the folder that holds it is watched: {watch:?}");
}

#[test]
fn reading_a_file_is_no_change() {
    let own = [PathBuf::from("/components")];
    let event = |kind, path: &str| Event::new(kind).add_path(path.into());
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    assert!(concerns(&event(written, "/components/a.yaml"), &own));
    assert!(concerns(&event(EventKind::Any, "/components"), &own));
    assert!(!concerns(&event(EventKind::Any, "/components/deep/a.yaml"), &own));
    assert!(!concerns(&event(EventKind::Any, "/other"), &own));
    for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read)] {
        assert!(!concerns(&event(EventKind::Access(kind), "/components/a.yaml"), &own));
    }
}
