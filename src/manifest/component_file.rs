//! Writes a component document into a file, and removes it: as a whole or not at all, also if the process is killed.

use super::folder::{Dialect, Unreadable, dialect, read_text};
use super::split::{is_blank, split};
use super::unfinished::UNFINISHED;
use super::write_yaml::to_yaml;
use super::{DocumentFormat, Place, RawDocument, data_connector};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Only the user of the daemon may read what may have secrets.
const MODE: u32 = 0o600;

/// Why a document was not written or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The file is not one that may be changed; the text says what to do.
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    Io(String),
}

/// A document that is written beside its file and takes its place with [`StagedFile::commit`]. Dropping it removes it.
#[derive(Debug)]
pub struct StagedFile {
    temporary: PathBuf,
    target: PathBuf,
    /// The text that is replaced; `None` for a new file.
    replaced: Option<String>,
    is_committed: bool,
}

/// Where a document is, or is to be written.
#[derive(Debug, Clone, Copy)]
pub enum FileTarget<'a> {
    /// In place of this document, which must be the only one of its file.
    Existing { place: &'a Place, document: &'a RawDocument },
    /// Into a new file of this folder.
    NewIn(&'a Path),
}

impl RawDocument {
    /// Writes the document and its content to the disk, beside the file that it is for.
    ///
    /// # Errors
    /// When the file has other documents, is a link or is not what was read, or when it cannot be written.
    pub fn stage(&self, target: FileTarget<'_>) -> Result<StagedFile, FileError> {
        let name = self.name().unwrap_or_default();
        let (path, replaced) = match target {
            FileTarget::Existing { place, document } => {
                let path = PathBuf::from(&place.file);
                let text = only_document(&path, document)?;
                (path, Some(text))
            }
            FileTarget::NewIn(folder) => (new_file(folder, &name)?, None),
        };
        let (text, format) = match dialect(&path) {
            Some(Dialect::Json) => (format!("{:#}\n", self.0), DocumentFormat::Json),
            Some(Dialect::Yaml) | None => (to_yaml(&self.0), DocumentFormat::Yaml),
        };
        // A file that cannot be read would stop the next start.
        Self::parse(&text, format).map_err(|problem| {
            FileError::NotAllowed(format!("the document cannot be written into {}: {problem}", path.display()))
        })?;
        let temporary = temporary_of(&path);
        let staged = StagedFile { temporary, target: path, replaced, is_committed: false };
        write_whole(&staged.temporary, &text).map_err(|error| io(&staged.target, &error))?;
        Ok(staged)
    }
}

impl StagedFile {
    /// The path of the file.
    #[must_use]
    pub fn file(&self) -> String {
        self.target.to_string_lossy().into_owned()
    }

