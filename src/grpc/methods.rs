//! The methods that are served.

use crate::domain::{ApiProtocol, ApiRules, ServedApi};

pub(super) const INVOKE_BINDING: &str = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";
pub(super) const GET_METADATA: &str = "/dapr.proto.runtime.v1.Dapr/GetMetadata";
pub(super) const SET_METADATA: &str = "/dapr.proto.runtime.v1.Dapr/SetMetadata";
pub(super) const SHUTDOWN: &str = "/dapr.proto.runtime.v1.Dapr/Shutdown";
pub(super) const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// Answered by a stream, as reflection is.
pub(super) const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
pub(super) const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
pub(super) const REFLECTION_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// The method with one answer that a path is, as a label.
pub(super) fn unary(path: &str) -> Option<&'static str> {
    [INVOKE_BINDING, GET_METADATA, SET_METADATA, SHUTDOWN, HEALTH_CHECK].into_iter().find(|method| *method == path)
}

/// Whether the Configuration allows a method. Those of other services are always served.
pub(super) fn is_allowed(path: &str, rules: &ApiRules) -> bool {
    let api = match path {
        INVOKE_BINDING => ServedApi::BINDINGS,
        GET_METADATA | SET_METADATA => ServedApi::METADATA,
        SHUTDOWN => ServedApi::SHUTDOWN,
        _ => return true,
    };
    rules.is_allowed(api, ApiProtocol::Grpc)
}
