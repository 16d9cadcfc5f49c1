//! The outputs against ministack, an emulator of another house: `cargo test --features ministack --test ministack`.
//! Takes the program from `MINISTACK`, else from the path; `pip install ministack==1.5.33` gives it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "how a test says that something is broken")]

#[expect(dead_code, reason = "shared with the tests against our own backend")]
#[path = "../outputs/callers.rs"]
mod callers;
#[path = "../outputs/judge.rs"]
mod judge;
#[expect(dead_code, reason = "shared with the tests against our own backend")]
#[path = "../outputs/world.rs"]
mod world;

mod emulator;
mod kinesis;
mod operations;
mod rows;
