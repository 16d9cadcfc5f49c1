//! The methods that are served.

pub(super) const INVOKE_BINDING: &str = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";
pub(super) const GET_METADATA: &str = "/dapr.proto.runtime.v1.Dapr/GetMetadata";
pub(super) const SET_METADATA: &str = "/dapr.proto.runtime.v1.Dapr/SetMetadata";
pub(super) const SHUTDOWN: &str = "/dapr.proto.runtime.v1.Dapr/Shutdown";
pub(super) const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
pub(super) const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
pub(super) const REFLECTION_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// The method with one answer that a path is, as a label.
pub(super) fn unary(path: &str) -> Option<&'static str> {
    [INVOKE_BINDING, GET_METADATA, SET_METADATA, SHUTDOWN, HEALTH_CHECK].into_iter().find(|method| *method == path)
}
