//! The fields of a `bindings.aws.dynamodb` file beside table and connection.

use super::super::retry::RetryConfig;
use super::calls::{
    AttributeTypes, CapacityReport, Consistency, ItemFormat, KeyAttribute, KeySchema, NumberForm, Spelling, StatedType,
};
use super::operation::Operation;
use crate::manifest::{Reader, nearest};
use crate::resilience::Idempotency;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// `backoffInitialInterval` where the file gives none: DynamoDB's waits may be short.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest life of an item: a hundred years, in seconds.
pub(super) const LONGEST_LIFE: u64 = 3_155_760_000;
/// The least that `maxResponseSize` may be: an item of 400 KB whose text needs escapes.
const LEAST_RESPONSE: usize = 1 << 20;
const RESPONSE_SIZES: RangeInclusive<usize> = LEAST_RESPONSE..=64 << 20;

/// Whether items whose life is over, but which DynamoDB has not removed yet, are shown (`hideExpired`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expired {
    /// They are not.
    Hidden,
    /// They are.
    #[default]
    Shown,
}

/// The life of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// `ttlAttributeName`: holds the second since 1970 after which DynamoDB may remove the item.
    pub attribute: String,
    /// `ttlInSeconds` for items whose request names none.
    pub seconds: Option<u64>,
    /// `hideExpired`, default true.
    pub expired: Expired,
}

/// How a component treats requests and items.
#[derive(Debug, Clone)]
pub struct Options {
    /// `partitionKeyName` and `sortKeyName`, where the file tells them.
    pub key: Option<KeySchema>,
    /// `itemFormat`, `attributeTypes`, `numbersAsStrings`
    pub spelling: Spelling,
    /// `ttlAttributeName`, `ttlInSeconds`, `hideExpired`
    pub life: Option<Life>,
    /// `etagAttributeName`
    pub etag_attribute: Option<String>,
    /// `consistentRead`, default false.
    pub consistency: Consistency,
    /// `maxPageItems`: items in one answer, 1 to 10,000. Default 100.
    pub max_page_items: u32,
    /// `maxResponseSize`: bytes of one answer's items. Default 4 MiB.
    pub max_response_size: usize,
    /// `allowedOperations`, in the order of [`Operation::ALL`].
    pub allowed: Vec<Operation>,
    /// `returnConsumedCapacity`
    pub capacity: CapacityReport,
    /// `retryAmbiguous`: whether a conditional or counting write is sent again after an unknown outcome.
    pub repeat_ambiguous: Idempotency,
    /// `statements`: texts of `exec` by name.
    pub statements: BTreeMap<String, String>,
    /// `maxInFlight`: calls of one bulk open at once. Default 16.
    pub max_in_flight: usize,
    /// `maxBulkItems`: items of one bulk. Default 10,000.
    pub max_bulk_items: usize,
    /// Times and retries; the first wait is 25 ms.
    pub trying: RetryConfig,
}

