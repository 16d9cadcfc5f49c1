//! Starts tasks and joins them. All tasks are started here: the owner of a [`Supervisor`] joins what it spawned.

mod connections;
mod supervisor;

pub use connections::{Accept, ConnectionHandler, serve_connections};
pub use supervisor::{Ended, Supervisor, TaskFailure};
