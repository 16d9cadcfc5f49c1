//! `bindings.aws.dynamodb`: items of one table, out and in.
//!
//! A request passes `output` (is the operation allowed, what overrides does the request bring), then the module of its
//! operation. `shapes` and `update_shape` read `data` and are pure; `keys` knows the table's key, if anybody told it.

mod binding;
mod bulk;
mod bulk_answer;
pub mod calls;
mod create;
mod delete;
mod etag;
mod exec;
mod get;
mod keys;
mod life;
mod operation;
mod options;
mod output;
mod paging;
mod projection;
mod query;
mod request;
mod shapes;
mod spec;
mod token;
mod transact;
mod update;
mod update_shape;
mod writes;

pub(super) use binding::connect;
pub use operation::Operation;
pub use options::{Expired, Life, Options};
pub use spec::Spec;
