//! Starts tasks and joins them. All tasks are started here: the owner of a [`Supervisor`] joins what it spawned.

mod supervisor;

pub use supervisor::{Ended, Supervisor, TaskFailure};
