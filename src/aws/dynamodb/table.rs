//! Tables: is it there, what is its key, create it, wait until it is active.

use super::super::failure::{Failed, classify};
use crate::domain::{FailureKind, Outcome};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType as Role, ScalarAttributeType, TableDescription,
    TableStatus,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a new table may take to become active; AWS needs some seconds.
const ACTIVE_WITHIN: Duration = Duration::from_secs(120);
/// How often a table is looked at that is not active yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The attributes that tell items of a table apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySchema {
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key, where the table has one.
    pub sort: Option<KeyAttribute>,
}

impl KeySchema {
    /// Whether the attribute is part of the key.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.partition.name == attribute || self.sort.as_ref().is_some_and(|sort| sort.name == attribute)
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

/// The table's key; `None` where we may not look.
///
/// # Errors
/// When the table could not be looked at for another reason, or is not there.
pub(super) async fn key_schema(client: &Client, table: &str) -> Result<Option<KeySchema>, Failed> {
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

/// The key of an active table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TableKey {
    /// One string attribute, of this name.
    Text(String),
    /// Anything else, in words.
    Other(String),
    /// We may not look (`dynamodb:DescribeTable` is denied).
    Hidden,
}

/// Creates the table with a string key if there is none, and waits until it is active.
///
/// Another process may create it at the same time. A table that exists is left as it is, whatever its key.
///
/// # Errors
/// When it could not be looked at or created, or was not active after two minutes.
pub(super) async fn ensure(client: &Client, table: &str, key: &str) -> Result<TableKey, Failed> {
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
    Active(TableKey),
}

async fn look(client: &Client, table: &str) -> Result<Look, Failed> {
    let described = client.describe_table().table_name(table).send().await;
    let failed = match described {
        Ok(answer) => return Ok(answer.table.map_or(Look::Missing, |table| state(&table))),
        Err(error) => classify("DynamoDB: DescribeTable", error),
    };
    match failed.kind {
        FailureKind::NotFound => Ok(Look::Missing),
        FailureKind::Denied => Ok(Look::Active(TableKey::Hidden)),
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Throttled
        | FailureKind::Transient
        | FailureKind::Unavailable
        | FailureKind::TimedOut
        | FailureKind::Permanent
        | FailureKind::Closed => Err(failed),
    }
}

fn state(table: &TableDescription) -> Look {
    match table.table_status() {
        // A table that is being changed can be read and written.
        Some(TableStatus::Active | TableStatus::Updating) => Look::Active(key_of(table)),
        Some(_) | None => Look::Changing,
    }
}

fn key_of(table: &TableDescription) -> TableKey {
    let kind = |name: &str| {
        let found = table.attribute_definitions().iter().find(|attribute| attribute.attribute_name() == name);
        found.map_or("?", |attribute| attribute.attribute_type().as_str())
    };
    match table.key_schema() {
        [only] if kind(only.attribute_name()) == "S" => TableKey::Text(only.attribute_name().to_owned()),
        keys => {
            let word = |key: &KeySchemaElement| format!("{} ({})", key.attribute_name(), kind(key.attribute_name()));
            TableKey::Other(keys.iter().map(word).collect::<Vec<_>>().join(", "))
        }
    }
}

async fn create(client: &Client, table: &str, key: &str) -> Result<(), Failed> {
    let element = KeySchemaElement::builder().attribute_name(key).key_type(Role::Hash).build();
    let attribute = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S).build();
    let (element, attribute) = match (element, attribute) {
        (Ok(element), Ok(attribute)) => (element, attribute),
        (Err(error), _) | (_, Err(error)) => {
            return Err(classify("DynamoDB: CreateTable", SdkError::<CreateTableError>::construction_failure(error)));
        }
    };
    let request = client
        .create_table()
        .table_name(table)
        .key_schema(element)
        .attribute_definitions(attribute)
        .billing_mode(BillingMode::PayPerRequest);
    match request.send().await {
        Ok(_) => tracing::info!(table, "table was created"),
        // Another process was first.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {}
        Err(error) => return Err(classify("DynamoDB: CreateTable", error)),
    }
    Ok(())
}
