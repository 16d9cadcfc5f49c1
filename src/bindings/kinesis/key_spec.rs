//! The fields of the keys of records. Each key has one source, and a request may always give its own.

use super::super::shaping::{Expression, Shaping};
use super::interpolation::Interpolation;
use super::keys::{HashKeySource, KeySource, hash_key};
use super::pointer::Pointer;
use crate::domain::PartitionKey;
use crate::manifest::Reader;
use crate::producer::{Aggregation, Ordering, ProducerSettings};

/// The fields that have no effect on a stream that distributes the records itself.
const KEY_FIELDS: [&str; 8] = [
    "partitionKey",
    "partitionKeyFrom",
    "partitionKeyPath",
    "partitionKeyExpression",
    "explicitHashKey",
    "explicitHashKeyFrom",
    "explicitHashKeyPath",
    "explicitHashKeyExpression",
];

/// A constant key, or one with interpolations.
enum Written<K> {
    Constant(K),
    Interpolation(Interpolation),
}

pub(super) fn read_partition_key(reader: &mut Reader<'_>, producer: &ProducerSettings) -> KeySource {
    let written = read_own_partition_key(reader);
    let pointer_field = reader.name_or_alias("partitionKeyFrom", "partitionKeyPath");
    let pointer = read_pointer(reader, pointer_field);
    let program = Expression::read(reader, "partitionKeyExpression");
    check_one_source(reader, ["partitionKey", pointer_field, "partitionKeyExpression"]);
    let words = [("partition-key", false), ("auto", true)];
    let is_auto = reader.one_of("recordDistribution", &words).unwrap_or(false);
    if !is_auto {
        let source = match (written, pointer, program) {
            (_, _, Some(program)) => KeySource::Expression(program),
            (_, Some(pointer), None) => KeySource::Pointer(pointer),
            (Some(Written::Constant(key)), None, None) => KeySource::Constant(key),
            (Some(Written::Interpolation(text)), None, None) => KeySource::Interpolation(text),
            (None, None, None) => KeySource::Random,
        };
        notice_random_keys(reader, &source, producer.aggregation);
        return source;
    }
    for field in KEY_FIELDS {
        if reader.is_given(field) {
            let problem = "with `recordDistribution: auto` records have no keys";
            reader.fault(field, problem, "leave it out, or leave `recordDistribution` out");
        }
    }
    let needs_keys =
        [("ordering", producer.ordering != Ordering::None), ("aggregation", producer.aggregation != Aggregation::None)];
    for (field, _) in needs_keys.iter().filter(|(_, needs)| *needs) {
        let problem = "it needs keys, and with `recordDistribution: auto` there are none";
        reader.fault(field, problem, "leave one of them out");
    }
    KeySource::None
}

/// Records with different keys are not aggregated by key.
fn notice_random_keys(reader: &mut Reader<'_>, source: &KeySource, aggregation: Aggregation) {
    let is_by_key = match aggregation {
        Aggregation::Key | Aggregation::Joined(_) => true,
        Aggregation::None | Aggregation::Shard => false,
    };
    if is_by_key && *source == KeySource::Random {
        let text = "it needs records with the same key, and without a `partitionKey` those whose request names none get a \
                    random one";
        reader.notice("aggregation", text);
    }
}

/// The filter of an output comes before the key, so it sees only one that does not depend on the record.
pub(super) fn notice_filtered_key(reader: &mut Reader<'_>, shaping: &Shaping, source: &KeySource) {
    let why = match source {
        KeySource::Constant(_) => return,
        KeySource::None => "the records of this output have no keys",
        KeySource::Random => "a random key is made after the filter",
        KeySource::Pointer(_) | KeySource::Expression(_) | KeySource::Interpolation(_) => {
            "the key of the component is taken from the record after the filter"
        }
    };
    if shaping.filter_names("partitionKey") {
        let text = format!(
            "at the output, only a request that gives a `partitionKey` in its metadata has one here, because {why}; \
             compare a field of `data` instead, or write `direction: input` if only the input is used"
        );
        reader.notice("filter", &text);
    }
}

pub(super) fn read_hash_key(reader: &mut Reader<'_>, partition_key: &KeySource) -> HashKeySource {
    let wrong = || ("this is not a hash key".to_owned(), "write a decimal number below 2^128".to_owned());
    let written = reader.parsed("explicitHashKey", |text| {
        constant_or_interpolation(text, "explicitHashKeyExpression", |text| hash_key(text).ok_or_else(wrong))
    });
    let pointer_field = reader.name_or_alias("explicitHashKeyFrom", "explicitHashKeyPath");
    let pointer = read_pointer(reader, pointer_field);
    let program = Expression::read(reader, "explicitHashKeyExpression");
    check_one_source(reader, ["explicitHashKey", pointer_field, "explicitHashKeyExpression"]);
    if *partition_key == KeySource::None {
        return HashKeySource::None;
    }
    match (written, pointer, program) {
        (_, _, Some(program)) => HashKeySource::Expression(program),
        (_, Some(pointer), None) => HashKeySource::Pointer(pointer),
        (Some(Written::Constant(key)), None, None) => HashKeySource::Constant(key),
        (Some(Written::Interpolation(text)), None, None) => HashKeySource::Interpolation(text),
        (None, None, None) => HashKeySource::None,
    }
}

/// daprd documents `partitionKey` for the component, but takes only that of the request.
fn read_own_partition_key(reader: &mut Reader<'_>) -> Option<Written<PartitionKey>> {
    let written = reader.parsed("partitionKey", |text| {
        constant_or_interpolation(text, "partitionKeyExpression", |text| {
            text.parse::<PartitionKey>().map_err(|error| (error.to_string(), "shorten it".to_owned()))
        })
    });
    if reader.is_dapr_compat() && written.is_some() {
        reader.notice("partitionKey", "it has no effect, as in daprd; requests may have one in their metadata");
        return None;
    }
    written
}

fn constant_or_interpolation<K>(
    text: &str,
    program_field: &str,
    constant: impl FnOnce(&str) -> Result<K, (String, String)>,
) -> Result<Written<K>, (String, String)> {
    if !Interpolation::is_in(text) {
        return constant(text).map(Written::Constant);
    }
    Interpolation::parse(text).map(Written::Interpolation).map_err(|problem| {
        let forms = r#"`${! json("doc.id") }`, `${! content() }`, `${! uuid_v4() }` or `${! meta("name") }`"#;
        (problem, format!("write {forms}, or a jq program such as `.doc.id` in `{program_field}`"))
    })
}

/// Reads a JSON pointer.
fn read_pointer(reader: &mut Reader<'_>, field: &'static str) -> Option<Pointer> {
    reader.parsed(field, |text| {
        let remedy = || "write one such as `/order/customer`".to_owned();
        text.parse::<Pointer>().map_err(|error| (error.to_string(), remedy()))
    })
}

/// Of the fields of one key, only one can be used.
fn check_one_source(reader: &mut Reader<'_>, fields: [&'static str; 3]) {
    let given: Vec<&str> = fields.into_iter().filter(|field| reader.is_given(field)).collect();
    if let [first, others @ ..] = given.as_slice() {
        for field in others {
            let problem = format!("`{first}` is given too, and only one of them can be used");
            reader.fault(field, problem, "leave one of them out");
        }
    }
}
