//! Files with components: those of folders, and those that are named themselves.

use super::fault::{Fault, Faults, Notice};
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
    pub(super) text: String,
}

/// How a file came to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It lies in a folder that was named; what is no component is only noted.
    InFolder,
    /// It was named itself, so whoever did expects it to be loaded.
    Itself,
}

/// Everything at the paths: each in the order given, files of a folder in the order of their names. Sub-folders are not
/// entered, and hidden files not looked at unless they are named themselves.
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
        for name in names.iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
            self.entry(&folder.join(name), Named::InFolder);
        }
    }

    fn entry(&mut self, path: &Path, named: Named) {
        // Follows links: Kubernetes mounts each file as one.
        let about = match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => return,
            Ok(about) => about,
            Err(error) => return self.unopened(path, &error),
        };
        let Some(dialect) = dialect(path) else {
            return self.unloaded(path, named, "the name ends neither in .yaml, .yml nor .json");
        };
        // Opening a pipe would wait for a writer for ever.
        if !about.is_file() {
            return self.unloaded(path, named, "this is not a regular file");
        }
        let file = shown(path);
        match read_text(path) {
            Ok(text) => self.files.push(SourceFile { file, dialect, text }),
            Err(unreadable) => self.faults.push(Fault::of_file(&file, unreadable.to_string(), unreadable.remedy())),
        }
    }

    fn unopened(&mut self, path: &Path, error: &std::io::Error) {
        self.faults.push(Fault::of_file(
            &shown(path),
            format!("the file cannot be opened: {error}"),
            "mend or remove it",
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
