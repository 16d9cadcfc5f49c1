//! The kinds of component that a file can name, each in its own folder.
//!
//! [`check`] makes a typed [`Spec`] of every document that `manifest` loaded. It is pure and finds all faults of all files.
//! [`connect`] then makes a [`Binding`](crate::domain::Binding) of one checked component.
//!
//! To add a kind: a folder with a spec and a binding, a row in `catalog.rs`, a variant of [`Spec`], its type in
//! `manifest::kinds`. What kinds share is here: fields (`connection`, `credentials`, `region`, `fields`, `retry`), requests
//! (`strict_json`, `metadata_check`), filters and transforms (`shaping`), failed items (`item_failure`, `dead_letter`), `sides`
//! and checks between components (`cross_checks`). `pluggable` serves types that are known only at run time, from programs
//! at Unix sockets. `secretstores` are no components: they are read before the components are checked. `access` finds out
//! whether a component has the access that it needs: it decides which calls to try and what their results mean, and
//! `access_calls` makes them.

mod access;
mod access_calls;
mod catalog;
mod checked;
mod connection;
mod context;
mod credentials;
pub mod cron;
mod cross_checks;
mod dead_letter;
pub mod dynamodb;
mod fields;
pub mod http;
mod item_failure;
pub mod kinesis;
pub mod localstorage;
mod metadata_check;
pub mod pluggable;
mod region;
mod retry;
pub mod secretstores;
pub mod shaping;
mod shaping_memory;
mod sides;
pub(crate) mod strict_json;
pub mod trial;
mod try_component;

pub use crate::consumer::SharedLimits;
pub use crate::producer::Successions;
pub(crate) use access::{ComponentAccess, Finding, check_access};
pub use catalog::{CheckResult, check, check_with, connect};
pub use checked::{Checked, Spec};
pub use context::{Context, LeaseTables, Registry};
pub use cross_checks::missing_files;
pub use retry::RetryConfig;
pub use shaping_memory::ShapingMemory;
pub use try_component::{trial_side, try_component};
