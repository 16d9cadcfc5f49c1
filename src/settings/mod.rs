//! Settings of the process, gathered once from the command line and the environment.
//!
//! `main` calls [`parse`] and hands the plain structs on; no other room sees the argument parser or the environment.
//! The flags are daprd's, so that a command line written for daprd starts bindd as well. A flag of daprd without
//! meaning here is accepted and named in [`Settings::unused_flags`], for one warning each; an unknown flag is an error.
//! Laws: what a flag accepts is checked here, and a settings struct holds no text that still needs parsing.

mod arguments;
mod environment;
mod flags;
mod gather;
mod model;
mod unused;
mod values;

#[cfg(test)]
mod tests;

pub use gather::parse;
pub use model::{
    AppEndpoint, CheckSettings, Command, PolicySettings, ProbeSettings, Settings, UsageError, WaitSettings,
};
#[cfg(feature = "embedded")]
pub use model::{DemoSettings, DevSettings};
