//! Files with components: those of folders, and those that are named themselves.

use super::fault::{Fault, Faults, Notice};
use super::kinds::claims_served_type;
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
    pub(super) named: Named,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// It is in a folder of `--resources-path`; what is no component gives a notice.
    InFolder,
    /// `--resources-path` names the file itself, so the user expects it to be loaded.
    Itself,
}

/// The files at the paths: paths in their order, files of a folder by name. Subfolders are not read, nor hidden files
/// unless a path names them.
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
            folders.path(path);
        }
        folders
    }

    fn path(&mut self, path: &Path) {
        match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => self.folder(path),
            Ok(_) => self.entry(path, Named::Itself),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let remedy = "create it, or name another folder or file by --resources-path";
                self.faults.push(Fault::of_file(&shown(path), "this folder or file does not exist", remedy));
            }
            Err(error) => self.unopened(path, &error),
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
                self.entry(&path, Named::InFolder);
            }
        }
    }

    /// Editors and other tools keep copies, locks and state in hidden files, so one is never loaded. What looks like a
    /// forgotten component is noted; the rest (`.git`, `.DS_Store`, the `..data` of Kubernetes) is not worth a word.
    fn hidden(&mut self, path: &Path) {
        if dialect(path).is_some() && !path.is_dir() {
            self.unloaded(path, Named::InFolder, "the file is hidden; rename it without the leading dot to load it");
        }
    }

    fn entry(&mut self, path: &Path, named: Named) {
        // Follows links: Kubernetes mounts each file as one.
        let about = match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => return,
            about => about,
        };
        // Before the file is looked at: of what is not YAML by its name, it does not matter whether it can be.
        let Some(dialect) = dialect(path) else {
            return self.unloaded(path, named, "the name ends neither in .yaml, .yml nor .json");
        };
        let about = match about {
            Ok(about) => about,
            Err(error) => return self.unopened(path, &error),
        };
        // Opening a pipe would wait for a writer for ever.
        if !about.is_file() {
            return self.unloaded(path, named, "this is not a regular file");
        }
        let file = shown(path);
        let bytes = match read_bytes(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let unreadable = Unreadable::Io(error);
                return self.faults.push(Fault::of_file(&file, unreadable.to_string(), unreadable.remedy()));
            }
        };
        match text_of(&bytes) {
            Ok(text) => self.files.push(SourceFile { file, dialect, named, text }),
            Err(unreadable) if named == Named::Itself || claims_served_type(&bytes) => {
                self.faults.push(Fault::of_file(&file, unreadable.to_string(), unreadable.remedy()));
            }
            Err(unreadable) => self.unloaded(path, named, &unreadable.to_string()),
        }
    }

    fn unopened(&mut self, path: &Path, error: &std::io::Error) {
        self.faults.push(Fault::of_file(
            &shown(path),
            format!("the file cannot be opened: {error}"),
            "correct or remove it",
        ));
    }

    fn unloaded(&mut self, path: &Path, named: Named, why: &str) {
        match named {
            Named::InFolder => self.notices.push(Notice::of_file(&shown(path), format!("not loaded: {why}"))),
            Named::Itself => {
                let remedy = "name a YAML or JSON file with components, or a folder of them";
                self.faults.push(Fault::of_file(&shown(path), why, remedy));
            }
        }
    }
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

fn dialect(path: &Path) -> Option<Dialect> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "yaml" | "yml" => Some(Dialect::Yaml),
        "json" => Some(Dialect::Json),
        _ => None,
    }
}
