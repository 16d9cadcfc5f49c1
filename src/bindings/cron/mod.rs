//! `bindings.cron`: calls the app by a schedule.
//!
//! `spec` reads the file. `schedule` is what Dapr's cron parser accepts, and finds the next firing; `fields` are its parts,
//! `zone` and `posix_zone` the time zone, `civil` days and times of the calendar. `ticker` decides when to fire, without a
//! clock; `input` waits and delivers.
//!
//! Invariant: a firing is delivered at most once and not stored. One that could not be delivered, or was due while the input
//! was not read, is logged and counted.

mod binding;
mod civil;
mod fields;
mod input;
mod posix_zone;
mod schedule;
mod spec;
mod ticker;
mod zone;

pub(super) use binding::connect;
pub use spec::Spec;
