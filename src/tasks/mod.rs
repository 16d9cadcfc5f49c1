//! Who runs, who joins. The only room that starts tasks: whoever owns a [`Supervisor`] joins what it spawned.

mod supervisor;

pub use supervisor::{Ended, Supervisor, TaskFailure};
