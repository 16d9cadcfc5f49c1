//! Who runs, who joins. The only room that starts tasks: whoever owns a [`Supervisor`] joins what it spawned.

mod connections;
mod supervisor;

pub use connections::{Accept, ConnectionHandler, serve_connections};
pub use supervisor::{Ended, Supervisor, TaskFailure};
