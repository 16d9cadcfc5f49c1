//! The kinds of component that a file can name: one folder each, and one row each in the catalog.
//!
//! A kind begins as text and ends as a connected [`Binding`](crate::domain::Binding). The first half is here and pure:
//! [`check`] takes what `manifest` loaded and gives a typed [`Spec`] for every component, with all faults of all of
//! them together, before anything is contacted. The second half, connecting, is where a port meets its adapter.
//!
//! To add a kind: a folder with its `spec.rs` and `binding.rs`, a row in `catalog.rs`, a variant of [`Spec`].

mod absent_files;
mod alongside;
mod attempts;
mod catalog;
mod connect;
mod connection;
mod dead_letter;
pub mod dynamodb;
mod identity;
mod item_failure;
pub mod kinesis;
mod lease_tables;
mod metadata_names;
mod names;
mod peers;
mod region;
mod shape;
mod toolbox;
mod trying;

pub use absent_files::absent_files;
pub use catalog::{Checked, Spec, Verdict, check};
pub use connect::connect;
pub use lease_tables::LeaseTables;
pub use peers::Peers;
pub use toolbox::Toolbox;
pub use trying::Trying;