    /// Lets it take the place of the file. Whether that is on the disk for certain, also after a loss of power.
    ///
    /// # Errors
    /// When the file is not what it was when the document was staged, or when it cannot be replaced.
    pub fn commit(mut self) -> Result<bool, FileError> {
        let placed = match &self.replaced {
            Some(known) if read_text(&self.target).is_ok_and(|text| text == *known) => {
                fs::rename(&self.temporary, &self.target)
            }
            Some(_) => return Err(edited(&self.target)),
            None => self.create(),
        };
        match placed {
            Ok(()) => self.is_committed = true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken(&self.target)),
            Err(error) => return Err(io(&self.target, &error)),
        }
        Ok(sync_folder(&self.target).is_ok())
    }

    /// Fails if there is a file of this name, also one that was created at the same moment.
    fn create(&self) -> std::io::Result<()> {
        match fs::hard_link(&self.temporary, &self.target) {
            Ok(()) => {
                // A name that stays is not read, and is removed at the next start.
                fs::remove_file(&self.temporary).ok();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // Some file systems have no hard links.
            Err(_) => Ok(renameat_with(CWD, &self.temporary, CWD, &self.target, RenameFlags::NOREPLACE)?),
        }
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_committed {
            // A file that stays is not read, as its name says that it is none.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// Removes the file of a document, which must be the only one in it.
///
/// # Errors
/// As [`RawDocument::stage`].
pub fn remove_document(place: &Place, document: &RawDocument) -> Result<(), FileError> {
    let path = PathBuf::from(&place.file);
    only_document(&path, document)?;
    fs::remove_file(&path).map_err(|error| io(&path, &error))?;
    // It is removed for every reader; only after a loss of power it may be back.
    sync_folder(&path).ok();
    Ok(())
}

/// The text of a file that has only this document.
fn only_document(path: &Path, document: &RawDocument) -> Result<String, FileError> {
    let shown = path.display();
    let about = fs::symlink_metadata(path).map_err(|error| io(path, &error))?;
    if about.file_type().is_symlink() {
        return Err(FileError::NotAllowed(format!(
            "{shown} is a link, as Kubernetes mounts files; change the component where the link comes from"
        )));
    }
    let text = read_text(path).map_err(|error| match error {
        Unreadable::Io(error) => io(path, &error),
        other => FileError::NotAllowed(format!("{shown}: {other}; {}", other.remedy())),
    })?;
    let (format, count) = match dialect(path) {
        Some(Dialect::Json) => (DocumentFormat::Json, 1),
        Some(Dialect::Yaml) | None => {
            (DocumentFormat::Yaml, split(&text).iter().filter(|chunk| !is_blank(chunk.text)).count())
        }
    };
    if count > 1 {
        return Err(FileError::NotAllowed(format!(
            "{shown} has {count} documents, and writing it again would lose comments of the others; give each component its \
             own file, or edit this one"
        )));
    }
    let Ok(found) = RawDocument::parse(&text, format) else {
        return Err(FileError::NotAllowed(format!(
            "{shown}, which had the component, cannot be read as a document now; correct or remove it, and repeat the change"
        )));
    };
    // A data connector was read as the component that it stands for.
    let is_same =
        found == *document || data_connector::component(&found.0).is_ok_and(|component| component == document.0);
    if is_same { Ok(text) } else { Err(edited(path)) }
}

fn edited(path: &Path) -> FileError {
    FileError::NotAllowed(format!(
        "{} was edited meanwhile; read the component again, and repeat the change on what it is then",
        path.display()
    ))
}

/// The longest name of a file, in bytes, on the file systems of Linux.
const MAX_FILE_NAME: usize = 255;

/// Whether a new file can have the name of a component.
#[must_use]
pub fn fits_new_file(name: &str) -> bool {
    new_file_name(name).len() <= MAX_FILE_NAME
}

fn new_file_name(name: &str) -> String {
    // Hidden files are not loaded.
    let prefix = if name.starts_with('.') { "component" } else { "" };
    format!("{prefix}{name}.yaml")
}

/// A hidden file beside this one. One at a time is written, so names that are cut need not differ.
fn temporary_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = name.floor_char_boundary(MAX_FILE_NAME - UNFINISHED.len() - 1);
    folder_of(path).join(format!(".{}{UNFINISHED}", &name[..end]))
}

/// The path of a new file for a component of this name.
fn new_file(folder: &Path, name: &str) -> Result<PathBuf, FileError> {
    if !folder.is_dir() {
        return Err(FileError::NotAllowed(format!(
            "{} is not a folder, so there is no place for a new file; name a folder first in --resources-path",
            folder.display()
        )));
    }
    let path = folder.join(new_file_name(name));
    if exists(&path) { Err(taken(&path)) } else { Ok(path) }
}

fn taken(path: &Path) -> FileError {
    FileError::NotAllowed(format!(
        "{} exists and is not the file of this component; rename or remove it",
        path.display()
    ))
}

/// Whether there is anything at this path, a broken link included.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    // One that is left of a process that was killed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name is on the disk only once its folder is.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn io(path: &Path, error: &std::io::Error) -> FileError {
    FileError::Io(format!(
        "{} cannot be written: {error}; check its permissions and the space on the disk",
        path.display()
    ))
}

#[cfg(test)]
#[path = "tests/component_file.rs"]
mod tests;
