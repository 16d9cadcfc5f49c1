//! The operations on files below a folder. Blocking.

use crate::domain::{BodyMemoryFull, Reservation};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fsync, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// Begins the names of files that are being written. They are never listed.
const UNFINISHED: &str = ".bindd-unfinished-";
/// A list has at most so many files.
pub(super) const MAX_LISTED: usize = 100_000;
/// The paths of a list have at most so many bytes together.
const MAX_LISTED_BYTES: usize = 16 << 20;
/// Folders below each other.
const MAX_DEPTH: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("a file name must not lead out of the folder, or name the folder itself")]
    Outside,
    #[error("file not found")]
    NotFound,
    #[error("a part of the path is a link, which is not followed")]
    Link,
    #[error("it is a folder or another kind of file")]
    NotAFile,
    #[error("it is not a folder")]
    NotAFolder,
    #[error("the folder is not empty")]
    NotEmpty,
    #[error("the file has more than {0} bytes; raise `maxFileSize`")]
    TooLarge(usize),
    #[error("there are more than {MAX_LISTED} files, or more than 16 MiB of paths; list a folder below")]
    TooMany,
    #[error("a file must not be more than {MAX_DEPTH} folders deep")]
    TooDeep,
    #[error(transparent)]
    MemoryFull(#[from] BodyMemoryFull),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::LOOP => Self::Link,
            Errno::NOTDIR => Self::NotAFolder,
            Errno::ISDIR => Self::NotAFile,
            Errno::NOTEMPTY | Errno::EXIST => Self::NotEmpty,
            other => Self::System(other.into()),
        }
    }
}

/// The names of a path below the folder: `a//./b/../c` is `a/c`, and a leading `/` means the folder itself.
///
/// # Errors
/// `Outside` if it leads out of the folder.
pub(super) fn names(path: &str) -> Result<Vec<&str>, FileError> {
    let mut names = Vec::new();
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => names.push(name.to_str().ok_or(FileError::Outside)?),
            Component::CurDir => {}
            Component::ParentDir => {
                names.pop().ok_or(FileError::Outside)?;
            }
            Component::RootDir | Component::Prefix(_) => return Err(FileError::Outside),
        }
    }
    if path.contains('\0') { Err(FileError::Outside) } else { Ok(names) }
}

