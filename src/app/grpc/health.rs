//! Health checks by `AppCallbackHealthCheck/HealthCheck`.

use super::super::HealthProbe;
use super::channel::GrpcChannel;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
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
        let begun = Instant::now();
        let checked = self.channel.check_health(self.timeout).await;
        let code = checked.as_ref().map_or_else(Status::code, |()| Code::Ok);
        self.channel.traffic().probed(code.into(), begun.elapsed());
        checked
            .map_err(|status| format!("Health check failed with gRPC code {:?}: {}", status.code(), status.message()))
    }
}
