//! `bindings.aws.dynamodb`: reads and writes items of one table.
//!
//! `spec` and `options` read the component's file, `binding` connects it. A request passes `output` (is the operation
//! allowed, what does its metadata override; `shaped_item` filters and transforms what is created), then the file of its
//! operation in `operations`, which parses `data`, makes the SDK call and builds the response. `context` is what all
//! operations use: the SDK client, the table, its key (if it is known), retries and metrics. `codec` converts items from
//! and to JSON.
//!
//! Invariants: a write is sent again after an unknown outcome only where that does no harm or the caller allows it; a
//! request never outlives its deadline; callers cannot use placeholders that begin with `#bd_` or `:bd_`.

mod binding;
mod codec;
mod context;
mod etag;
mod expression;
mod failure;
mod operation;
mod operations;
mod options;
mod output;
mod request;
mod request_data;
mod response;
mod shaped_item;
mod spec;
mod table_key;
mod trial;
mod ttl;
mod update_expression;

pub(super) use binding::connect;
pub use operation::Operation;
pub use options::{Options, Ttl};
pub use spec::Spec;
pub(super) use trial::try_item;
