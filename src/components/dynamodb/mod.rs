//! `bindings.aws.dynamodb`: items out.

mod binding;
mod output;
mod spec;

pub(super) use binding::connect;
pub use spec::Spec;
