//! `bindings.aws.dynamodb`: items out.

mod spec;

pub use spec::Spec;
