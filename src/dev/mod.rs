//! `bindd dev`: the sidecar for the user's own component files and app, against AWS embedded in this process.
//!
//! Components that name no `endpoint` of their own are pointed at the embedded services. Streams and tables that the
//! files name are created. With a command, the app is started with `DAPR_HTTP_PORT` and friends in its environment and
//! stopped with the sidecar.

mod app_process;
mod run;
mod stage;

pub use run::{DevError, run};
pub use stage::{Stage, StageError};
