//! The engine as its callers see it, on the paused clock, against a writer that follows a script.

mod bounds;
mod failing;
mod flushing;
mod joining;
mod ordering;
mod packing;
mod permission;
mod schedules;
pub(super) mod script;
mod sharing;
