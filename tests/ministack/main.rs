//! Outputs and the lease table against the emulator ministack: `cargo test --test ministack`. Install it by
//! `pip install ministack==1.5.33`; the variable `MINISTACK` names the program if it is not on the `PATH`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "../daemon/faulty_backend/assertions.rs"]
mod assertions;
#[expect(dead_code, reason = "shared with the tests against the null backend")]
#[path = "../daemon/faulty_backend/callers.rs"]
mod callers;
#[expect(dead_code, reason = "shared with the tests against the null backend")]
#[path = "../daemon/faulty_backend/environment.rs"]
mod environment;

mod emulator;
mod items;
mod kinesis;
mod leases;
mod operations;
