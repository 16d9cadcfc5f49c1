//! The messages of gRPC: Dapr's sidecar API, the callbacks of apps, pluggable components, health and error details.
//!
//! `proto` holds the definitions: the part of Dapr's API that concerns bindings, with Dapr's names and numbers, so that
//! any Dapr SDK understands it. The Rust code in `generated` is made from them by the test in this module, without
//! `protoc`. The test fails when it is not up to date, and says how to renew it.
//!
//! Servers are generated for tests; [`crate::grpc`] answers requests itself, because it counts the memory of their bodies.

/// Services and messages of `dapr.proto.runtime.v1`: the sidecar API and the callbacks of apps.
#[allow(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code"
)]
pub mod runtime {
    include!("generated/dapr.proto.runtime.v1.rs");
}

/// Services and messages of `dapr.proto.components.v1`: pluggable bindings.
#[allow(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code"
)]
pub mod components {
    include!("generated/dapr.proto.components.v1.rs");
}

/// Service and messages of `grpc.health.v1`.
#[allow(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code"
)]
pub mod health {
    include!("generated/grpc.health.v1.rs");
}

/// Messages of `google.rpc`: details of errors.
pub mod rpc {
    include!("generated/google.rpc.rs");
}

/// All definitions as an encoded `google.protobuf.FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

#[cfg(test)]
#[path = "tests/generated.rs"]
mod tests;
