//! Writes a component document into a file, and removes it: as a whole or not at all, also if the process is killed.

use super::folder::{Dialect, Unreadable, dialect, read_text};
use super::split::{is_blank, split};
use super::unfinished::UNFINISHED;
use super::write_yaml::to_yaml;
use super::{DocumentFormat, Place, RawDocument, data_connector};
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
        let is_as_known = match &self.replaced {
            Some(known) => read_text(&self.target).is_ok_and(|text| text == *known),
            None => !exists(&self.target),
        };
        if !is_as_known {
            return Err(edited(&self.target));
        }
        fs::rename(&self.temporary, &self.target).map_err(|error| io(&self.target, &error))?;
        self.is_committed = true;
        Ok(sync_folder(&self.target).is_ok())
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
    if exists(&path) {
        return Err(FileError::NotAllowed(format!(
            "{} exists and is not the file of this component; rename or remove it",
            path.display()
        )));
    }
    Ok(path)
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
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const TEXT: &str = "kind: Component\nmetadata:\n  name: orders\nspec:\n  type: bindings.cron\n";

    fn document() -> RawDocument {
        RawDocument::parse(TEXT, DocumentFormat::Yaml).unwrap()
    }

    fn place(path: &Path) -> Place {
        Place { file: path.to_string_lossy().into_owned(), document: 1 }
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn refused(result: Result<StagedFile, FileError>) -> String {
        match result {
            Err(FileError::NotAllowed(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_document_gets_a_file_that_only_its_user_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let staged = document().stage(FileTarget::NewIn(folder.path())).unwrap();
        assert_eq!(files(folder.path()), [".orders.yaml.bindd-tmp"]);
        staged.commit().unwrap();
        let path = folder.path().join("orders.yaml");
        assert_eq!(
            (files(folder.path()), fs::read_to_string(&path).unwrap()),
            (vec!["orders.yaml".to_owned()], TEXT.to_owned())
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(refused(document().stage(FileTarget::NewIn(folder.path()))).contains("exists and is not the file"));
        assert!(refused(document().stage(FileTarget::NewIn(&path))).contains("is not a folder"));
        remove_document(&place(&path), &document()).unwrap();
        assert_eq!(files(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_document_replaces_that_of_its_file_in_the_same_syntax() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.json");
        fs::write(&path, format!("{}", document().0)).unwrap();
        fs::write(folder.path().join(".any.json.bindd-tmp"), "left of a process that was killed").unwrap();
        let changed = document().with_disabled(true);
        let target = (place(&path), document());
        changed.stage(FileTarget::Existing { place: &target.0, document: &target.1 }).unwrap().commit().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(RawDocument::parse(&text, DocumentFormat::Json), Ok(changed));
        assert_eq!(files(folder.path()), ["any.json"]);
    }

    #[test]
    fn a_data_connector_and_a_document_with_a_status_are_recognized_in_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let connector = r#"{"type": "aws-kinesis", "id": "orders", "stream": "orders"}"#;
        for (name, text, document) in [
            ("connector.json", connector.to_owned(), RawDocument::of_connector(connector).unwrap()),
            ("status.yaml", format!("{TEXT}status: {{state: running}}\n"), document()),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            remove_document(&place(&path), &document).unwrap();
        }
        assert_eq!(files(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn files_that_may_not_be_changed_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let two = write("two.yaml", &format!("{TEXT}---\n{}", TEXT.replace("orders", "other")));
        let edited = write("edited.yaml", &TEXT.replace("cron", "http"));
        let broken = write("broken.yaml", "{broken");
        let link = folder.path().join("link.yaml");
        symlink(write("target.yaml", TEXT), &link).unwrap();
        for (path, problem) in [
            (two, "has 2 documents"),
            (edited, "was edited meanwhile"),
            (broken, "cannot be read as a document now; correct or remove it"),
            (link, "is a link"),
        ] {
            let (place, document) = (place(&path), document());
            let before = fs::read_to_string(&path).unwrap();
            let text = refused(document.stage(FileTarget::Existing { place: &place, document: &document }));
            assert!(text.contains(problem), "{text}");
            assert!(matches!(remove_document(&place, &document), Err(FileError::NotAllowed(_))));
            assert_eq!(fs::read_to_string(&path).unwrap(), before);
        }
    }

    #[test]
    fn the_longest_names_of_files_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        for (name, fits) in [("n".repeat(250), true), ("n".repeat(251), false), (".".repeat(242), false)] {
            assert_eq!(fits_new_file(&name), fits, "{name}");
        }
        for name in ["n".repeat(250), "\u{fc}".repeat(125), ".".repeat(241)] {
            let document = document().named(&name);
            document.stage(FileTarget::NewIn(folder.path())).unwrap().commit().unwrap();
        }
        assert_eq!(files(folder.path()).len(), 3);
    }

    #[test]
    fn an_edit_between_the_two_steps_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.yaml");
        fs::write(&path, TEXT).unwrap();
        let (place, document) = (place(&path), document());
        let target = FileTarget::Existing { place: &place, document: &document };
        let staged = document.clone().with_disabled(true).stage(target).unwrap();
        fs::write(&path, "# edited\n").unwrap();
        assert!(matches!(staged.commit(), Err(FileError::NotAllowed(_))));
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path()).len()), ("# edited\n", 1));
    }
}
