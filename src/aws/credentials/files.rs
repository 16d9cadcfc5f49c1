//! Noticing that a file was changed, by what the file system says about it.

use std::fs::Metadata;
use std::path::PathBuf;
use std::time::SystemTime;

/// What a file looked like: time of change, size and, where there is one, inode. `None` when it was not there.
pub(super) type Print = Option<(Option<SystemTime>, u64, u64)>;

/// Looks at files without opening them. Blocks for as long as the file system takes for a `stat`.
pub(super) fn prints(paths: &[PathBuf]) -> Vec<Print> {
    // Kubernetes swaps a link when it renews a mounted secret, so links are followed.
    let look = |path: &PathBuf| std::fs::metadata(path).ok().map(|found| print_of(&found));
    paths.iter().map(look).collect()
}

fn print_of(found: &Metadata) -> (Option<SystemTime>, u64, u64) {
    (found.modified().ok(), found.len(), inode(found))
}

#[cfg(unix)]
fn inode(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
const fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_a_replacement_and_a_birth_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let paths = [path.clone()];
        let absent = prints(&paths);
        fs::write(&path, "one").unwrap();
        let first = prints(&paths);
        assert_ne!(absent, first);
        assert_eq!(first, prints(&paths));
        fs::write(&path, "longer").unwrap();
        let second = prints(&paths);
        assert_ne!(first, second);
        // Same size and, it may be, the same moment: only the inode tells.
        fs::write(folder.path().join("new"), "LONGER").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_ne!(second, prints(&paths));
    }
}
