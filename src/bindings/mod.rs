//! The kinds of component that a file can name: one folder each, and one row each in the catalog.
//!
//! A kind begins as text and ends as a connected [`Binding`](crate::domain::Binding). The first half is here and pure:
//! [`check`] takes what `manifest` loaded and gives a typed [`Spec`] for every component, with all faults of all of
//! them together, before anything is contacted. The second half, connecting, is where a port meets its adapter.
//!
//! To add a kind: a folder with its `spec.rs` and `binding.rs`, a row in `catalog.rs`, a variant of [`Spec`].

mod catalog;
mod connection;
mod context;
mod cross_checks;
mod dead_letter;
pub mod dynamodb;
mod fields;
mod identity;
mod item_failure;
pub mod kinesis;
mod metadata_check;
mod region;
mod retry;
mod strict_json;

pub use catalog::{Checked, Spec, Verdict, check, connect};
pub use context::{Context, LeaseTables, Registry};
pub use cross_checks::missing_files;
pub use retry::RetryConfig;
