//! `bindd try`: shows what a component does with records, without any network call.
//!
//! `lines` reads the records, `component` finds the component and its side, `print` shows the results. What happens to a
//! record is decided by the functions of the component itself.
//!
//! Invariant: one line is in memory at a time.

mod component;
mod lines;
mod print;

use self::lines::{Line, Lines};
use crate::bindings::trial::{Trial, TrialInput, TrialOutcome, TrialSide};
use crate::settings::TrySettings;
use bytes::Bytes;
use std::io::{self, BufRead, Write};
use tokio::runtime::Handle;

/// What is left to say after the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TryReport {
    /// For standard error; may be empty.
    pub error: String,
    /// Whether no record failed; then the exit code is 0, else 1.
    pub passed: bool,
}

/// Reads records from `input` and writes what becomes of each to `output`, line by line. Blocks, so it must run on a thread
/// for blocking work of a runtime.
#[must_use]
pub fn run(settings: &TrySettings, input: impl BufRead, mut output: impl Write) -> TryReport {
    let subject = match component::find(settings) {
        Ok(subject) => subject,
        Err(error) => return TryReport { error: format!("bindd: {error}"), passed: false },
    };
    match each(settings, &subject, Lines::new(input), &mut output) {
        Ok(failed) => TryReport { error: subject.notes, passed: !failed },
        Err(error) => TryReport { error: format!("bindd: {error}"), passed: false },
    }
}

/// Whether a record failed.
fn each<R: BufRead>(
    settings: &TrySettings,
    subject: &component::Subject,
    mut lines: Lines<R>,
    output: &mut impl Write,
) -> io::Result<bool> {
    let (runtime, mut has_failed) = (Handle::current(), false);
    while let Some(Line { number, text }) = lines.next()? {
        let trial = match text.and_then(|text| read(text, settings.has_objects, subject.side)) {
            Ok(input) => runtime.block_on(subject.apply(&with_metadata(input, settings))),
            Err(error) => Trial::without_record(TrialOutcome::Failed, Some(error)),
        };
        has_failed |= trial.outcome == TrialOutcome::Failed;
        let shown = if settings.files.json { print::to_json(number, &trial) } else { print::text(number, &trial) };
        match output.write_all(shown.as_bytes()).and_then(|()| output.flush()) {
            // The reader, such as `head`, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    Ok(has_failed)
}

fn read(text: Bytes, is_object: bool, side: TrialSide) -> Result<TrialInput, String> {
    match (is_object, side) {
        (false, _) => Ok(lines::plain(text)),
        (true, TrialSide::Output) => lines::request(&text),
        (true, TrialSide::Input) => lines::record(&text),
    }
}

/// Adds what `--metadata` says; the line itself wins.
fn with_metadata(mut input: TrialInput, settings: &TrySettings) -> TrialInput {
    if !settings.metadata.is_empty() {
        input.metadata.extend_missing(settings.metadata.iter().cloned().collect());
    }
    input
}
