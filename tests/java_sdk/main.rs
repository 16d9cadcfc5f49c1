//! Programs in Java against the embedded services: the AWS SDK with its defaults, which use CBOR, the Kinesis Client
//! Library, and Dapr's SDK. Run with `cargo test --test java_sdk`, which needs a JDK of version 17 or later and Maven.

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
#[path = "../daemon/secrecy.rs"]
mod secrecy;

#[expect(dead_code, reason = "shared with the tests of the other SDKs")]
#[path = "../sdks/client.rs"]
mod client;
#[expect(dead_code, reason = "shared with the tests of the other SDKs")]
#[path = "../sdks/ports.rs"]
mod ports;
#[expect(dead_code, reason = "shared with the tests of the other SDKs")]
#[path = "../sdks/program.rs"]
mod program;

mod dapr;
mod kcl;
mod kcl_worker;
mod maven;
mod sdk;
