//! The composition root: creates the other modules in order, and stops them in order.
//!
//! *Start:* component files → listeners (before any AWS call, so that a used port fails at once) → components, concurrently,
//! each within its `initTimeout` → HTTP and gRPC are served, outputs can be invoked → the app's port → the app is asked once
//! which inputs it accepts → ready. With health checks, inputs are read while the app is healthy.
//!
//! *Reload:* one owner task compares the files with what runs, and removes, replaces and adds components; it also carries out
//! the changes of the components API. An output serves until the new one is connected; an input is drained before the new
//! one starts.
//!
//! *Stop:* one stop request, after a signal perhaps a block while outputs are served, one time limit, five phases, each
//! logged with its duration: not ready · inputs drain, while the APIs stay open because the app may invoke an output for its
//! last event · HTTP and gRPC drain · outputs close · metrics close.
//! At the time limit tasks are aborted, and still joined.

mod api_changes;
mod app;
mod apply;
mod audit;
mod blocking;
mod catalog;
mod catalog_entries;
mod change;
mod change_checks;
mod change_queue;
mod components_api;
mod configuration;
mod connect;
mod connect_all;
mod data_connectors;
mod files;
mod grpc;
mod http_api;
mod inputs;
mod observation;
mod open_files;
mod overlay;
mod persist;
mod policies;
mod policy_merge;
mod policy_metrics;
mod reading;
mod reload;
mod reload_plan;
mod replacement;
mod running;
mod sockets;
mod start;
mod start_error;

pub use apply::Prepare;
pub use configuration::ConfigurationFault;
pub use running::{Running, Shutdown};
pub use start::{LoadedFiles, load, start, start_prepared};
pub use start_error::StartError;
