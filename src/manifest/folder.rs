//! Finds and reads component files, from folders and from paths to single files.

use super::fault::{Fault, Faults, Notice};
use super::kinds::claims_served_type;
use super::not_loaded::NotLoaded;
use std::fs::File;
use std::io::{ErrorKind, Read};
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
    pub(super) origin: FileOrigin,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileOrigin {
    /// Found in a folder of `--resources-path`; a file without a component gives a notice.
    InFolder,
    /// `--resources-path` names this file, so the user expects it to be loaded.
    NamedByPath,
}

/// The files at the paths: paths in their order, files of a folder by name. Subfolders are not read, nor hidden files
/// unless a path names them.
#[derive(Debug, Default)]
pub(super) struct Folders {
    pub(super) files: Vec<SourceFile>,
    pub(super) notices: Vec<Notice>,
    pub(super) faults: Faults,
    /// What is a YAML or JSON file by its name and could not be read.
    pub(super) not_loaded: Vec<NotLoaded>,
}

impl Folders {
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        let mut folders = Self::default();
        for path in paths {
            folders.path(path);
        }
        folders
    }

    fn path(&mut self, path: &Path) {
        match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => self.folder(path),
            Ok(_) => self.entry(path, FileOrigin::NamedByPath),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let remedy = "create it, or name another folder or file by --resources-path";
                self.faults.push(Fault::of_file(&shown(path), "this folder or file does not exist", remedy));
            }
            Err(error) => self.cannot_open(path, &error),
        }
    }

    fn folder(&mut self, folder: &Path) {
        let names = std::fs::read_dir(folder).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
        });
        let mut names = match names {
            Ok(names) => names,
            Err(error) => {
                let problem = format!("the folder cannot be read: {error}");
                self.faults.push(Fault::of_file(&shown(folder), problem, "check its permissions"));
                return;
            }
        };
        names.sort();
        for name in names {
            let path = folder.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                self.hidden(&path);
            } else {
                self.entry(&path, FileOrigin::InFolder);
            }
        }
    }

    /// Editors and other tools keep copies, locks and state in hidden files, so one is never loaded. A hidden YAML or
    /// JSON file may be a forgotten component and gives a notice; others (`.git`, `.DS_Store`, the `..data` of
    /// Kubernetes) give none.
    fn hidden(&mut self, path: &Path) {
        if dialect(path).is_some() && !path.is_dir() {
            self.skip(path, FileOrigin::InFolder, "the file is hidden; rename it without the leading dot to load it");
        }
    }

    fn entry(&mut self, path: &Path, origin: FileOrigin) {
        // `metadata` follows links: Kubernetes mounts each file as a link.
        let about = match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => {
                // It takes the place of a file, whose components are not meant to be removed with certainty.
                if dialect(path).is_some() {
                    let notice = Notice::of_file(&shown(path), "not loaded: this is a folder");
                    self.not_loaded.push(NotLoaded::any(notice));
                }
                return;
            }
            about => about,
        };
        // Checked before errors of `metadata`, because it does not matter whether a file without a YAML or JSON name
        // can be opened.
        let Some(dialect) = dialect(path) else {
            return self.skip(path, origin, "the name ends neither in .yaml, .yml nor .json");
        };
        let about = match about {
            Ok(about) => about,
            Err(error) => return self.cannot_open(path, &error),
        };
        // Opening a pipe would wait for a writer for ever.
        if !about.is_file() {
            return self.unread(path, origin, "this is not a regular file");
        }
        let file = shown(path);
        let bytes = match read_bytes(path) {
            Ok(bytes) => bytes,
            // Removed since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound && origin == FileOrigin::InFolder => return,
            Err(error) => {
                let unreadable = Unreadable::Io(error);
                return self.faults.push(Fault::of_file(&file, unreadable.to_string(), unreadable.remedy()));
            }
        };
        match text_of(&bytes) {
            Ok(text) => self.files.push(SourceFile { file, dialect, origin, text }),
            Err(unreadable) if origin == FileOrigin::NamedByPath || claims_served_type(&bytes, &[]) => {
                self.faults.push(Fault::of_file(&file, unreadable.to_string(), unreadable.remedy()));
            }
            Err(unreadable) => {
                self.unread(path, origin, &unreadable.to_string());
            }
        }
    }

    fn cannot_open(&mut self, path: &Path, error: &std::io::Error) {
        self.faults.push(Fault::of_file(
            &shown(path),
            format!("the file cannot be opened: {error}"),
            "correct or remove it",
        ));
    }

    fn unread(&mut self, path: &Path, origin: FileOrigin, why: &str) {
        self.skip(path, origin, why);
        self.not_loaded.push(match origin {
            FileOrigin::InFolder => NotLoaded::any(not_loaded(path, why)),
            FileOrigin::NamedByPath => NotLoaded::with_fault(&shown(path)),
        });
    }

    fn skip(&mut self, path: &Path, origin: FileOrigin, why: &str) {
        match origin {
            FileOrigin::InFolder => self.notices.push(not_loaded(path, why)),
            FileOrigin::NamedByPath => {
                let remedy = "name a YAML or JSON file with components, or a folder of them";
                self.faults.push(Fault::of_file(&shown(path), why, remedy));
            }
        }
    }
}

fn not_loaded(path: &Path, why: &str) -> Notice {
    Notice::of_file(&shown(path), format!("not loaded: {why}"))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

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
    text_of(&read_bytes(path)?)
}

/// Reads no more than is needed to see that a file is too large.
fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text_of(bytes: &[u8]) -> Result<String, Unreadable> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(Unreadable::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

pub(super) fn dialect(path: &Path) -> Option<Dialect> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "yaml" | "yml" => Some(Dialect::Yaml),
        "json" => Some(Dialect::Json),
        _ => None,
    }
}
