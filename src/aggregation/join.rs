//! Records joined into one that needs no library to be read: lines, or the elements of a JSON array.
//!
//! Invariant: splitting what was joined gives the members back, in their order. [`JoinForm::member`] refuses whatever would
//! break this.

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::IgnoredAny;

/// How records are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinForm {
    /// `a\nb`: a line feed between two records, none at the end.
    Lines,
    /// `[a,b]`: a single record is `[a]`.
    JsonArray,
}

/// Why a record cannot be joined with others.
#[derive(Debug, thiserror::Error)]
pub enum NotJoinable {
    #[error("it is empty, and readers skip empty lines")]
    Empty,
    #[error("it holds a line break (byte {0}) and is not JSON, so readers would split it there")]
    LineBreak(usize),
    #[error("it is not UTF-8, as JSON must be")]
    NotUtf8,
    #[error("it is not one JSON value: {0}")]
    NotJson(serde_json::Error),
}

impl JoinForm {
    /// The record as it is written when no other is joined with it. JSON without line breaks keeps its exact text; in JSON
    /// with line breaks, the white space between tokens is removed for `Lines`.
    ///
    /// # Errors
    /// If the record could not be split off again: see [`NotJoinable`].
    pub fn member(self, record: Bytes) -> Result<Bytes, NotJoinable> {
        match self {
            Self::Lines => line(record),
            Self::JsonArray => array(&record),
        }
    }

    /// The record of a [`JoinForm::member`]. Shares its memory.
    #[must_use]
    pub fn record(self, member: &Bytes) -> Bytes {
        member.slice_ref(self.content(member))
    }

    fn content(self, member: &[u8]) -> &[u8] {
        match self {
            Self::Lines => member,
            Self::JsonArray => member.get(1..member.len().saturating_sub(1)).unwrap_or_default(),
        }
    }

    /// By how many bytes a joined record grows with a further member.
    #[must_use]
    pub const fn growth(self, member: usize) -> usize {
        match self {
            Self::Lines => member.saturating_add(1),
            // Its brackets go, a comma comes.
            Self::JsonArray => member.saturating_sub(1),
        }
    }

    const fn separator(self) -> u8 {
        match self {
            Self::Lines => b'\n',
            Self::JsonArray => b',',
        }
    }
}

/// Joins members into one record, in order. Always knows the size of the result.
#[derive(Debug)]
pub struct Joiner {
    form: JoinForm,
    limit: usize,
    members: Vec<Bytes>,
    size: usize,
}

impl Joiner {
    /// A record of `first`, to grow up to `limit` bytes.
    #[must_use]
    pub fn new(form: JoinForm, first: Bytes, limit: usize) -> Self {
        Self { form, limit, size: first.len(), members: vec![first] }
    }

    /// Whether the record stays within its limit if this member is added.
    #[must_use]
    pub const fn fits(&self, member: &Bytes) -> bool {
        self.size.saturating_add(self.growth(member)) <= self.limit
    }

    #[must_use]
    pub const fn growth(&self, member: &Bytes) -> usize {
        self.form.growth(member.len())
    }

    /// Adds a member, whether it [fits](Joiner::fits) or not.
    pub fn push(&mut self, member: Bytes) {
        self.size = self.size.saturating_add(self.growth(&member));
        self.members.push(member);
    }

    /// Members; at least 1.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.members.len()
    }

    /// The exact size in bytes, separators and brackets included.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.size);
        if self.form == JoinForm::JsonArray {
            bytes.put_u8(b'[');
        }
        for (index, member) in self.members.iter().enumerate() {
            if index > 0 {
                bytes.put_u8(self.form.separator());
            }
            bytes.put_slice(self.form.content(member));
        }
        if self.form == JoinForm::JsonArray {
            bytes.put_u8(b']');
        }
        bytes.freeze()
    }
}

/// Carriage returns count as line breaks too, because many readers of lines end a line there.
fn line(record: Bytes) -> Result<Bytes, NotJoinable> {
    if record.is_empty() {
        return Err(NotJoinable::Empty);
    }
    let Some(at) = record.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else { return Ok(record) };
    check_json(&record).map_err(|_| NotJoinable::LineBreak(at))?;
    Ok(compact(&record))
}

fn array(record: &[u8]) -> Result<Bytes, NotJoinable> {
    check_json(record)?;
    let value = record.trim_ascii();
    let mut bytes = BytesMut::with_capacity(value.len() + 2);
    bytes.put_u8(b'[');
    bytes.put_slice(value);
    bytes.put_u8(b']');
    Ok(bytes.freeze())
}

fn check_json(record: &[u8]) -> Result<(), NotJoinable> {
    let text = std::str::from_utf8(record).map_err(|_| NotJoinable::NotUtf8)?;
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(NotJoinable::NotJson)
}

/// JSON without the white space between its tokens. Strings, which hold no raw line breaks, are kept as they are.
fn compact(json: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(json.len());
    let (mut is_string, mut is_escaped) = (false, false);
    for byte in json {
        if is_string {
            is_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            is_string = *byte == b'"';
        }
        bytes.put_u8(*byte);
    }
    bytes.freeze()
}

#[cfg(test)]
#[path = "tests/join.rs"]
mod tests;
