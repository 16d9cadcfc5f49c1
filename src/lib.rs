//! # bindd, a sidecar binding daemon
//!
//! One process beside an app. It reads Dapr `Component` files and puts each behind the one face [`domain::Binding`].
//! The app POSTs to output bindings; records of Kinesis streams come to the app as POSTs, at least once, in order per
//! partition key, checkpointed only after the app said yes.
//!
//! # The map of the house
//!
//! A room may name only rooms on lower floors; `tests/layers.rs` holds this.
//!
//! | floor | room | what lives there |
//! |---|---|---|
//! | 11 | [`program`] | what each command does and leaves; `main` adds the runtime and the exit |
//! | 10 | `demo` | everything in one process, with a small shop as the app |
//! | 9 | [`cli`], `dev` | the other commands beside the sidecar itself |
//! | 8 | [`daemon`] | the composition root: order of starting and stopping |
//! | 7 | [`settings`] | command line and environment, gathered once |
//! | 6 | [`http`] | the face towards callers; the only place that knows status codes |
//! | 5 | [`runtime`] | what keeps components alive: host, readiness, inputs, signals |
//! | 4 | [`bindings`] | the kinds that a file can name, one folder each |
//! | 3 | [`consumer`] | the engine: a sharded stream consumed by leases; knows no AWS |
//! | 3 | [`producer`] | the engine of outputs: many callers, few calls, each its own answer; knows no AWS |
//! | 3 | [`aws`] | adapters to Kinesis and DynamoDB; the only room that names an AWS SDK |
//! | 3 | [`app`] | adapter to the app: callbacks, probe, waiting for its port |
//! | 3 | `embedded` | Kinesis and DynamoDB inside the process (feature `embedded`) |
//! | 2 | [`resilience`] | policies as values: backoff, retry |
//! | 1 | [`aggregation`] | many user records in one Kinesis record, and back |
//! | 1 | [`manifest`] | component files in, checked words out |
//! | 1 | [`tasks`] | who runs, who joins |
//! | 1 | [`telemetry`] | logs and metrics |
//! | 0 | [`domain`] | the words and the ports |
//!
//! Follow a request: [`http`] → [`runtime::Host`] → [`bindings`] → [`producer`] → [`aws`]. Follow a record: [`aws`] → [`consumer`] →
//! [`app`] → the lease table in [`aws`].

#![forbid(unsafe_code)]

pub mod aggregation;
pub mod app;
pub mod aws;
pub mod bindings;
pub mod cli;
pub mod consumer;
pub mod daemon;
#[cfg(feature = "embedded")]
pub mod demo;
#[cfg(feature = "embedded")]
pub mod dev;
pub mod domain;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod http;
pub mod manifest;
pub mod producer;
pub mod program;
pub mod resilience;
pub mod runtime;
pub mod settings;
pub mod tasks;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
