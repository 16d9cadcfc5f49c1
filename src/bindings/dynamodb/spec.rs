//! Checks a `bindings.aws.dynamodb` file.

use super::super::connection::read_connection;
use super::super::fields::{name_problem, not_allowed, read_direction};
use super::super::shaping::{self, FilterFields, OnError, Shaping};
use super::operation::{Access, Operation};
use super::options::Options;
use crate::aws::{Arn, ConnectionSettings};
use crate::domain::Direction;
use crate::manifest::{Document, Faults, Notice, Reader};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The fields of a DynamoDB component, checked without contacting AWS.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `table` or `tableName`: name or ARN, as written; DynamoDB accepts both.
    pub table: String,
    /// Region, endpoint, keys and connection options.
    pub connection: ConnectionSettings,
    /// `direction`; `input` is a fault, as this kind has an output side only.
    pub direction: Direction,
    /// `filter` and `transform`, which apply to `create` and `bulkCreate`.
    pub shaping: Option<Arc<Shaping>>,
    /// All other fields.
    pub options: Options,
}

impl Spec {
    /// Checks a document and reports all faults, not only the first. Wrong or missing fields get their defaults, so that
    /// cross-checks can still use the rest; a spec with faults must not be connected.
    #[must_use]
    pub fn check(document: &Document) -> (Self, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        let spec = Self::read(&mut reader);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    /// Reads every field of the kind, whether the document has it or not; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let field = reader.name_or_alias("table", "tableName");
        reader.required_text(field);
        let is_shown = reader.is_written(field);
        let table = reader.parsed(field, |text| parse_table(text, is_shown));
        let region = table.as_ref().and_then(|table| table.region.as_deref()).map(|region| (field, region));
        let connection = read_connection(reader, region);
        let direction = read_direction(reader);
        match direction {
            Direction::Input => {
                reader.fault("direction", "a DynamoDB component has no input", "write `output`, or leave it out");
            }
            Direction::Unstated | Direction::Output | Direction::Both => {}
        }
        let options = Options::read(reader);
        let shaping = read_shaping(reader, &options.allowed);
        // A wrong table is already a fault.
        let table = table.map_or_else(String::new, |table| table.written);
        Self { table, connection, direction, shaping, options }
    }
}

/// An item has only its data, and there is no dead letter target.
fn read_shaping(reader: &mut Reader<'_>, allowed: &[Operation]) -> Option<Arc<Shaping>> {
    let shaping = shaping::read(reader, FilterFields { known: &[], of_input: &[] })?;
    if shaping.on_error() == Some(OnError::DeadLetter) {
        let remedy = "write `fail`, `passthrough` or `drop-counted`";
        reader.fault("transformOnError", "a DynamoDB component has no dead letter target", remedy);
    }
    let is_other = |operation: &Operation| {
        !matches!(operation, Operation::Create | Operation::BulkCreate) && operation.access() != Some(Access::Read)
    };
    if !reader.is_given("allowedOperations") && allowed.iter().any(is_other) {
        let text = "only `create` and `bulkCreate` are filtered and transformed; to allow no other writes, name the operations";
        reader.notice("allowedOperations", text);
    }
    Some(shaping)
}

struct Table {
    written: String,
    region: Option<String>,
}

/// The lengths of `CreateTable.TableName`.
const TABLE_NAME: RangeInclusive<usize> = 3..=255;

/// The rules of `CreateTable.TableName`: 3–255 of `[a-zA-Z0-9_.-]`, or an ARN that ends in such a name.
fn parse_table(text: &str, is_shown: bool) -> Result<Table, (String, String)> {
    if !text.starts_with("arn:") {
        return match name_problem(text, &TABLE_NAME, is_shown) {
            None => Ok(Table { written: text.to_owned(), region: None }),
            Some(problem) => Err((
                not_allowed("a table name", &TABLE_NAME, &problem),
                "correct the name, or write the table's ARN".to_owned(),
            )),
        };
    }
    let is_name = |name: &str| name_problem(name, &TABLE_NAME, is_shown).is_none();
    let is_table = |arn: &Arn<'_>| {
        arn.service == "dynamodb" && arn.has_account() && arn.resource.strip_prefix("table/").is_some_and(is_name)
    };
    let Some(arn) = Arn::parse(text).filter(is_table) else {
        let problem = "this is not the ARN of a table";
        return Err((problem.to_owned(), "write `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME`".to_owned()));
    };
    if !arn.has_region() {
        let problem = "the ARN does not name one region";
        return Err((problem.to_owned(), "write its code in the ARN, such as `eu-central-1`".to_owned()));
    }
    Ok(Table { written: text.to_owned(), region: Some(arn.region.to_owned()) })
}
