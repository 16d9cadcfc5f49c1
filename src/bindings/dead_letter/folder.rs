//! Keeps records that an input gave up as files, one per record (`deadLetterFolder`).
//!
//! A file appears complete or not at all: it is written under another name, synced and renamed. Its name is that of the
//! record, so a repeated call replaces it.

use super::content;
use super::copy_memory::CopyMemory;
use crate::domain::{BindingError, DeadLetter, DeadLetterStore, FailureKind, Outcome, StreamIdentity};
use crate::manifest::{UNFINISHED, remove_unfinished};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Write as _;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The file system's limit is 255 bytes; the temporary name is longer.
const MAX_NAME: usize = 190;
const EXTENSION: &str = ".json";
/// Time limit of one attempt to store a dead letter, such as on a network file system that hangs. The caller repeats it.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
/// No write takes so long.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);
/// Only for the user that bindd runs as, because records may be confidential.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

#[derive(Debug)]
pub(in crate::bindings) struct FolderStore {
    folder: Arc<Path>,
    memory: CopyMemory,
}

impl FolderStore {
    /// Creates the folder if it does not exist, and checks that files can be written in it.
    ///
    /// # Errors
    /// `Caller` when the folder cannot be used.
    pub(in crate::bindings) async fn open(folder: PathBuf) -> Result<Self, BindingError> {
        let folder: Arc<Path> = folder.into();
        let checked = Arc::clone(&folder);
        blocking(move || check(&checked)).await.map_err(|error| {
            let text = format!(
                "`deadLetterFolder`: files cannot be written in {}: {error}; create the folder and give the user that \
                 bindd runs as the right to write in it",
                folder.display()
            );
            BindingError::new(FailureKind::Caller, text).with_source(error)
        })?;
        Ok(Self { folder, memory: CopyMemory::default() })
    }
}

#[async_trait]
impl DeadLetterStore for FolderStore {
    async fn store(&self, letter: &DeadLetter) -> Result<(), BindingError> {
        let _memory = self.memory.reserve(letter).await;
        let data = content::of_input(letter).map_err(|error| {
            BindingError::new(FailureKind::Permanent, "the dead letter could not be serialised").with_source(error)
        })?;
        let (folder, name) = (Arc::clone(&self.folder), file_name(letter));
        let written = tokio::time::timeout(STORE_TIMEOUT, blocking(move || write(&folder, &name, &data))).await;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("not written within {STORE_TIMEOUT:?}"));
        written.unwrap_or_else(|_| Err(late())).map_err(|error| {
            let text = format!(
                "a dead letter could not be written in {}: {error}; free space, or correct `deadLetterFolder`",
                self.folder.display()
            );
            BindingError::new(FailureKind::Unavailable, text).with_outcome(Outcome::Unknown).with_source(error)
        })
    }
}

/// Runs file operations where they do not block other tasks. They end even if the future is dropped.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn create_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

fn check(folder: &Path) -> io::Result<()> {
    create_folder(folder)?;
    let probe = folder.join(temporary_name("probe"));
    let written = create(&probe).and_then(|mut file| file.write_all(b"probe"));
    let removed = fs::remove_file(&probe);
    written.and(removed)?;
    remove_leftovers(folder);
    Ok(())
}

/// Removes what a process left that ended while it wrote. Another process may share the folder and be writing the younger
/// ones. Should it take longer after all, its write fails and is repeated.
fn remove_leftovers(folder: &Path) {
    // An entry that is gone by now, or has no time, is left alone.
    let age = |entry: &DirEntry| entry.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok();
    let is_left = |entry: &DirEntry| age(entry).is_some_and(|age| age > LEFTOVER_AGE);
    for (path, error) in remove_unfinished(&[folder.to_owned()], is_left) {
        tracing::warn!(path = %path.display(), %error, "incomplete dead letter not removed");
    }
}

fn write(folder: &Path, name: &str, data: &Bytes) -> io::Result<()> {
    // It may have been removed since the start.
    create_folder(folder)?;
    let temporary = folder.join(temporary_name(name));
    let written = create(&temporary).and_then(|mut file| {
        file.write_all(data)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, folder.join(name)));
    if renamed.is_err() {
        // It may not exist. If it cannot be removed, it is only left over: its name says that it is not complete.
        drop(fs::remove_file(&temporary));
    }
    renamed?;
    // The new name is durable only after this.
    File::open(folder)?.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Unique, because two processes may write the same record when a lease moves.
fn temporary_name(name: &str) -> String {
    format!(".{name}.{}{UNFINISHED}", uuid::Uuid::new_v4().simple())
}

/// `<component>_<stream>_<shard>_<sequence>_<sub-sequence>.json`. In each part, characters other than letters, digits, `-`
/// and `.` are escaped as `%XX`, so the parts cannot be mixed up.
fn file_name(letter: &DeadLetter) -> String {
    let origin = &letter.event.origin;
    let stream = stream_name(&letter.stream);
    let mut name = String::new();
    for part in [letter.binding.as_str(), stream, origin.shard.as_str(), origin.position.sequence.as_str()] {
        escape_into(&mut name, part);
        name.push('_');
    }
    let (end, stem) = (format!("{}{EXTENSION}", origin.position.sub_sequence), name);
    if stem.len() + end.len() <= MAX_NAME {
        return stem + &end;
    }
    // Components, streams and shards have long names only in theory. All of the stem counts in its hash.
    let start: String = stem.chars().take(MAX_NAME - 48 - end.len()).collect();
    let hash = md5_hex(stem.as_bytes());
    format!("{start}_{hash}_{end}")
}

fn md5_hex(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    Md5::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a `String` never fails.
        if write!(hex, "{byte:02x}").is_err() {
            hex.clear();
        }
        hex
    })
}

/// The name in an ARN, or the name itself.
fn stream_name(stream: &str) -> &str {
    if StreamIdentity::is_arn(stream) { stream.rsplit('/').next().unwrap_or(stream) } else { stream }
}

fn escape_into(name: &mut String, part: &str) {
    for (index, byte) in part.bytes().enumerate() {
        // A leading dot would hide the file.
        let is_plain = byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'.' && index > 0);
        if is_plain {
            name.push(char::from(byte));
        } else if write!(name, "%{byte:02X}").is_err() {
            // Writing to a `String` never fails.
            return;
        }
    }
}

#[cfg(test)]
#[path = "tests/folder.rs"]
mod tests;
