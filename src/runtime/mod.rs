//! Runs the components: the host that finds them by name, readiness, the inputs that are restarted when they fail, and
//! signals.
//!
//! `http` invokes operations through [`Host`], and answers health requests from [`Readiness`]. `daemon` creates the host
//! and runs the [`Inputs`]. `main` runs everything under [`Signals::run_until_signal`].
//!
//! Invariants: a component that is replaced or removed is closed after its last call has ended. Each task that is started
//! here is joined here. The process is not ready while a [`ReadinessGuard`] exists; after [`Readiness::stop`] it never
//! becomes ready again.

mod component;
mod extended_metadata;
mod failure_report;
mod host;
mod input_requests;
mod input_task;
mod inputs;
mod readiness;
mod signals;

pub use component::{Component, ComponentHandle, Description, InputState};
pub use extended_metadata::{ExtendedMetadata, ExtendedMetadataFull};
pub use failure_report::{AMBIGUOUS, DEFAULT_RETRY_AFTER, FailureReport};
pub use host::{Host, InvokeError, OutputsUnderPolicies, Retired};
pub use input_requests::{DrainOutcome, Draining, InputsHandle};
pub use input_task::{Input, SubscriptionCheck};
pub use inputs::Inputs;
pub use readiness::{Readiness, ReadinessGuard};
pub use signals::{Hangups, RunOutcome, Signals, StopSignal, survive_hangups};
