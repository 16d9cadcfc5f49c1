//! Tables: is it there, what is its key, create it, wait until it is active.

use super::client::Connection;
use super::failure::{Failed, classify};
use crate::domain::{BindingError, FailureKind, Outcome};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType as Role, ScalarAttributeType,
    TableDescription, TableStatus,
};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a new table may take to become active; AWS needs some seconds.
const ACTIVE_WITHIN: Duration = Duration::from_secs(120);
/// How often a table is looked at that is not active yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A DynamoDB item: attribute values by attribute name.
pub type Item = HashMap<String, AttributeValue>;

/// The attributes that tell items of a table apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySchema {
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key, where the table has one.
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
                write!(f, " ({})", kind.word().as_str())?;
            }
        }
        Ok(())
    }
}

/// One attribute of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type; `None` where only the name is known.
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
    const fn word(self) -> ScalarAttributeType {
        match self {
            Self::Text => ScalarAttributeType::S,
            Self::Number => ScalarAttributeType::N,
            Self::Binary => ScalarAttributeType::B,
        }
    }
}

/// The table's key; `None` where we may not look.
///
/// # Errors
/// When the table could not be looked at for another reason, or is not there.
pub(crate) async fn key_schema(client: &Client, table: &str) -> Result<Option<KeySchema>, Failed> {
    let described = client.describe_table().table_name(table).send().await;
    match described.map_err(|error| classify("DynamoDB: DescribeTable", error)) {
        Ok(answer) => Ok(answer.table.as_ref().and_then(schema_of)),
        Err(failed) if failed.kind == FailureKind::Denied => Ok(None),
        Err(failed) => Err(failed),
    }
}

fn schema_of(table: &TableDescription) -> Option<KeySchema> {
    let attribute = |role: &Role| {
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
    Some(KeySchema { partition: attribute(&Role::Hash)?, sort: attribute(&Role::Range) })
}

/// Creates a table with this key if there is none, billed by request, and waits until it is active. Attributes of unknown
/// type become strings. A table that exists is left as it is. The key that the table has then, where we may look.
///
/// # Errors
/// When it could not be looked at or created, or was not active after two minutes.
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

/// Creates the table with this key if there is none, and waits until it is active. Attributes of unknown type become
/// strings. The key that it has then; `None` where we may not look (`dynamodb:DescribeTable` is denied).
///
/// Another process may create it at the same time. A table that exists is left as it is, whatever its key.
///
/// # Errors
/// When it could not be looked at or created, or was not active after two minutes.
pub(super) async fn ensure(client: &Client, table: &str, key: &KeySchema) -> Result<Option<KeySchema>, Failed> {
    let deadline = Instant::now() + ACTIVE_WITHIN;
    let mut is_created = false;
    while Instant::now() < deadline {
        match look(client, table).await? {
            Look::Active(key) => return Ok(key),
            Look::Missing if !is_created => {
                create(client, table, key).await?;
                is_created = true;
            }
            Look::Missing | Look::Changing => sleep(LOOK_AGAIN).await,
        }
    }
    let text = format!("table `{table}` was not active after {ACTIVE_WITHIN:?}");
    Err(Failed {
        kind: FailureKind::TimedOut,
        outcome: Outcome::Unknown,
        source: text.clone().into(),
        text,
        code: None,
        request_id: None,
    })
}

enum Look {
    Missing,
    /// Being created or deleted.
    Changing,
    Active(Option<KeySchema>),
}

async fn look(client: &Client, table: &str) -> Result<Look, Failed> {
    let described = client.describe_table().table_name(table).send().await;
    let failed = match described {
        Ok(answer) => return Ok(answer.table.map_or(Look::Missing, |table| state(&table))),
        Err(error) => classify("DynamoDB: DescribeTable", error),
    };
    match failed.kind {
        FailureKind::NotFound => Ok(Look::Missing),
        FailureKind::Denied => Ok(Look::Active(None)),
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Throttled
        | FailureKind::Transient
        | FailureKind::Unavailable
        | FailureKind::TimedOut
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => Err(failed),
    }
}

fn state(table: &TableDescription) -> Look {
    match table.table_status() {
        // A table that is being changed can be read and written.
        Some(TableStatus::Active | TableStatus::Updating) => Look::Active(schema_of(table)),
        Some(_) | None => Look::Changing,
    }
}

async fn create(client: &Client, table: &str, key: &KeySchema) -> Result<(), Failed> {
    let attributes = [(Some(&key.partition), Role::Hash), (key.sort.as_ref(), Role::Range)];
    let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (attribute, role) in attributes {
        let Some(KeyAttribute { name, kind }) = attribute else { continue };
        let kind = kind.unwrap_or(KeyType::Text).word();
        let element = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
        let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
        let unbuilt =
            |error| classify("DynamoDB: CreateTable", SdkError::<CreateTableError>::construction_failure(error));
        request = request.key_schema(element.map_err(unbuilt)?).attribute_definitions(definition.map_err(unbuilt)?);
    }
    match request.send().await {
        Ok(_) => tracing::info!(table, "table was created"),
        // Another process was first.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {}
        Err(error) => return Err(classify("DynamoDB: CreateTable", error)),
    }
    Ok(())
}
