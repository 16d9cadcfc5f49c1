//! # bindd, a sidecar binding daemon
//!
//! One process beside an app. It reads Dapr `Component` files and puts each behind the trait [`domain::Binding`].
//! The app POSTs to output bindings; bindd POSTs the records of Kinesis streams to the app: at least once, in order per
//! partition key, checkpointed only after the app accepted them.
//!
//! # Modules
//!
//! A module uses only modules of lower layers; `tests/layers.rs` lists which.
//!
//! | layer | module | what it does |
//! |---|---|---|
//! | 10 | [`program`] | runs a command; returns what to print, and the exit code |
//! | 9 | `demo` | the command `demo`: sidecar, app and AWS in one process |
//! | 8 | `dev` | the command `dev`: the sidecar with embedded Kinesis and DynamoDB, and the user's app as a child process |
//! | 7 | [`daemon`] | the composition root: starts and stops everything in order |
//! | 7 | [`cli`] | the commands `check`, `policy` and `leases` |
//! | 6 | [`settings`] | command line and environment |
//! | 6 | [`grpc`] | the API for apps over gRPC |
//! | 5 | [`http`] | the HTTP API for apps, health, metrics and profiles |
//! | 4 | [`bindings`] | the kinds of component, one folder each |
//! | 4 | [`runtime`] | runs connected components: requests, inputs, readiness, signals |
//! | 3 | [`consumer`] | the engine of inputs: reads a sharded stream by leases; knows no AWS |
//! | 3 | [`producer`] | the engine of outputs: batches the records of many callers; knows no AWS |
//! | 3 | [`aws`] | Kinesis, the lease table, credentials and connections |
//! | 3 | [`app`] | delivers events to the app |
//! | 3 | `embedded` | Kinesis and DynamoDB inside the process (feature `embedded`) |
//! | 3 | [`policies`] | timeouts, retries and circuit breakers of `Resiliency` documents |
//! | 2 | [`event_pattern`] | the patterns of EventBridge, with which records are filtered |
//! | 2 | [`manifest`] | reads component files |
//! | 2 | [`resilience`] | backoff and retry policies |
//! | 2 | [`tasks`] | the supervisor of tasks and the accept loop |
//! | 1 | [`aggregation`] | many user records in one Kinesis record: the KPL format, lines, JSON arrays |
//! | 1 | [`jq`] | programs in jq that shape records, with limits |
//! | 2 | [`gzip`] | decompresses records within limits |
//! | 1 | [`telemetry`] | logs and metrics |
//! | 1 | [`profiling`] | CPU and heap profiles of the process |
//! | 1 | [`protocol`] | the messages of gRPC |
//! | 1 | [`domain`] | shared types, and the traits between modules |
//!
//! A request goes through [`http`], [`runtime::Host`], [`bindings`], [`producer`] and [`aws`]. A record goes through
//! [`aws`], [`consumer`] and [`app`]; its checkpoint goes from [`consumer`] to the lease table in [`aws`].
//! `docs/architecture.md` follows both, and a component file, step by step.

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
pub mod event_pattern;
pub mod grpc;
pub mod gzip;
pub mod http;
pub mod jq;
pub mod manifest;
pub mod policies;
pub mod producer;
pub mod profiling;
pub mod program;
pub mod protocol;
pub mod resilience;
pub mod runtime;
pub mod settings;
pub mod tasks;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
