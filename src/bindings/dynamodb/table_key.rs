//! The key of the table: from the file, or read once with `DescribeTable`; no operation requires it.

use super::failure::invalid_request;
use crate::aws::{Item, KeyAttribute, KeySchema, KeyType};
use crate::domain::BindingError;
use aws_sdk_dynamodb::types::AttributeValue;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// Bytes of a partition key's value (AWS, "Service quotas").
const MAX_PARTITION_KEY: usize = 2_048;
/// Bytes of a sort key's value.
const MAX_SORT_KEY: usize = 1_024;
/// How much of a request's time reading the key may take; never more than half of what is left.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How long after a failure the key is not read again.
const PAUSE: Duration = Duration::from_secs(30);

/// The table's key, as far as it is known.
#[derive(Debug)]
pub(super) struct KeyCache {
    /// From the file.
    configured: Option<KeySchema>,
    described: OnceLock<Option<KeySchema>>,
    /// Locked by the request that reads the key; holds when it may be read again.
    not_before: Mutex<Option<Instant>>,
}

impl KeyCache {
    pub(super) const fn new(configured: Option<KeySchema>) -> Self {
        Self { configured, described: OnceLock::new(), not_before: Mutex::const_new(None) }
    }

    /// What is known without a call.
    pub(super) fn known(&self) -> Option<&KeySchema> {
        self.configured.as_ref().or_else(|| self.described.get()?.as_ref())
    }

    /// What is known, else what `describe` returns; once it has returned, it is not called again. `None` where the key
    /// may not be read, or reading failed within the last 30 s, or takes more than 1 s or half of the remaining time.
    pub(super) async fn find<F>(&self, describe: impl FnOnce() -> F, deadline: Instant) -> Option<&KeySchema>
    where
        F: Future<Output = Result<Option<KeySchema>, BindingError>>,
    {
        if self.configured.is_some() || self.described.get().is_some() {
            return self.known();
        }
        let now = Instant::now();
        let until = now + MAX_WAIT.min(deadline.saturating_duration_since(now) / 2);
        // Waiting for another request's read is limited like an own read.
        let Ok(mut not_before) = timeout_at(until, self.not_before.lock()).await else { return self.known() };
        let is_paused = not_before.is_some_and(|moment| Instant::now() < moment);
        if self.described.get().is_none() && !is_paused {
            match timeout_at(until, describe()).await {
                Ok(Ok(schema)) => {
                    self.described.get_or_init(|| schema);
                }
                // A request with little time left gave up early: the next one may succeed, so no pause.
                Err(_) if until < now + MAX_WAIT => {}
                Ok(Err(_)) | Err(_) => *not_before = Some(Instant::now() + PAUSE),
            }
        }
        self.known()
    }
}

/// Refuses an `etagAttributeName` that is part of the key: a new version would store the item under another key.
///
/// # Errors
/// When the attribute is part of the table's key, as far as that is known.
pub(super) fn check_etag_attribute(schema: Option<&KeySchema>, attribute: &str) -> Result<(), BindingError> {
    if schema.is_some_and(|schema| schema.has(attribute)) {
        let text = format!("`etagAttributeName` is `{attribute}`, an attribute of the table's key: name another one");
        return Err(invalid_request(text));
    }
    Ok(())
}

/// Whether an item has the table's key, with values that DynamoDB takes.
///
/// # Errors
/// With the attribute that is missing, of another type, empty or too long.
pub(super) fn check_item(schema: Option<&KeySchema>, item: &Item) -> Result<(), BindingError> {
    let Some(schema) = schema else { return Ok(()) };
    check_attribute(&schema.partition, item, MAX_PARTITION_KEY)?;
    schema.sort.as_ref().map_or(Ok(()), |sort| check_attribute(sort, item, MAX_SORT_KEY))
}

/// Like [`check_item`], for a key: it must have these attributes and no others.
///
/// # Errors
/// As [`check_item`], or with the names of the key's attributes.
pub(super) fn check_key(schema: Option<&KeySchema>, key: &Item) -> Result<(), BindingError> {
    check_item(schema, key)?;
    let Some(schema) = schema else { return Ok(()) };
    if key.len() == 1 + usize::from(schema.sort.is_some()) {
        return Ok(());
    }
    let names = key_names(schema);
    Err(invalid_request(format!("`key` must have exactly the attributes of the table's key: {}", names.join(", "))))
}

/// The names of the key's attributes.
pub(super) fn key_names(schema: &KeySchema) -> Vec<String> {
    std::iter::once(&schema.partition).chain(&schema.sort).map(|key| key.name.clone()).collect()
}

/// The key of an item, if it has all of it.
pub(super) fn key_of(schema: &KeySchema, item: &Item) -> Option<Item> {
    let attribute = |key: &KeyAttribute| Some((key.name.clone(), item.get(&key.name)?.clone()));
    std::iter::once(&schema.partition).chain(&schema.sort).map(attribute).collect()
}

fn check_attribute(key: &KeyAttribute, item: &Item, max_size: usize) -> Result<(), BindingError> {
    let name = &key.name;
    let Some(value) = item.get(name) else {
        return Err(invalid_request(format!("the key attribute `{name}` is missing")));
    };
    let (kind, size) = match value {
        AttributeValue::S(text) => (KeyType::Text, text.len()),
        // Any number that can be stored fits.
        AttributeValue::N(_) => (KeyType::Number, 1),
        AttributeValue::B(bytes) => (KeyType::Binary, bytes.as_ref().len()),
        _ => return Err(invalid_request(format!("the key attribute `{name}` must be a string, a number or binary"))),
    };
    if let Some(expected) = key.kind.filter(|expected| *expected != kind) {
        let name_of_type = match expected {
            KeyType::Text => "a string",
            KeyType::Number => "a number",
            KeyType::Binary => "binary: name it in `attributeTypes` and send base64",
        };
        return Err(invalid_request(format!("the key attribute `{name}` must be {name_of_type}")));
    }
    if size == 0 {
        return Err(invalid_request(format!("the key attribute `{name}` must not be empty")));
    }
    if size > max_size {
        let text = format!("the value of the key attribute `{name}` has {size} bytes: DynamoDB takes {max_size}");
        return Err(invalid_request(text)
            .with_detail("size", size.to_string())
            .with_detail("limit", max_size.to_string()));
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/table_key.rs"]
mod tests;
