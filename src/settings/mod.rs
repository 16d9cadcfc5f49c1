//! Settings of the process, gathered once from the command line and the environment.
//!
//! `main` calls [`parse`]. No other module uses the argument parser, or reads flags and environment variables that are
//! settings. The flags are those of daprd, so that a command line for daprd also starts bindd. A flag of daprd without
//! effect here is accepted and listed in [`Settings::unused_flags`], to be logged at debug; an unknown flag is an
//! error.
//!
//! Invariant: all values are checked here; a settings struct contains no text that still has to be parsed.

mod arguments;
mod components_api;
mod daprd_flags;
mod environment;
mod flags;
mod gather;
mod gather_daprd;
mod gather_leases;
mod generate;
mod lease_flags;
mod leases;
mod model;
mod values;

#[cfg(test)]
mod tests;

pub use components_api::ComponentsApiSettings;
pub use gather::parse;
pub use leases::{ImportSource, LeaseTableSource, LeasesAction, LeasesSettings, SeekTarget, ShardSelection};
pub use model::{
    AppEndpoint, AppHealthSettings, AppProtocol, CheckSettings, Command, Mode, PolicySettings, ProbeSettings,
    ReloadSettings, Settings, UsageError, WaitSettings,
};
#[cfg(feature = "embedded")]
pub use model::{DemoSettings, DevSettings};
