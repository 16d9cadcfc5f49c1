//! Files that are not complete: hidden until they get the name of a complete one.

use std::fs::{self, DirEntry};
use std::io::{Error, ErrorKind};
use std::path::PathBuf;

/// The end of their names.
pub const UNFINISHED: &str = ".bindd-tmp";

/// Removes what a process that was killed while it wrote has left in these folders: it may have secrets. `is_left` is
/// whether no running process still writes the file. Returns the files that could not be removed, with the reason.
#[must_use]
pub fn remove_unfinished(paths: &[PathBuf], is_left: impl Fn(&DirEntry) -> bool) -> Vec<(PathBuf, Error)> {
    let mut failed = Vec::new();
    // A path that is no folder has none; one that cannot be read is a fault of the start.
    for entry in paths.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let (name, is_file) = (name.as_encoded_bytes(), entry.file_type().is_ok_and(|kind| kind.is_file()));
        if is_file && name.starts_with(b".") && name.ends_with(UNFINISHED.as_bytes()) && is_left(&entry) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => failed.push((path, error)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_that_a_killed_process_left_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".folder.bindd-tmp")).unwrap();
        symlink("orders.yaml", folder.path().join(".link.bindd-tmp")).unwrap();
        for name in [".orders.yaml.bindd-tmp", "seen.bindd-tmp", ".orders.yaml.swp", "orders.yaml"] {
            fs::write(folder.path().join(name), "text").unwrap();
        }
        let files = || {
            let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let paths = [folder.path().to_owned(), folder.path().join("orders.yaml"), folder.path().join("none")];
        assert!(remove_unfinished(&paths, |_| false).is_empty() && files().len() == 6);
        assert!(remove_unfinished(&paths, |_| true).is_empty());
        let left = [".folder.bindd-tmp", ".link.bindd-tmp", ".orders.yaml.swp", "orders.yaml", "seen.bindd-tmp"];
        assert_eq!(files(), left);
    }
}
