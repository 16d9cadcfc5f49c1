//! The fields of a `bindings.aws.dynamodb` file other than table and connection.

use super::super::retry::RetryConfig;
use super::codec::{AttributeTypes, ItemCodec, ItemFormat, NumberForm, StatedType};
use super::operation::Operation;
use crate::aws::{KeyAttribute, KeySchema};
use crate::manifest::{Reader, nearest};
use crate::resilience::Idempotency;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The default of `backoffInitialInterval`: DynamoDB recovers from throttling within milliseconds.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// A hundred years.
pub(super) const MAX_TTL_SECONDS: u64 = 3_155_760_000;
/// The minimum holds an item of 400 KB whose text needs escapes.
const RESPONSE_SIZES: RangeInclusive<usize> = 1 << 20..=64 << 20;

/// When items expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ttl {
    /// `ttlAttributeName`: holds the second since 1970 after which DynamoDB may delete the item.
    pub attribute: String,
    /// `ttlInSeconds`, for items whose request has none.
    pub default_seconds: Option<u64>,
    /// `hideExpired`, default true: expired items that DynamoDB has not deleted yet are not returned.
    pub hide_expired: bool,
}

/// The options of a component other than table and connection.
#[derive(Debug, Clone)]
pub struct Options {
    /// `partitionKeyName` and `sortKeyName`, where the file has them.
    pub key: Option<KeySchema>,
    /// `itemFormat`, `attributeTypes`, `numbersAsStrings`
    pub codec: ItemCodec,
    /// `ttlAttributeName`, `ttlInSeconds`, `hideExpired`
    pub ttl: Option<Ttl>,
    /// `etagAttributeName`
    pub etag_attribute: Option<String>,
    /// `consistentRead`, default false.
    pub consistent_read: bool,
    /// `maxPageItems`: items in one response, 1 to 10,000. Default 100.
    pub max_page_items: u32,
    /// `maxResponseSize`: bytes of one response's items. Default 4 MiB.
    pub max_response_size: usize,
    /// `allowedOperations`, in the order of [`Operation::ALL`].
    pub allowed: Vec<Operation>,
    /// `returnConsumedCapacity`
    pub return_consumed_capacity: bool,
    /// `retryAmbiguous`: whether a conditional or counting write is sent again after an unknown outcome.
    pub repeat_ambiguous: Idempotency,
    /// `statements`: texts of `exec` by name.
    pub statements: BTreeMap<String, String>,
    /// `maxInFlight`: concurrent calls of one bulk. Default 16.
    pub max_in_flight: usize,
    /// `maxBulkItems`: items of one bulk. Default 10,000.
    pub max_bulk_items: usize,
    /// Timeouts and retries.
    pub retry: RetryConfig,
}

impl Options {
    /// Set if expired items are hidden.
    pub(super) fn hidden_by_ttl(&self) -> Option<&Ttl> {
        self.ttl.as_ref().filter(|ttl| ttl.hide_expired)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let retry_ambiguous = reader.boolean("retryAmbiguous").unwrap_or(false);
        let (key, ttl) = (read_key(reader), read_ttl(reader));
        let (allowed, statements) = read_allowed_and_statements(reader);
        Self {
            etag_attribute: read_etag_attribute(reader, key.as_ref(), ttl.as_ref()),
            key,
            codec: read_codec(reader),
            ttl,
            consistent_read: reader.boolean("consistentRead").unwrap_or(false),
            max_page_items: reader
                .number("maxPageItems", 1..=10_000)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(100),
            max_response_size: reader.size("maxResponseSize", RESPONSE_SIZES).unwrap_or(4 << 20),
            allowed,
            return_consumed_capacity: reader.boolean("returnConsumedCapacity").unwrap_or(false),
            repeat_ambiguous: if retry_ambiguous { Idempotency::Idempotent } else { Idempotency::NotIdempotent },
            statements,
            max_in_flight: count(reader, "maxInFlight", 16, 1_000),
            max_bulk_items: count(reader, "maxBulkItems", 10_000, 10_000),
            retry: RetryConfig::read(reader, FIRST_WAIT),
        }
    }
}

fn read_key(reader: &mut Reader<'_>) -> Option<KeySchema> {
    let partition = reader.name_or_alias("partitionKeyName", "partitionKey");
    let sort = reader.name_or_alias("sortKeyName", "sortKey");
    let mut attribute = |field: &'static str| {
        let name = reader.parsed(field, attribute_name)?;
        Some(KeyAttribute { name, kind: None })
    };
    let (partition, sort) = (attribute(partition), attribute(sort));
    match (partition, sort) {
        (Some(partition), sort) if sort.as_ref().is_some_and(|sort| sort.name == partition.name) => {
            reader.fault("sortKeyName", "it is also the partition key", "name the sort key, or leave it out");
            Some(KeySchema { partition, sort })
        }
        (Some(partition), sort) => Some(KeySchema { partition, sort }),
        (None, Some(_)) => {
            reader.fault("partitionKeyName", "the field is missing, although `sortKeyName` is given", "add it");
            None
        }
        (None, None) => None,
    }
}

