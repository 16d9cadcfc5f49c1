//! Notices that the app is down for so long that the leases are to be released (`appDownRelease`), and that it is up again.

use super::delivery::AppAdmission;
use super::settings::ConsumerSettings;
use crate::domain::EventHandler;
use futures_util::future::BoxFuture;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two questions whether the app is up again. Nothing else asks while no lease is held.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

pub(super) struct AppWatch {
    admission: Arc<AppAdmission>,
    handler: Arc<dyn EventHandler>,
    limit: Option<Duration>,
    /// The leases were released, and the app is asked by this call, which survives that its caller is dropped.
    asking: Option<BoxFuture<'static, ()>>,
}

impl AppWatch {
    pub(super) fn new(settings: &ConsumerSettings, handler: Arc<dyn EventHandler>) -> Self {
        let admission = Arc::clone(&settings.limits.admission);
        Self { admission, handler, limit: settings.delivery.app_down_release, asking: None }
    }

    /// Whether the leases are to be released now; true once for each time that the app is down.
    pub(super) fn is_down_too_long(&mut self, now: Instant) -> bool {
        let down_since = self.admission.down_since();
        let is_due = self.limit.zip(down_since).is_some_and(|(limit, since)| now >= since + limit);
        if is_due && self.asking.is_none() {
            self.asking = Some(Box::pin(until_up(Arc::clone(&self.admission), Arc::clone(&self.handler))));
            tracing::warn!(limit = ?self.limit, "leases are released because the app is down");
            return true;
        }
        false
    }

    /// After [`AppWatch::is_down_too_long`] was true: waits until the app answers. Else pending. Cancel-safe.
    pub(super) async fn is_up_again(&mut self) {
        match &mut self.asking {
            Some(asking) => asking.await,
            None => pending().await,
        }
        self.asking = None;
        tracing::info!("leases are taken again because the app is up");
    }
}

async fn until_up(admission: Arc<AppAdmission>, handler: Arc<dyn EventHandler>) {
    // Another input may reach the app first.
    while admission.down_since().is_some() {
        sleep(CHECK_INTERVAL).await;
        if handler.is_reachable().await {
            admission.app_answered();
        }
    }
}
