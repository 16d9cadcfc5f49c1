//! `bindings.aws.dynamodb`: items of one table, out and in.
//!
//! A request passes `output` (is the operation allowed, what overrides does the request bring), then the module of its
//! operation. `shapes` and `update_shape` read `data` and are pure; `keys` knows the table's key, if anybody told it.

mod binding;
mod bulk;
mod bulk_answer;
mod create;
mod exec;
mod keys;
mod operation;
mod options;
mod output;
mod request;
mod shapes;
mod spec;
mod transact;
mod update_shape;

pub(super) use binding::connect;
pub use operation::Operation;
pub use options::{Expired, Life, Options};
pub use spec::Spec;
