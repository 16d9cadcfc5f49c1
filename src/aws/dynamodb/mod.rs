//! DynamoDB: items out, and the table of leases.

mod attribute;
mod lease_item;
mod number;

pub use attribute::{Item, ItemFault, ItemProblem, LARGEST_ITEM, item_from_json};
pub use number::NumberProblem;
