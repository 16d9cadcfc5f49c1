//! Health checks by `AppCallbackHealthCheck/HealthCheck`.

use super::super::HealthProbe;
use super::super::probe_count::ProbeCount;
use super::channel::GrpcChannel;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

#[derive(Debug)]
struct GrpcProbe {
    channel: GrpcChannel,
    timeout: Duration,
}

impl GrpcChannel {
    /// A check that the app answers with OK while it is healthy.
    #[must_use]
    pub fn health_probe(&self, timeout: Duration) -> Arc<dyn HealthProbe> {
        Arc::new(GrpcProbe { channel: self.clone(), timeout })
    }
}

#[async_trait]
impl HealthProbe for GrpcProbe {
    async fn check(&self) -> Result<(), String> {
        let (traffic, missing) = (self.channel.traffic(), i32::from(Code::DeadlineExceeded));
        let mut count = ProbeCount::new(missing, |code, took| traffic.probed(code, took));
        let checked = self.channel.check_health(self.timeout).await;
        count.answer = checked.as_ref().map_or_else(Status::code, |()| Code::Ok).into();
        checked
            .map_err(|status| format!("Health check failed with gRPC code {:?}: {}", status.code(), status.message()))
    }
}
