//! Reads the standard input line by line: data as they are, or objects with data.

use crate::bindings::strict_json;
use crate::bindings::trial::{TrialInput, TrialOrigin};
use crate::domain::BindingError;
use bytes::{Buf as _, Bytes};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

/// The longest line in bytes: a record of 10 MiB, in base64 and with other fields.
const MAX_LINE: usize = 16 << 20;

/// Editors on Windows begin a file with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines of a text that are not blank.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: u64,
}

/// A line, and its number from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// Without its end; the reason if it cannot be read.
    pub(super) text: Result<Bytes, String>,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, number: 0 }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            let number = self.number;
            if self.input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.len() > MAX_LINE && !line.ends_with(b"\n") {
                self.skip_rest()?;
                let text = Err(format!("the line is longer than {} MiB", MAX_LINE >> 20));
                return Ok(Some(Line { number, text }));
            }
            let mut line = Bytes::from(line);
            line.truncate(without_end(&line).len());
            if number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.advance(BYTE_ORDER_MARK.len());
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Line { number, text: Ok(line) }));
            }
        }
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let (used, is_end) = match self.input.fill_buf()? {
                [] => return Ok(()),
                part => part.iter().position(|byte| *byte == b'\n').map_or((part.len(), false), |at| (at + 1, true)),
            };
            self.input.consume(used);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// Without the end of the line, on Windows too.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The fields of a line, for an output.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// The fields of a line, for an input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    partition_key: Option<String>,
    shard_id: Option<String>,
    sequence_number: Option<String>,
    approximate_arrival_timestamp: Option<f64>,
}

/// Unlike the plain `Option`, takes `null` for a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A line that is the data themselves.
pub(super) fn plain(text: Bytes) -> TrialInput {
    TrialInput { data: text, ..TrialInput::default() }
}

/// A line `{"data": …, "metadata": {…}}`.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn request(text: &[u8]) -> Result<TrialInput, String> {
    let Request { data, data_base64, metadata } = strict_json::read(text).map_err(|error| not_object(&error))?;
    let (data, is_raw) = data_of(data, data_base64)?;
    Ok(TrialInput { data, is_raw, metadata: metadata.into_iter().collect(), ..TrialInput::default() })
}

/// A line `{"data": …, "partitionKey": …}`.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn record(text: &[u8]) -> Result<TrialInput, String> {
    let record: Record<'_> = strict_json::read(text).map_err(|error| not_object(&error))?;
    let (data, is_raw) = data_of(record.data, record.data_base64)?;
    let origin = TrialOrigin {
        partition_key: record.partition_key,
        shard: record.shard_id,
        sequence_number: record.sequence_number,
        arrival: record.approximate_arrival_timestamp,
    };
    Ok(TrialInput { data, is_raw, origin, ..TrialInput::default() })
}

fn not_object(error: &BindingError) -> String {
    format!("with --objects, a line is an object such as {{\"data\": …}}: {}", error.message())
}

fn data_of(data: Option<&RawValue>, base64: Option<String>) -> Result<(Bytes, bool), String> {
    match (data, base64) {
        (Some(data), None) => Ok((Bytes::copy_from_slice(data.get().as_bytes()), false)),
        (None, Some(text)) => match base64_simd::STANDARD.decode_to_vec(text.as_bytes()) {
            Ok(data) => Ok((data.into(), true)),
            Err(_) => Err("`dataBase64` is not base64".to_owned()),
        },
        (Some(_), Some(_)) => Err("the line has both `data` and `dataBase64`; keep one".to_owned()),
        (None, None) => Err("the line has no `data`; add it, or leave --objects out".to_owned()),
    }
}

#[cfg(test)]
#[path = "tests/lines.rs"]
mod tests;
