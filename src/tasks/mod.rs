//! Starts tasks and joins them. All tasks are started here: the owner of a [`Supervisor`] joins what it spawned.

mod connections;
#[cfg(feature = "testing")]
mod freezer;
mod supervisor;

pub use connections::{Accept, ConnectionHandler, serve_connections};
#[cfg(feature = "testing")]
pub use freezer::{Freezable, Freezer};
pub use supervisor::{Ended, Supervisor, TaskFailure};
