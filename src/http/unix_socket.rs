//! A Unix socket of the API, for clients that can write to its folder.

use super::bind_error::BindError;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// What the system accepts; the last byte is a zero.
const MAX_PATH: usize = 107;
/// Read and write, for the user and the group of the process: an app in another container often has only the group.
const MODE: u32 = 0o660;

/// An open socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file, so that the file of a later process is not removed.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Listens at `path`. A socket file without a listener is replaced.
    ///
    /// # Errors
    /// When the path is too long, or taken by another process or another kind of file.
    pub(super) fn bind(path: PathBuf) -> Result<Self, BindError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(BindError::PathTooLong { path, length, max: MAX_PATH });
        }
        let failed = |source| BindError::Socket { path: path.clone(), source };
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(MODE)).map_err(failed)?;
        let file = identity(&path);
        Ok(Self { listener, path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_none() || identity(&self.path) != self.file {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "socket file could not be removed");
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Socket { path: path.to_owned(), source };
    let file = match std::fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !file.file_type().is_socket() {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Ok(_) => Err(BindError::SocketTaken(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_the_file_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dapr-shop-http.socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a process that crashes leaves it");
        let socket = UnixSocket::bind(path.clone()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(UnixSocket::bind(path.clone()), Err(BindError::SocketTaken(_))), "it is in use");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn other_files_and_the_socket_of_a_later_process_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        std::fs::write(&path, "text").unwrap();
        assert!(matches!(UnixSocket::bind(path.clone()), Err(BindError::NotASocket(_))));
        std::fs::remove_file(&path).unwrap();
        let first = UnixSocket::bind(path.clone()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = UnixSocket::bind(path.clone()).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_long_path_and_a_missing_folder_have_clear_errors() {
        let long = UnixSocket::bind(format!("/{}", "x".repeat(MAX_PATH)).into()).unwrap_err();
        assert!(long.to_string().contains("108 bytes") && long.to_string().contains("--unix-domain-socket"), "{long}");
        let missing = UnixSocket::bind("/nowhere/at/all/x.socket".into()).unwrap_err();
        assert!(missing.to_string().contains("--unix-domain-socket"), "{missing}");
    }
}
