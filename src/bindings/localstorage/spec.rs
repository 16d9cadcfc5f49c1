//! The fields of a `bindings.localstorage` file.

use super::super::fields::read_direction;
use crate::domain::Direction;
use crate::manifest::{Document, Faults, Notice, Reader};
use std::path::PathBuf;

const KIB: usize = 1 << 10;
const GIB: usize = 1 << 30;
const DEFAULT_MAX_FILE_SIZE: usize = 100 << 20;

#[derive(Debug, Clone)]
pub struct Spec {
    /// `rootPath`, relative to the working directory; it is created if it is missing.
    pub root: PathBuf,
    /// `maxFileSize`: larger files are not read, in bytes.
    pub max_file_size: usize,
    /// `direction`; `input` alone is a fault, as this kind has an output side only.
    pub direction: Direction,
}

impl Spec {
    /// Checks a document and reports all faults. A spec with faults must not be connected.
    #[must_use]
    pub fn check(document: &Document) -> (Self, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        let spec = Self::read(&mut reader);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    /// Reads every field of the kind; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let root = reader.required_text("rootPath").map(PathBuf::from).unwrap_or_default();
        let max_file_size = reader.size("maxFileSize", KIB..=GIB).unwrap_or(DEFAULT_MAX_FILE_SIZE);
        let direction = read_direction(reader);
        if direction == Direction::Input {
            reader.fault("direction", "a local storage component has no input", "write `output`, or leave it out");
        }
        Self { root, max_file_size, direction }
    }
}
