//! What keeps components alive: the host that finds them by name, readiness, the inputs that are started again when
//! they fail, and the signals that end it all.
//!
//! `http` asks the [`Host`] to perform an operation and asks [`Readiness`] for its health answers. The composition
//! root builds the host once, runs the inputs with [`run_inputs`], and wraps its whole work in [`Signals::govern`].
//!
//! Laws: the host never changes after it was built, so nobody locks it. A task that this room starts is joined by
//! this room. Whoever holds a [`ReadinessGuard`] keeps the process unready; after [`Readiness::stop`] it never
//! becomes ready again.

mod host;
mod inputs;
mod readiness;
mod signals;

pub use host::{Component, Description, Host, InvokeError};
pub use inputs::{Admission, InputGate, InputSlot, Settled, run as run_inputs};
pub use readiness::{Readiness, ReadinessGuard};
pub use signals::{Caught, Governed, Signals};
