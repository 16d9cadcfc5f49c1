//! DynamoDB: items out, and the table of leases.
//!
//! `attribute` and `number` turn JSON into items and never lose a digit; `items` puts them. `lease_item` and
//! `lease_writes` spell leases as rows and conditional writes, both without I/O; `lease_table` is the house's
//! `LeaseStore` over `lease_calls`; `lease_setup` and `table` make a table usable before that.
//!
//! The rows have the form of the Kinesis Client Library 2.x, so that an application can move from it to here and back
//! without reading anything twice.

mod attribute;
mod batch_calls;
mod batch_schedule;
mod batches;
mod bulk;
mod expression;
mod identity;
mod items;
mod json_in;
mod json_out;
mod lease_calls;
mod lease_item;
mod lease_setup;
mod lease_table;
mod lease_writes;
mod number;
mod pages;
mod refusal;
mod spelling;
mod statements;
mod table;
mod transactions;

pub use attribute::{Item, ItemFault, ItemProblem, LARGEST_ITEM, Value};
pub use bulk::{BulkFound, BulkOutcome, BulkPace, BulkRead, BulkWrite};
pub use expression::{Condition, Delete, Effect, Placeholders, Put, Update};
pub use items::{
    CapacityReport, Consistency, Found, Get, Items, ItemsSettings, OnRefusal, Returned, Written, ensure_table,
};
pub use lease_table::LeaseTable;
pub use number::NumberProblem;
pub use pages::{Direction, Page, Selection, Walk};
pub use refusal::{CONDITION_FAILED, Refused};
pub use spelling::{AttributeTypes, ItemFormat, NumberForm, Spelling, StatedType, item_from_json};
pub use statements::{Rows, Statement, StatementEffect};
pub use table::{KeyAttribute, KeySchema, KeyType};
pub use transactions::{Check, LARGEST_TRANSACTION, MOST_IN_TRANSACTION, Together, TransactWrite, Transaction};
