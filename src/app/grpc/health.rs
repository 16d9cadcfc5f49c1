//! Health checks by `AppCallbackHealthCheck/HealthCheck`.

use super::super::HealthProbe;
use super::channel::GrpcChannel;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

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
        let checked = self.channel.check_health(self.timeout).await;
        checked
            .map_err(|status| format!("Health check failed with gRPC code {:?}: {}", status.code(), status.message()))
    }
}
