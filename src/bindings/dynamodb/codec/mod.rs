//! Items as JSON and back, without losing a digit. Pure.
//!
//! [`ItemCodec`] holds the options (`format`); `read` parses JSON into an item or says where it cannot be one, `write`
//! serializes an item. `number` knows DynamoDB's numbers, `identity` compares items by value and measures them.

mod error;
mod format;
mod identity;
mod number;
mod read;
mod write;

pub(super) use error::ItemFault;
pub(super) use format::{AttributeTypes, ItemCodec, ItemFormat, NumberForm, StatedType};
pub(super) use identity::{item_identity, key_identity, stored_size, wire_size};
#[cfg(test)]
pub(super) use read::item_from_json;
