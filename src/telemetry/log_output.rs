//! Where log lines go.

use arc_swap::ArcSwap;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tracing_subscriber::fmt::MakeWriter;

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogOutput {
    #[default]
    Stderr,
    /// As daprd does (`--dapr-compat`).
    Stdout,
    /// Lines are appended; the file and its folder are created (`--log-file`).
    File(PathBuf),
}

/// Writes each line with one call. The first failure is reported on standard error, and later ones are not: a full disk
/// must neither stop the process nor fill another log.
#[derive(Debug, Clone)]
pub(super) struct LineWriter {
    target: Target,
    has_failed: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
enum Target {
    Stderr,
    Stdout,
    File(Arc<LogFile>),
}

/// The log file of the process. A tool may rename it, so it can be opened again.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    open: ArcSwap<File>,
}

/// There is one log of a process.
static LOG_FILE: OnceLock<Arc<LogFile>> = OnceLock::new();

/// Opens the log file by its name again, after a tool has renamed it. Does nothing without `--log-file`.
///
/// # Errors
/// When it cannot be opened; lines go on into the old file.
pub fn reopen_log_file() -> io::Result<()> {
    LOG_FILE.get().map_or(Ok(()), |file| file.reopen())
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), open: ArcSwap::from_pointee(append_to(path)?) })
    }

    fn reopen(&self) -> io::Result<()> {
        self.open.store(Arc::new(append_to(&self.path)?));
        Ok(())
    }
}

impl LineWriter {
    /// # Errors
    /// When the file cannot be opened; the text says why and what to do.
    pub(super) fn open(output: &LogOutput) -> Result<Self, String> {
        let target = match output {
            LogOutput::Stderr => Target::Stderr,
            LogOutput::Stdout => Target::Stdout,
            LogOutput::File(path) => Target::File(Arc::new(LogFile::open(path).map_err(|error| {
                format!("log file `{}` cannot be opened: {error}; correct --log-file", path.display())
            })?)),
        };
        Ok(Self { target, has_failed: Arc::default() })
    }

    /// Lets [`reopen_log_file`] open the file of this writer.
    pub(super) fn publish(&self) {
        if let Target::File(file) = &self.target {
            LOG_FILE.get_or_init(|| Arc::clone(file));
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        match &self.target {
            Target::Stderr => io::stderr().is_terminal(),
            Target::Stdout => io::stdout().is_terminal(),
            Target::File(_) => false,
        }
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        match &self.target {
            Target::Stderr => io::stderr().lock().write_all(line),
            Target::Stdout => {
                let mut output = io::stdout().lock();
                output.write_all(line)?;
                output.flush()
            }
            Target::File(file) => file.open.load().as_ref().write_all(line),
        }
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.write_line(line) {
            Ok(()) => self.has_failed.store(false, Ordering::Relaxed),
            Err(error) if !self.has_failed.swap(true, Ordering::Relaxed) => {
                // A failure of standard error itself cannot be reported anywhere.
                drop(writeln!(io::stderr(), "bindd: log lines are lost because they cannot be written: {error}"));
            }
            Err(_) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LineWriter {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_to_a_file_whose_folder_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/bindd.log");
        for line in ["one\n", "two\n"] {
            let mut writer = LineWriter::open(&LogOutput::File(path.clone())).unwrap();
            writer.write_all(line.as_bytes()).unwrap();
            assert!(!writer.is_terminal());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mut writer = LineWriter::open(&LogOutput::File(path.clone())).unwrap();
        let renamed = path.with_extension("1");
        std::fs::rename(&path, &renamed).unwrap();
        writer.write_all(b"three\n").unwrap();
        let Target::File(file) = &writer.target else { panic!("no file") };
        file.reopen().unwrap();
        writer.write_all(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(renamed).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
        let error = LineWriter::open(&LogOutput::File(folder.path().to_owned())).unwrap_err();
        assert!(error.contains("correct --log-file"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_does_not_stop_the_writer() {
        let mut writer = LineWriter::open(&LogOutput::File(PathBuf::from("/dev/full"))).unwrap();
        for _ in 0..2 {
            writer.write_all(b"line\n").unwrap();
        }
        assert!(writer.has_failed.load(Ordering::Relaxed));
    }
}
