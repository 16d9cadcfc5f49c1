//! Items of one table, by the AWS SDK: JSON into items without losing a digit, and the calls that read and write them.

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
mod number;
mod pages;
mod refusal;
mod spelling;
mod statements;
mod transactions;

pub use crate::aws::{KeyAttribute, KeySchema, KeyType};
pub use attribute::{Item, ItemFault, ItemProblem, LARGEST_ITEM, Value};
pub use bulk::{BulkFound, BulkOutcome, BulkPace, BulkRead, BulkWrite};
pub use expression::{Condition, Delete, Effect, Placeholders, Put, Update};
pub use items::{CapacityReport, Consistency, Found, Get, Items, ItemsSettings, OnRefusal, Returned, Written};
pub use number::NumberProblem;
pub use pages::{Direction, Page, Selection, Walk};
pub use refusal::{CONDITION_FAILED, Refused};
pub use spelling::{AttributeTypes, ItemFormat, NumberForm, Spelling, StatedType, item_from_json};
pub use statements::{Rows, Statement, StatementEffect};
pub use transactions::{Check, LARGEST_TRANSACTION, MOST_IN_TRANSACTION, Together, TransactWrite, Transaction};
