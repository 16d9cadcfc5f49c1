//! The composition root: builds each room in order, and owns the order of stopping.
//!
//! *Up:* files → listeners (fail fast, before any AWS call) → components, in parallel, each under its `initTimeout` →
//! HTTP, outputs usable → the app's port → its inputs → ready.
//!
//! *Down:* one token, one deadline, five phases, each logged with its duration: unready · inputs drain, while HTTP stays
//! open because the app may call an output for its last event · HTTP drains · outputs flush · close. At the deadline
//! tasks are cut, and still joined.

mod inputs;
mod load;
mod open_files;
mod running;
mod start;

pub use load::load;
pub use running::{Running, Shutdown};
pub use start::{StartError, start};
