//! The outputs against ministack, an emulator of another project: `cargo test --features ministack --test ministack`.
//! Takes the program from `MINISTACK`, else from the path; `pip install ministack==1.5.33` gives it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "how a test says that something is broken")]

#[expect(dead_code, reason = "shared with the tests against our own backend")]
#[path = "../daemon/faulty_backend/callers.rs"]
mod callers;
#[path = "../daemon/faulty_backend/judge.rs"]
mod judge;
#[expect(dead_code, reason = "shared with the tests against our own backend")]
#[path = "../daemon/faulty_backend/world.rs"]
mod world;

mod emulator;
mod kinesis;
mod operations;
mod rows;
