//! Simulates the consumer and the producer on in-memory ports, with one thread, a paused clock and faults from a seed. Each
//! step checks the invariants. A failure names its seed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this whole crate is a test")]

mod inputs;
mod outputs;
mod seeds;
