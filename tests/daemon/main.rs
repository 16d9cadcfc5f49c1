//! The whole daemon and its adapters, over real sockets, against servers in this process: embedded Kinesis and DynamoDB,
//! or a server with injected faults.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod calls;
mod environment;
mod fakes;
mod input_status;
mod inputs;

mod access;
mod api;
#[path = "../../src/http/tests/api_schema.rs"]
mod api_schema;
mod app_channel;
mod app_failures;
mod app_health;
mod captured_log;
mod combined_records;
mod components;
mod conformance;
mod conformance_grpc;
mod conformance_http2;
mod contract;
mod counts;
mod data_connectors;
mod dead_letters;
mod docs;
mod dynamodb;
mod dynamodb_bulk;
mod fan_out_tls;
mod faulty_backend;
mod formats;
mod grpc;
mod kill;
mod kinds;
mod kinesis_outputs;
mod lease_table;
mod leases;
mod manifests;
mod moving_from_daprd;
mod openapi;
mod outputs;
mod pluggable;
mod process;
mod profiling;
mod reload;
mod reload_order;
mod replicas;
mod resharding;
mod resiliency;
mod restart;
mod secrecy;
mod shaped_inputs;
mod shaped_outputs;
mod shaped_paths;
mod shaping;
mod shutdown;
mod signals;
mod spans;
mod streams;
mod telemetry;
mod trial;
mod two_workers;
