//! The key of the table: from the file, or asked for once; never required.

use super::calls::{Item, Items, KeyAttribute, KeySchema, KeyType, Value};
use super::shapes::refused;
use crate::domain::BindingError;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// The most bytes of a partition key's value (AWS, "Service quotas").
const LONGEST_PARTITION: usize = 2_048;
/// The most bytes of a sort key's value.
const LONGEST_SORT: usize = 1_024;
/// The most of a request's time that the question for the key may take; it never takes more than half of what is left.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody asks again after a failure: the key is of use, but never needed.
const PAUSE: Duration = Duration::from_secs(30);

/// What is known of the table's key.
#[derive(Debug)]
pub(super) struct Keys {
    stated: Option<KeySchema>,
    answered: OnceLock<Option<KeySchema>>,
    /// Held by the one who asks; nobody asks before this moment.
    not_before: Mutex<Option<Instant>>,
}

impl Keys {
    pub(super) const fn new(stated: Option<KeySchema>) -> Self {
        Self { stated, answered: OnceLock::new(), not_before: Mutex::const_new(None) }
    }

    /// What can be told without asking.
    pub(super) fn known(&self) -> Option<&KeySchema> {
        self.stated.as_ref().or_else(|| self.answered.get()?.as_ref())
    }

    /// What the file says, else what `DescribeTable` says; asked at most once with an answer. `None` where nobody may
    /// tell, or the question failed or took more than 1 s within the last 30 s, or takes more than half of the time to the
    /// deadline.
    pub(super) async fn find(&self, items: &Items, deadline: Instant) -> Option<&KeySchema> {
        let ask = || async {
            items.key_schema(deadline).await.inspect_err(
                |error| tracing::debug!(table = items.table(), %error, "key of the table could not be read"),
            )
        };
        self.find_by(ask, deadline).await
    }

    async fn find_by<F>(&self, ask: impl FnOnce() -> F, deadline: Instant) -> Option<&KeySchema>
    where
        F: Future<Output = Result<Option<KeySchema>, BindingError>>,
    {
        if self.stated.is_some() || self.answered.get().is_some() {
            return self.known();
        }
        let now = Instant::now();
        let until = now + PATIENCE.min(deadline.saturating_duration_since(now) / 2);
        // Whoever waits for another's answer waits no longer than for an own one.
        let Ok(mut not_before) = timeout_at(until, self.not_before.lock()).await else { return self.known() };
        let is_paused = not_before.is_some_and(|moment| Instant::now() < moment);
        if self.answered.get().is_none() && !is_paused {
            match timeout_at(until, ask()).await {
                Ok(Ok(schema)) => {
                    self.answered.get_or_init(|| schema);
                }
                // Cut for the sake of a caller in a hurry, it says nothing about the next question.
                Err(_) if until < now + PATIENCE => {}
                Ok(Err(_)) | Err(_) => *not_before = Some(Instant::now() + PAUSE),
            }
        }
        self.known()
    }
}

/// Refuses to write versions over a key, which would store the item under another one.
///
/// # Errors
/// When the attribute of versions is part of the table's key, as far as that is known.
pub(super) fn check_version(schema: Option<&KeySchema>, attribute: &str) -> Result<(), BindingError> {
    if schema.is_some_and(|schema| schema.has(attribute)) {
        let text = format!("`etagAttributeName` is `{attribute}`, an attribute of the table's key: name another one");
        return Err(refused(text));
    }
    Ok(())
}

/// Whether an item has the table's key, with values that DynamoDB takes.
///
/// # Errors
/// With the attribute that is missing, of another type, empty or too long.
pub(super) fn check_item(schema: Option<&KeySchema>, item: &Item) -> Result<(), BindingError> {
    let Some(schema) = schema else { return Ok(()) };
    check_attribute(&schema.partition, item, LONGEST_PARTITION)?;
    schema.sort.as_ref().map_or(Ok(()), |sort| check_attribute(sort, item, LONGEST_SORT))
}

/// As [`check_item`], for a key: it must have these attributes and no others.
///
/// # Errors
/// As [`check_item`], or with the names that a key has.
pub(super) fn check_key(schema: Option<&KeySchema>, key: &Item) -> Result<(), BindingError> {
    check_item(schema, key)?;
    let Some(schema) = schema else { return Ok(()) };
    let names: Vec<&str> =
        std::iter::once(&schema.partition).chain(&schema.sort).map(|key| key.name.as_str()).collect();
    if key.len() == names.len() {
        return Ok(());
    }
    Err(refused(format!("`key` must have exactly the attributes of the table's key: {}", names.join(", "))))
}

/// The key of an item, if it has all of it.
pub(super) fn key_of(schema: &KeySchema, item: &Item) -> Option<Item> {
    let attribute = |key: &KeyAttribute| Some((key.name.clone(), item.get(&key.name)?.clone()));
    std::iter::once(&schema.partition).chain(&schema.sort).map(attribute).collect()
}

fn check_attribute(key: &KeyAttribute, item: &Item, longest: usize) -> Result<(), BindingError> {
    let name = &key.name;
    let Some(value) = item.get(name) else {
        return Err(refused(format!("the key attribute `{name}` is missing")));
    };
    let (kind, size) = match value {
        Value::S(text) => (KeyType::Text, text.len()),
        // Any number that can be stored fits.
        Value::N(_) => (KeyType::Number, 1),
        Value::B(bytes) => (KeyType::Binary, bytes.as_ref().len()),
        _ => return Err(refused(format!("the key attribute `{name}` must be a string, a number or binary"))),
    };
    if let Some(expected) = key.kind.filter(|expected| *expected != kind) {
        let word = match expected {
            KeyType::Text => "a string",
            KeyType::Number => "a number",
            KeyType::Binary => "binary: name it in `attributeTypes` and send base64",
        };
        return Err(refused(format!("the key attribute `{name}` must be {word}")));
    }
    if size == 0 {
        return Err(refused(format!("the key attribute `{name}` must not be empty")));
    }
    if size > longest {
        let text = format!("the value of the key attribute `{name}` has {size} bytes: DynamoDB takes {longest}");
        return Err(refused(text).with_detail("size", size.to_string()).with_detail("limit", longest.to_string()));
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/keys.rs"]
mod tests;