impl Options {
    /// The life of items, where those whose life is over are hidden.
    pub(super) fn hidden(&self) -> Option<&Life> {
        self.life.as_ref().filter(|life| match life.expired {
            Expired::Hidden => true,
            Expired::Shown => false,
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let strong = reader.boolean("consistentRead").unwrap_or(false);
        let capacity = reader.boolean("returnConsumedCapacity").unwrap_or(false);
        let retry_ambiguous = reader.boolean("retryAmbiguous").unwrap_or(false);
        let (key, life) = (read_key(reader), read_life(reader));
        let (allowed, statements) = read_allowed_and_statements(reader);
        Self {
            etag_attribute: read_etag_attribute(reader, key.as_ref(), life.as_ref()),
            key,
            spelling: read_spelling(reader),
            life,
            consistency: if strong { Consistency::Strong } else { Consistency::Eventual },
            max_page_items: read_page_items(reader),
            max_response_size: reader.size("maxResponseSize", RESPONSE_SIZES).unwrap_or(4 << 20),
            allowed,
            capacity: if capacity { CapacityReport::Total } else { CapacityReport::Off },
            repeat_ambiguous: if retry_ambiguous { Idempotency::Idempotent } else { Idempotency::NotIdempotent },
            statements,
            max_in_flight: count(reader, "maxInFlight", 16, 1_000),
            max_bulk_items: count(reader, "maxBulkItems", 10_000, 10_000),
            trying: RetryConfig::read(reader, FIRST_WAIT),
        }
    }
}

fn read_key(reader: &mut Reader<'_>) -> Option<KeySchema> {
    let mut attribute = |name, alias| {
        let field = reader.name_or_alias(name, alias);
        let name = reader.parsed(field, attribute_name)?;
        Some(KeyAttribute { name, kind: None })
    };
    let partition = attribute("partitionKeyName", "partitionKey");
    let sort = attribute("sortKeyName", "sortKey");
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

fn read_spelling(reader: &mut Reader<'_>) -> Spelling {
    let formats = [("json", ItemFormat::Plain), ("dynamodb-json", ItemFormat::Tagged)];
    let as_text = reader.boolean("numbersAsStrings").unwrap_or(false);
    Spelling {
        format: reader.one_of("itemFormat", &formats).unwrap_or_default(),
        types: Arc::new(reader.parsed("attributeTypes", attribute_types).unwrap_or_default()),
        numbers: if as_text { NumberForm::Text } else { NumberForm::Bare },
    }
}

fn read_life(reader: &mut Reader<'_>) -> Option<Life> {
    let seconds = reader.number("ttlInSeconds", 1..=LONGEST_LIFE);
    let hide = reader.boolean("hideExpired");
    let Some(attribute) = reader.parsed("ttlAttributeName", attribute_name) else {
        for (field, is_given) in [("ttlInSeconds", seconds.is_some()), ("hideExpired", hide == Some(true))] {
            if is_given && !reader.is_given("ttlAttributeName") {
                reader.fault(field, "it has an effect only with `ttlAttributeName`", "name the table's TTL attribute");
            }
        }
        return None;
    };
    let expired = if hide.unwrap_or(true) { Expired::Hidden } else { Expired::Shown };
    Some(Life { attribute, seconds, expired })
}

/// A version is written into each item, so it must have an attribute of its own.
fn read_etag_attribute(reader: &mut Reader<'_>, key: Option<&KeySchema>, life: Option<&Life>) -> Option<String> {
    let name = reader.parsed("etagAttributeName", attribute_name)?;
    let remedy = "name an attribute that nothing else uses, such as `version`";
    if key.is_some_and(|key| key.has(&name)) {
        reader.fault("etagAttributeName", "it is an attribute of the table's key", remedy);
    }
    if life.is_some_and(|life| life.attribute == name) {
        reader.fault("etagAttributeName", "it is also the `ttlAttributeName`", remedy);
    }
    Some(name)
}

fn read_page_items(reader: &mut Reader<'_>) -> u32 {
    reader.number("maxPageItems", 1..=10_000).and_then(|most| u32::try_from(most).ok()).unwrap_or(100)
}

fn count(reader: &mut Reader<'_>, name: &'static str, default: usize, most: u64) -> usize {
    reader.number(name, 1..=most).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
}

/// `exec` and its statements are of use only together; one without the other is odd, but does no harm.
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
    let is_allowed = |operation: &Operation| {
        named.as_ref().map_or_else(|| operation.is_on_by_default(), |named| named.contains(operation))
    };
    Operation::ALL.into_iter().filter(is_allowed).collect()
}

fn operation(word: &str) -> Result<Operation, (String, String)> {
    Operation::of_word(word).ok_or_else(|| {
        let all = Operation::ALL.map(Operation::word);
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
        let Some(stated) = StatedType::of_word(word.trim()) else {
            return Err(("the types are N, B, SS, NS and BS".to_owned(), remedy()));
        };
        if types.insert(name.trim().to_owned(), stated).is_some() {
            return Err(("it names an attribute twice".to_owned(), "leave one out".to_owned()));
        }
    }
    Ok(types)
}

/// DynamoDB's bound for names of key attributes; others may be longer, but not those that a file names.
fn attribute_name(text: &str) -> Result<String, (String, String)> {
    if text.len() <= 255 {
        Ok(text.to_owned())
    } else {
        Err(("an attribute name has at most 255 bytes here".to_owned(), "shorten it".to_owned()))
    }
}

/// A JSON object of texts.
fn statements(text: &str) -> Result<BTreeMap<String, String>, (String, String)> {
    serde_json::from_str(text).map_err(|_| {
        let remedy = r#"write such as `{"by-customer": "SELECT * FROM \"orders\" WHERE customer = ?"}`"#;
        ("it is not a JSON object of statement texts".to_owned(), remedy.to_owned())
    })
}
