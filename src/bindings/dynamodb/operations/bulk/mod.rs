//! `bulkCreate`, `bulkDelete` and `bulkGet`: many items, few calls, a result for each item.
//!
//! `write` and `read` parse requests and make single `BatchWriteItem` and `BatchGetItem` calls. Between both is
//! `engine`, which repeats what DynamoDB left unprocessed until the deadline; `schedule` decides which entries go into
//! the next call. `elements` has what requests and results of both share.
//!
//! Invariants: each element gets exactly one result, at its index; writes of one key keep the order of the request.

mod elements;
mod engine;
mod read;
mod schedule;
mod write;

pub(in super::super) use read::get;
pub(in super::super) use write::{create, delete};
