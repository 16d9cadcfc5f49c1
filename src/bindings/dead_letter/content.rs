//! The JSON of a dead letter.

use crate::domain::{self, Timestamp};
use bytes::Bytes;
use serde::Serialize;
use std::borrow::Cow;

/// The `data` of the `create` request to a dead letter binding, and the content of a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content<'a> {
    /// Unique, so that it can be the key of a table.
    pub(super) id: String,
    pub(super) component: &'a str,
    #[serde(flatten)]
    pub(super) payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explicit_hash_key: Option<String>,
    pub(super) error: ErrorContent<'a>,
    /// Only of inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery: Option<DeliveryContent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    data: Cow<'a, str>,
    data_encoding: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorContent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) reason: &'static str,
    pub(super) message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ambiguous: Option<bool>,
    /// The HTTP status of the app's last refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// The beginning of the body of that refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<&'a str>,
}

/// Where the record was read, and what was tried. Times are in milliseconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryContent<'a> {
    stream: &'a str,
    shard_id: &'a str,
    sequence_number: &'a str,
    sub_sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<i64>,
    lease_epoch: u64,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_attempt: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<i64>,
}

impl<'a> Payload<'a> {
    /// As text if it is UTF-8, else in base64.
    pub(super) fn new(data: &'a [u8]) -> Self {
        let (data, data_encoding) = match str::from_utf8(data) {
            Ok(text) => (Cow::Borrowed(text), "utf-8"),
            Err(_) => (Cow::Owned(base64_simd::STANDARD.encode_to_string(data)), "base64"),
        };
        Self { data, data_encoding }
    }
}

/// The JSON of a record that an input gave up. Its id is the same each time, so that a table has it once.
pub(super) fn of_input(letter: &domain::DeadLetter) -> serde_json::Result<Bytes> {
    let (event, origin) = (&letter.event, &letter.event.origin);
    let position = &origin.position;
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let mut id = format!("{}:{}:{}", letter.binding, origin.shard, position.sequence);
    if position.sub_sequence > 0 {
        id = format!("{id}:{}", position.sub_sequence);
    }
    let never_delivered = "the record was too old before its first delivery";
    let content = Content {
        id,
        component: letter.binding.as_str(),
        payload: Payload::new(&event.data),
        partition_key: Some(origin.partition_key.as_str()).filter(|key| !key.is_empty()),
        explicit_hash_key: None,
        error: ErrorContent {
            reason: letter.reason.as_str(),
            message: Cow::Borrowed(letter.error.as_deref().unwrap_or(never_delivered)),
            status: letter.status,
            response: letter.response.as_deref(),
            ..ErrorContent::default()
        },
        delivery: Some(DeliveryContent {
            stream: &letter.stream,
            shard_id: origin.shard.as_str(),
            sequence_number: position.sequence.as_str(),
            sub_sequence_number: position.sub_sequence,
            arrival: millis(origin.arrival),
            lease_epoch: letter.epoch.value(),
            attempts: event.attempt,
            first_attempt: millis(letter.first_attempt),
            last_attempt: millis(letter.last_attempt),
        }),
    };
    serde_json::to_vec(&content).map(Bytes::from)
}
