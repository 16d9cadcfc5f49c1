//! DynamoDB tables: the key schema, and creating a table that is missing.

use super::client::Connection;
use super::failure::{CallError, classify};
use crate::domain::{BindingError, FailureKind, Outcome};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType as KeyRole, ScalarAttributeType,
    TableDescription, TableStatus,
};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a new table may take to become active; AWS needs some seconds.
const ACTIVE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often the status of a table is polled that is not active yet.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A DynamoDB item: attribute values by attribute name.
pub type Item = HashMap<String, AttributeValue>;

/// The attributes of a table's primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySchema {
    pub partition: KeyAttribute,
    pub sort: Option<KeyAttribute>,
}

impl KeySchema {
    /// One string attribute.
    #[must_use]
    pub fn text(partition: impl Into<String>) -> Self {
        Self { partition: KeyAttribute { name: partition.into(), kind: Some(KeyType::Text) }, sort: None }
    }

    /// Whether the attributes have the same names, whatever their types.
    #[must_use]
    pub fn is_named_as(&self, other: &Self) -> bool {
        let sort = |key: &Self| key.sort.as_ref().map(|sort| sort.name.clone());
        self.partition.name == other.partition.name && sort(self) == sort(other)
    }

    /// Whether the attribute is part of the key.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.partition.name == attribute || self.sort.as_ref().is_some_and(|sort| sort.name == attribute)
    }
}

/// `customer (S), number (N)`; types that are not known are left out.
impl fmt::Display for KeySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes = [Some(&self.partition), self.sort.as_ref()];
        for (place, attribute) in attributes.into_iter().flatten().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(&attribute.name)?;
            if let Some(kind) = attribute.kind {
                write!(f, " ({})", kind.scalar().as_str())?;
            }
        }
        Ok(())
    }
}

/// One attribute of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    pub name: String,
    /// `None` if only the name is known.
    pub kind: Option<KeyType>,
}

/// The types that a key attribute may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `S`
    Text,
    /// `N`
    Number,
    /// `B`
    Binary,
}

impl KeyType {
    const fn scalar(self) -> ScalarAttributeType {
        match self {
            Self::Text => ScalarAttributeType::S,
            Self::Number => ScalarAttributeType::N,
            Self::Binary => ScalarAttributeType::B,
        }
    }
}

/// The table's key; `None` if `dynamodb:DescribeTable` is denied.
pub(crate) async fn key_schema(client: &Client, table: &str) -> Result<Option<KeySchema>, CallError> {
    let described = client.describe_table().table_name(table).send().await;
    match described.map_err(|error| classify("DynamoDB: DescribeTable", error)) {
        Ok(output) => Ok(output.table.as_ref().and_then(schema_of)),
        Err(failed) if failed.kind == FailureKind::Denied => Ok(None),
        Err(failed) => Err(failed),
    }
}

fn schema_of(table: &TableDescription) -> Option<KeySchema> {
    let attribute = |role: &KeyRole| {
        let element = table.key_schema().iter().find(|element| element.key_type() == role)?;
        let name = element.attribute_name();
        let definition = table.attribute_definitions().iter().find(|attribute| attribute.attribute_name() == name);
        let kind = definition.and_then(|attribute| match attribute.attribute_type() {
            ScalarAttributeType::S => Some(KeyType::Text),
            ScalarAttributeType::N => Some(KeyType::Number),
            ScalarAttributeType::B => Some(KeyType::Binary),
            _ => None,
        });
        Some(KeyAttribute { name: name.to_owned(), kind })
    };
    Some(KeySchema { partition: attribute(&KeyRole::Hash)?, sort: attribute(&KeyRole::Range) })
}

/// Creates a table with this key if there is none, billed by request, and waits until it is active. Attributes of unknown
/// type become strings. A table that exists is left as it is. Returns the table's key; `None` if `DescribeTable` is denied.
///
/// # Errors
/// When it could not be described or created, or was not active after two minutes.
pub async fn ensure_table(
    connection: &Connection,
    name: &str,
    key: &KeySchema,
) -> Result<Option<KeySchema>, BindingError> {
    let ensured = Box::pin(ensure(&connection.dynamodb(), name, key)).await;
    ensured.map_err(|mut failed| {
        failed.text.push_str(&format!(" (table `{name}`)"));
        failed.into()
    })
}

/// As [`ensure_table`]. Another process may create the table at the same time.
pub(super) async fn ensure(client: &Client, table: &str, key: &KeySchema) -> Result<Option<KeySchema>, CallError> {
    let deadline = Instant::now() + ACTIVE_TIMEOUT;
    let mut is_created = false;
    while Instant::now() < deadline {
        match status(client, table).await? {
            Status::Active(key) => return Ok(key),
            Status::Missing if !is_created => {
                create(client, table, key).await?;
                is_created = true;
            }
            Status::Missing | Status::Changing => sleep(POLL_INTERVAL).await,
        }
    }
    let text = format!("table `{table}` was not active after {ACTIVE_TIMEOUT:?}");
    Err(CallError::new(FailureKind::TimedOut, Outcome::Unknown, text))
}

enum Status {
    Missing,
    /// Being created or deleted.
    Changing,
    Active(Option<KeySchema>),
}

async fn status(client: &Client, table: &str) -> Result<Status, CallError> {
    let described = client.describe_table().table_name(table).send().await;
    match described.map_err(|error| classify("DynamoDB: DescribeTable", error)) {
        Ok(output) => Ok(output.table.map_or(Status::Missing, |table| status_of(&table))),
        Err(error) if error.kind == FailureKind::NotFound => Ok(Status::Missing),
        Err(error) if error.kind == FailureKind::Denied => Ok(Status::Active(None)),
        Err(error) => Err(error),
    }
}

fn status_of(table: &TableDescription) -> Status {
    match table.table_status() {
        // A table that is being changed can be read and written.
        Some(TableStatus::Active | TableStatus::Updating) => Status::Active(schema_of(table)),
        Some(_) | None => Status::Changing,
    }
}

async fn create(client: &Client, table: &str, key: &KeySchema) -> Result<(), CallError> {
    let attributes = [(Some(&key.partition), KeyRole::Hash), (key.sort.as_ref(), KeyRole::Range)];
    let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (attribute, role) in attributes {
        let Some(KeyAttribute { name, kind }) = attribute else { continue };
        let kind = kind.unwrap_or(KeyType::Text).scalar();
        let element = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
        let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
        let unbuilt =
            |error| classify("DynamoDB: CreateTable", SdkError::<CreateTableError>::construction_failure(error));
        request = request.key_schema(element.map_err(unbuilt)?).attribute_definitions(definition.map_err(unbuilt)?);
    }
    match request.send().await.map_err(|error| classify("DynamoDB: CreateTable", error)) {
        Ok(_) => {
            tracing::info!(table, "table created");
            Ok(())
        }
        // Another process created it first.
        Err(error) if error.is("ResourceInUseException") => Ok(()),
        Err(error) => Err(error),
    }
}