/// The names of folders, and that of the file in them.
fn split<'n, 'a>(names: &'n [&'a str]) -> Result<(&'a str, &'n [&'a str]), FileError> {
    let (file, folders) = names.split_last().ok_or(FileError::Outside)?;
    if file.starts_with(UNFINISHED) { Err(FileError::Outside) } else { Ok((file, folders)) }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder below `root`, each part in the one before it.
fn folder(root: &Path, names: &[&str], creates: bool) -> Result<OwnedFd, FileError> {
    let mut folder = openat(CWD, root, FOLDER, Mode::empty())?;
    for name in names {
        if creates {
            match mkdirat(&folder, *name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        folder = openat(&folder, *name, FOLDER, Mode::empty()).map_err(|error| not_followed(&folder, name, error))?;
    }
    Ok(folder)
}

/// Linux reports a link as `ENOTDIR` where a folder is wanted.
fn not_followed(folder: &OwnedFd, name: &str, error: Errno) -> FileError {
    let is_link = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
    if is_link { FileError::Link } else { error.into() }
}

/// Stores a file. Folders are created; a file that exists is replaced once the new one is complete and on disk.
pub(super) fn create(root: &Path, names: &[&str], data: &[u8], unique: &str) -> Result<(), FileError> {
    let (name, folders) = split(names)?;
    // Otherwise no list would have it.
    if folders.len() > MAX_DEPTH {
        return Err(FileError::TooDeep);
    }
    let folder = folder(root, folders, true)?;
    match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(FileError::Link),
            _ => return Err(FileError::NotAFile),
        },
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let unfinished = format!("{UNFINISHED}{unique}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, &unfinished, flags, Mode::from_raw_mode(0o666))?);
    let stored = file
        .write_all(data)
        .and_then(|()| file.sync_all())
        .map_err(FileError::from)
        .and_then(|()| Ok(renameat(&folder, &unfinished, &folder, name)?));
    if stored.is_err() {
        // The first error says more than one of this call.
        if let Err(error) = unlinkat(&folder, &unfinished, AtFlags::empty()) {
            tracing::debug!(%error, unfinished, "unfinished file was not removed");
        }
        return stored;
    }
    // The name is on disk only with its folder. Some file systems cannot do this, and the data are there anyway.
    if let Err(error) = fsync(&folder) {
        tracing::debug!(%error, "folder was not flushed to the disk");
    }
    Ok(())
}

/// Reads a file of at most `max` bytes, as long as it is when it is opened. Its memory is reserved before it is read.
pub(super) fn get(root: &Path, names: &[&str], max: usize, memory: &mut Reservation) -> Result<Vec<u8>, FileError> {
    let (name, folders) = split(names)?;
    let folder = folder(root, folders, false)?;
    // A pipe must not block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(&folder, name, flags, Mode::empty())?);
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(FileError::NotAFile);
    }
    let size = usize::try_from(about.len()).ok().filter(|size| *size <= max).ok_or(FileError::TooLarge(max))?;
    memory.grow(size)?;
    let mut data = Vec::with_capacity(size);
    file.take(about.len()).read_to_end(&mut data)?;
    Ok(data)
}

/// Deletes a file, a link, or an empty folder.
pub(super) fn delete(root: &Path, names: &[&str]) -> Result<(), FileError> {
    let (name, folders) = split(names)?;
    let folder = folder(root, folders, false)?;
    match unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => Ok(()),
        // Linux says `EISDIR` for a folder, POSIX `EPERM`.
        Err(Errno::ISDIR | Errno::PERM) => Ok(unlinkat(&folder, name, AtFlags::REMOVEDIR)?),
        Err(error) => Err(error.into()),
    }
}

/// The files below a folder.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// In the order of their names. Links are listed and not followed.
    pub(super) files: Vec<PathBuf>,
    /// Folders whose files are left out, because they are more than 64 folders below the one that is listed.
    pub(super) too_deep: usize,
    bytes: usize,
}

impl Listed {
    fn add(&mut self, file: PathBuf) -> Result<(), FileError> {
        self.bytes += file.as_os_str().len();
        if self.bytes > MAX_LISTED_BYTES {
            return Err(FileError::TooMany);
        }
        self.files.push(file);
        Ok(())
    }
}

/// The paths of all files below a folder.
pub(super) fn list(root: &Path, names: &[&str]) -> Result<Listed, FileError> {
    let start = folder(root, names, false)?;
    let mut files = Listed::default();
    let path = names.iter().fold(root.to_owned(), |path, name| path.join(name));
    walk(&start, &path, MAX_DEPTH, &mut files)?;
    Ok(files)
}

fn walk(folder: &OwnedFd, path: &Path, depth: usize, listed: &mut Listed) -> Result<(), FileError> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !matches!(name.as_str(), "." | "..") && !name.starts_with(UNFINISHED) {
            entries.push((name, entry.file_name().to_owned()));
        }
        if entries.len() + listed.files.len() > MAX_LISTED {
            return Err(FileError::TooMany);
        }
    }
    entries.sort_unstable();
    for (name, raw) in entries {
        match openat(folder, &raw, FOLDER, Mode::empty()) {
            Ok(below) if depth > 0 => walk(&below, &path.join(&name), depth - 1, listed)?,
            Ok(_) => listed.too_deep += 1,
            Err(Errno::NOTDIR | Errno::LOOP) => listed.add(path.join(&name))?,
            // Deleted meanwhile.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/files.rs"]
mod tests;
