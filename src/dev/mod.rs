//! `bindd dev`: the sidecar for the user's component files and app, against Kinesis and DynamoDB in this process.
//!
//! Components without an `endpoint` get that of the embedded services, and their streams and tables are created. With a
//! command, the app is started with the variables that Dapr's CLI sets, and stopped with the sidecar.

mod app_process;
mod emulators;
mod run;

pub use emulators::{Emulators, EmulatorsError};
pub use run::{DevError, run};
