//! Programs in Java against the embedded services: the AWS SDK with its defaults, which use CBOR, and the Kinesis Client
//! Library. Run with `cargo test --features java --test java_sdk`, which needs a JDK of version 17 or later and Maven.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[expect(dead_code, reason = "shared with the tests of the daemon")]
#[path = "../daemon/calls.rs"]
mod calls;
#[expect(dead_code, reason = "shared with the tests of the daemon")]
#[path = "../daemon/environment.rs"]
mod environment;
#[expect(dead_code, unused_imports, reason = "shared with the tests of the daemon")]
#[path = "../daemon/fakes/mod.rs"]
mod fakes;

mod kcl;
mod kcl_worker;
mod maven;
mod sdk;
