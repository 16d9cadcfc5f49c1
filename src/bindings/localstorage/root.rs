//! The folder of a component.

use crate::domain::{BindingError, FailureKind};
use std::path::{Path, PathBuf};

/// Folders of the system and of secrets, which Dapr refuses too.
const FORBIDDEN: [&str; 4] = ["/proc", "/sys", "/boot", "/var/run/secrets"];

/// Creates the folder if it is missing, and returns its path without links.
///
/// # Errors
/// `Caller` when it cannot be created, is no folder, or is a forbidden one.
pub(super) fn open(written: &Path) -> Result<PathBuf, BindingError> {
    let unusable = |why: &str| unusable(written, why);
    let absolute = allowed(written)?;
    std::fs::create_dir_all(&absolute).map_err(|error| unusable("cannot be created").with_source(error))?;
    let root = absolute.canonicalize().map_err(|error| unusable("cannot be opened").with_source(error))?;
    if is_forbidden(&root) {
        return Err(unusable("is in a folder of the system, which is not allowed"));
    }
    if root.is_dir() { Ok(root) } else { Err(unusable("is not a folder")) }
}

/// Whether the folder exists; nothing is created.
///
/// # Errors
/// `Caller` when it is no folder, or is a forbidden one.
pub(super) fn exists(written: &Path) -> Result<bool, BindingError> {
    let absolute = allowed(written)?;
    if absolute.exists() && !absolute.is_dir() {
        return Err(unusable(written, "is not a folder"));
    }
    Ok(absolute.exists())
}

/// The absolute path, if it is not a forbidden one.
fn allowed(written: &Path) -> Result<PathBuf, BindingError> {
    let absolute = std::path::absolute(written).map_err(|error| unusable(written, "is no path").with_source(error))?;
    if is_forbidden(&absolute) || is_forbidden(&resolved(&absolute)) {
        return Err(unusable(written, "is in a folder of the system, which is not allowed"));
    }
    Ok(absolute)
}

fn unusable(written: &Path, why: &str) -> BindingError {
    let text = format!("field `rootPath`: {} {why}; name a folder that bindd may write to", written.display());
    BindingError::new(FailureKind::Caller, text)
}

/// Whether a path is in a forbidden folder, by its name or where its links lead: `/var/run` is often a link to `/run`.
fn is_forbidden(path: &Path) -> bool {
    FORBIDDEN.iter().any(|forbidden| {
        let resolved = resolved(Path::new(forbidden));
        path.starts_with(forbidden) || path.starts_with(resolved)
    })
}

/// The path with the links of the part that exists.
fn resolved(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|existing| Some((existing, existing.canonicalize().ok()?)));
    match found {
        Some((existing, target)) => match path.strip_prefix(existing) {
            Ok(rest) if !rest.as_os_str().is_empty() => target.join(rest),
            Ok(_) | Err(_) => target,
        },
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let root = open(&folder.path().join("a/b")).unwrap();
        assert!(root.is_dir() && root.ends_with("a/b"));
        std::fs::write(root.join("file"), "").unwrap();
        assert!(open(&root.join("file")).unwrap_err().to_string().contains("cannot be created"));
    }

    #[test]
    fn folders_of_the_system_are_refused_also_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        for path in [Path::new("/proc"), Path::new("/sys/x"), Path::new("/var/run/secrets/app"), &link, &link.join("x")]
        {
            let error = open(path).unwrap_err().to_string();
            assert!(error.contains("not allowed"), "{}: {error}", path.display());
        }
        assert!(!is_forbidden(Path::new("/processes")));
    }
}
