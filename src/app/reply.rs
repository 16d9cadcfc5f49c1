//! Reads which events of a batch failed from the body of a successful response: `ReportBatchItemFailures` of Lambda.
//!
//! In doubt, all events failed: an event that the app reported in a way that is not understood must not count as accepted.

use super::identifier;
use crate::domain::{Accepted, BindingEvent, BodyFormat, PartialFailures};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// The largest body for a batch: space for an entry with the longest id for each event, with white space.
const MAX_BASE: usize = 64 << 10;
const MAX_PER_EVENT: usize = 256;

/// What is wrong with a response, and what to send instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidReply {
    #[error(
        "it is not JSON of the form {{\"batchItemFailures\": […]}}; respond {{}} or without a body if all is well, or \
             set `partial: off` if the status alone decides"
    )]
    Form,
    #[error(
        "it is an object without `batchItemFailures`; respond {{}} or without a body if all is well, or set \
             `partial: off` if the status alone decides"
    )]
    NoFailures,
    #[error("an entry of `batchItemFailures` has no `itemIdentifier` that is a string or a number")]
    NoId,
    #[error("an `itemIdentifier` is not that of an event of the request")]
    UnknownId,
}

/// How many bytes of a body are read.
pub(super) const fn max_size(events: usize) -> usize {
    MAX_BASE.saturating_add(events.saturating_mul(MAX_PER_EVENT))
}

/// The accepted events, by the body of the response to a request with these events.
///
/// # Errors
/// When the body does not clearly say which events failed. Then all count as failed.
pub(super) fn accepted(
    body: &[u8],
    events: &[BindingEvent],
    format: BodyFormat,
    partial: PartialFailures,
) -> Result<Accepted, InvalidReply> {
    let is_strict = match partial {
        PartialFailures::Off => return Ok(Accepted::All),
        PartialFailures::Lowest => false,
        PartialFailures::Exact => true,
    };
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok(Accepted::All);
    }
    let reply: Option<Reply<'_>> = serde_json::from_slice(body).map_err(|_| InvalidReply::Form)?;
    let failures = match reply {
        None => return Ok(Accepted::All),
        Some(Reply { failures: None, has_other: true }) => return Err(InvalidReply::NoFailures),
        Some(Reply { failures, .. }) => failures.unwrap_or_default(),
    };
    let failed = indexes(&failures, events, format)?;
    Ok(match failed.first() {
        None => Accepted::All,
        Some(_) if is_strict => Accepted::Except(failed.into_iter().collect()),
        Some(lowest) => Accepted::Except((*lowest..events.len()).collect()),
    })
}

fn indexes(
    failures: &[Failure<'_>],
    events: &[BindingEvent],
    format: BodyFormat,
) -> Result<BTreeSet<usize>, InvalidReply> {
    if failures.is_empty() {
        return Ok(BTreeSet::new());
    }
    let position = |event: &BindingEvent| event.origin.position.clone();
    // Of several events of one record the first one counts.
    let numbered = events.iter().enumerate().rev();
    let by_id: HashMap<_, _> = numbered.map(|(index, event)| (position(event), index)).collect();
    let shard = events.first().map_or("", |event| event.origin.shard.as_str());
    let index = |id: &str| match format {
        // Lines have no ids, so their number counts, from 1.
        BodyFormat::NdJson => id.parse::<usize>().ok()?.checked_sub(1).filter(|index| *index < events.len()),
        BodyFormat::Raw | BodyFormat::Lambda | BodyFormat::CloudEvent | BodyFormat::CloudEventBatch => {
            let (sequence, sub_sequence) = identifier::parse(id, shard)?;
            by_id.get(&crate::domain::RecordPosition { sequence: sequence.parse().ok()?, sub_sequence }).copied()
        }
    };
    let find = |failure: &Failure<'_>| index(&failure.id()?).ok_or(InvalidReply::UnknownId);
    failures.iter().map(find).collect()
}

struct Reply<'r> {
    failures: Option<Vec<Failure<'r>>>,
    has_other: bool,
}

/// Written by hand, because an object with other members only must not count as `{}`.
impl<'de> Deserialize<'de> for Reply<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReplyVisitor)
    }
}

struct ReplyVisitor;

impl<'de> Visitor<'de> for ReplyVisitor {
    type Value = Reply<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
        let (mut failures, mut is_given, mut has_other) = (None, false, false);
        while let Some(Name(name)) = members.next_key()? {
            if name == "batchItemFailures" {
                if is_given {
                    return Err(serde::de::Error::duplicate_field("batchItemFailures"));
                }
                (failures, is_given) = (members.next_value()?, true);
            } else {
                members.next_value::<IgnoredAny>()?;
                has_other = true;
            }
        }
        Ok(Reply { failures, has_other: has_other && !is_given })
    }
}

/// Borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'r>(#[serde(borrow)] Cow<'r, str>);

#[derive(serde::Deserialize)]
struct Failure<'r> {
    #[serde(borrow, rename = "itemIdentifier")]
    id: Option<&'r RawValue>,
}

impl<'r> Failure<'r> {
    /// The text of a string, or of a number as it is written: it has more digits than other types hold.
    fn id(&self) -> Result<Cow<'r, str>, InvalidReply> {
        let text = self.id.map(RawValue::get).ok_or(InvalidReply::NoId)?;
        if text.starts_with('"') {
            let Name(id) = serde_json::from_str(text).map_err(|_| InvalidReply::NoId)?;
            return if id.is_empty() { Err(InvalidReply::NoId) } else { Ok(id) };
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) { Ok(Cow::Borrowed(text)) } else { Err(InvalidReply::NoId) }
    }
}

#[cfg(test)]
#[path = "tests/reply.rs"]
mod tests;
