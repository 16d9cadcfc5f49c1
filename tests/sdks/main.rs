//! The official Dapr SDKs, unmodified and from their registries, against whole sidecars with embedded AWS, and the apps of
//! `examples`. Needs Node 18, Python 3.11 and Go 1.22.6, or later versions of each.

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

mod client;
mod examples;
mod packages;
mod ports;
mod program;
mod sdks;
mod service;
