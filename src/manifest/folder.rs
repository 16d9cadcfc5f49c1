//! Files of component folders.

use super::fault::{Fault, Faults, Notice};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No file may be larger. Dapr's own bound is 64 KiB for a document, and etcd's 1.5 MiB for an object.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Yaml,
    Json,
}

/// A file's text.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) file: String,
    pub(super) dialect: Dialect,
    pub(super) text: String,
}

/// Everything that the folders hold: each folder in the order given, files in the order of their names.
/// Sub-folders are not entered, hidden files not looked at.
#[derive(Debug, Default)]
pub(super) struct Folders {
    pub(super) files: Vec<SourceFile>,
    pub(super) notices: Vec<Notice>,
    pub(super) faults: Faults,
}

impl Folders {
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        let mut folders = Self::default();
        for path in paths {
            folders.folder(path);
        }
        folders
    }

    fn folder(&mut self, folder: &Path) {
        let shown: String = folder.to_string_lossy().into_owned();
        let names = std::fs::read_dir(folder).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
        });
        let mut names = match names {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.faults.push(Fault::of_file(
                    &shown,
                    "the folder does not exist",
                    "create it, or name another by --resources-path",
                ));
                return;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                self.faults.push(Fault::of_file(
                    &shown,
                    "this is not a folder",
                    "give --resources-path the folder that holds the file",
                ));
                return;
            }
            Err(error) => {
                self.faults.push(Fault::of_file(
                    &shown,
                    format!("the folder cannot be read: {error}"),
                    "check its permissions",
                ));
                return;
            }
        };
        names.sort();
        for name in names.iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
            self.entry(&folder.join(name));
        }
    }

    fn entry(&mut self, path: &Path) {
        let shown: String = path.to_string_lossy().into_owned();
        // Follows links: Kubernetes mounts each file as one.
        let about = match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => return,
            Ok(about) => about,
            Err(error) => {
                self.faults.push(Fault::of_file(
                    &shown,
                    format!("the file cannot be opened: {error}"),
                    "mend or remove it",
                ));
                return;
            }
        };
        let Some(dialect) = dialect(path) else {
            self.notices.push(Notice::of_file(&shown, "not loaded: the name ends neither in .yaml, .yml nor .json"));
            return;
        };
        // Opening a pipe would wait for a writer for ever.
        if !about.is_file() {
            self.notices.push(Notice::of_file(&shown, "not loaded: this is not a regular file"));
            return;
        }
        match read_text(path) {
            Ok(text) => self.files.push(SourceFile { file: shown, dialect, text }),
            Err(unreadable) => self.faults.push(Fault::of_file(&shown, unreadable.to_string(), unreadable.remedy())),
        }
    }
}

/// Why a file gives no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("the file is larger than 1 MiB")]
    TooLarge,
    #[error("the file is not UTF-8 text (byte {0})")]
    NotUtf8(usize),
}

impl Unreadable {
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Io(_) => "check that it exists and that its permissions allow reading",
            Self::TooLarge => "split it into several files",
            Self::NotUtf8(_) => "save it as UTF-8",
        }
    }
}

/// Reads at most [`MAX_FILE`] bytes of UTF-8, without a byte order mark.
pub(super) fn read_text(path: &Path) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Unreadable::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|error| Unreadable::NotUtf8(error.utf8_error().valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn dialect(path: &Path) -> Option<Dialect> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "yaml" | "yml" => Some(Dialect::Yaml),
        "json" => Some(Dialect::Json),
        _ => None,
    }
}
