//! Both engines on ports in memory: one thread, a paused clock, faults from a seed, and the invariants checked at each
//! step. A failure names its seed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this whole crate is a test")]

mod inputs;
mod outputs;
mod seeds;
