//! The composition root: creates the other modules in order, and stops them in order.
//!
//! *Start:* component files → listeners (before any AWS call, so that a used port fails at once) → components, concurrently,
//! each within its `initTimeout` → HTTP and gRPC are served, outputs can be invoked → the app's port → inputs → ready.
//!
//! *Stop:* one stop request, one time limit, five phases, each logged with its duration: not ready · inputs drain, while
//! the APIs stay open because the app may invoke an output for its last event · HTTP and gRPC drain · outputs close ·
//! metrics close.
//! At the time limit tasks are aborted, and still joined.

mod configuration;
mod grpc;
mod inputs;
mod open_files;
mod policies;
mod running;
mod start;

pub use configuration::ConfigurationFault;
pub use running::{Running, Shutdown};
pub use start::{StartError, load, start};