fn read_codec(reader: &mut Reader<'_>) -> ItemCodec {
    let formats = [("json", ItemFormat::Plain), ("dynamodb-json", ItemFormat::Tagged)];
    let as_text = reader.boolean("numbersAsStrings").unwrap_or(false);
    ItemCodec {
        format: reader.one_of("itemFormat", &formats).unwrap_or_default(),
        types: Arc::new(reader.parsed("attributeTypes", attribute_types).unwrap_or_default()),
        numbers: if as_text { NumberForm::Text } else { NumberForm::Number },
    }
}

fn read_ttl(reader: &mut Reader<'_>) -> Option<Ttl> {
    let default_seconds = reader.number("ttlInSeconds", 1..=MAX_TTL_SECONDS);
    let hide = reader.boolean("hideExpired");
    let Some(attribute) = reader.parsed("ttlAttributeName", attribute_name) else {
        for (field, is_given) in [("ttlInSeconds", default_seconds.is_some()), ("hideExpired", hide == Some(true))] {
            if is_given && !reader.is_given("ttlAttributeName") {
                reader.fault(field, "it has an effect only with `ttlAttributeName`", "name the table's TTL attribute");
            }
        }
        return None;
    };
    Some(Ttl { attribute, default_seconds, hide_expired: hide.unwrap_or(true) })
}

/// A version is written into each item, so nothing else may use its attribute.
fn read_etag_attribute(reader: &mut Reader<'_>, key: Option<&KeySchema>, ttl: Option<&Ttl>) -> Option<String> {
    let name = reader.parsed("etagAttributeName", attribute_name)?;
    let remedy = "name an attribute that nothing else uses, such as `version`";
    if key.is_some_and(|key| key.has(&name)) {
        reader.fault("etagAttributeName", "it is an attribute of the table's key", remedy);
    }
    if ttl.is_some_and(|ttl| ttl.attribute == name) {
        reader.fault("etagAttributeName", "it is also the `ttlAttributeName`", remedy);
    }
    Some(name)
}

fn count(reader: &mut Reader<'_>, name: &'static str, default: usize, max: u64) -> usize {
    reader.number(name, 1..=max).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
}

/// `exec` and its statements are useful only together; one without the other is a notice, not a fault.
fn read_allowed_and_statements(reader: &mut Reader<'_>) -> (Vec<Operation>, BTreeMap<String, String>) {
    let allowed = read_allowed(reader);
    let statements = reader.parsed("statements", statements);
    let is_absent = statements.as_ref().map_or(!reader.is_given("statements"), BTreeMap::is_empty);
    match (allowed.contains(&Operation::Exec), is_absent) {
        (true, true) => {
            reader.notice("allowedOperations", "it names `exec`, but without `statements` there is nothing to execute");
        }
        (false, false) => {
            let text = "they have no effect, because `allowedOperations` does not name `exec`";
            reader.notice("statements", text);
        }
        (true, false) | (false, true) => {}
    }
    (allowed, statements.unwrap_or_default())
}

fn read_allowed(reader: &mut Reader<'_>) -> Vec<Operation> {
    let named = reader.parsed("allowedOperations", |text| {
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(operation).collect::<Result<Vec<_>, _>>()
    });
    // As in daprd: callers may do no more than its component lets them do.
    let only_create = reader.is_dapr_compat();
    let is_allowed = |operation: &Operation| match &named {
        Some(named) => named.contains(operation),
        None if only_create => *operation == Operation::Create,
        None => operation.is_on_by_default(),
    };
    Operation::ALL.into_iter().filter(is_allowed).collect()
}

fn operation(word: &str) -> Result<Operation, (String, String)> {
    Operation::from_name(word).ok_or_else(|| {
        let all = Operation::ALL.map(Operation::as_str);
        let near = nearest(word, all).map(|name| format!("did you mean `{name}`?"));
        ("it names an operation that is not known".to_owned(), near.unwrap_or_else(|| list(&all)))
    })
}

fn list(words: &[&str]) -> String {
    format!("write some of {}, with commas between", words.join(", "))
}

/// `tags=SS,scores=NS,photo=B`
pub(super) fn attribute_types(text: &str) -> Result<AttributeTypes, (String, String)> {
    let remedy = || "write such as `tags=SS,scores=NS,photo=B`".to_owned();
    let mut types = AttributeTypes::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, word)) = pair.rsplit_once('=') else {
            return Err(("each part must be `attribute=TYPE`".to_owned(), remedy()));
        };
        let Some(stated) = StatedType::from_tag(word.trim()) else {
            return Err(("the types are N, B, SS, NS and BS".to_owned(), remedy()));
        };
        if types.insert(name.trim().to_owned(), stated).is_some() {
            return Err(("it names an attribute twice".to_owned(), "leave one out".to_owned()));
        }
    }
    Ok(types)
}

/// DynamoDB's limit for names of key attributes, applied to all attributes that a file names.
fn attribute_name(text: &str) -> Result<String, (String, String)> {
    if text.len() <= 255 {
        Ok(text.to_owned())
    } else {
        Err(("an attribute name has at most 255 bytes here".to_owned(), "shorten it".to_owned()))
    }
}

/// A JSON object with a text for each name.
fn statements(text: &str) -> Result<BTreeMap<String, String>, (String, String)> {
    serde_json::from_str(text).map_err(|_| {
        let remedy = r#"write such as `{"by-customer": "SELECT * FROM \"orders\" WHERE customer = ?"}`"#;
        ("it is not a JSON object of statement texts".to_owned(), remedy.to_owned())
    })
}
