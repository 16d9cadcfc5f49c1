//! (map to be written)
#![forbid(unsafe_code)]

pub mod app;
pub mod aws;
pub mod components;
pub mod consumer;
pub mod domain;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod http;
pub mod manifest;
pub mod resilience;
pub mod runtime;
pub mod settings;
pub mod tasks;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
