//! Checks the health of the app again and again (`--enable-app-health-check`).

use super::health::{Health, Transition};
use super::{AppChannel, Route};
use crate::domain::{DeliveryError, cause_line};
use async_trait::async_trait;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// How often the log says again that the app has never been healthy.
const WARN_INTERVAL: Duration = Duration::from_secs(600);

/// How one check is made; another for each protocol.
#[async_trait]
pub trait HealthProbe: Debug + Send + Sync {
    /// Calls the app, and limits the time itself.
    ///
    /// # Errors
    /// With the reason for the log, when the app did not answer or is not healthy.
    async fn check(&self) -> Result<(), String>;
}

/// How often the app is checked, and what makes it unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheckSettings {
    /// From the start of one check to the start of the next; not zero.
    pub interval: Duration,
    /// Failed checks in a row after which the app is unhealthy; 0 counts as 1.
    pub threshold: u32,
}

/// Calls a path of the app by GET; 2xx means healthy.
#[derive(Debug)]
struct HttpProbe {
    channel: AppChannel,
    route: Route,
    timeout: Duration,
}

impl AppChannel {
    /// A check by `GET` of this path. It does not wait for a free connection.
    #[must_use]
    pub fn health_probe(&self, path: &str, timeout: Duration) -> Arc<dyn HealthProbe> {
        Arc::new(HttpProbe { channel: self.clone(), route: Route::of_path(path), timeout })
    }
}

#[async_trait]
impl HealthProbe for HttpProbe {
    async fn check(&self) -> Result<(), String> {
        let traffic = self.channel.traffic();
        let begun = Instant::now();
        let result = self.channel.get_health(&self.route, self.timeout).await;
        // The status of a success is not known here; daprd has no other either.
        let status = result.as_ref().map_or_else(DeliveryError::status, |()| Some(200));
        traffic.probed(status, begun.elapsed());
        match result {
            Ok(()) => Ok(()),
            Err(DeliveryError::Refused { status, .. }) => {
                Err(format!("Health check failed with status code: {status}"))
            }
            Err(error) => Err(format!("Network error: {}", cause_line(&error))),
        }
    }
}

/// Checks the app at once and then in each interval, and tells `is_healthy` of every change. Logs the lines of daprd. Runs
/// until dropped.
pub async fn check_health(
    probe: Arc<dyn HealthProbe>,
    settings: HealthCheckSettings,
    is_healthy: &watch::Sender<bool>,
) -> Infallible {
    let mut health = Health::new(settings.threshold);
    let mut start = StartWarning::new(settings.threshold);
    let mut ticks = tokio::time::interval(settings.interval);
    // A slow check is not followed by a burst of others.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tracing::info!("App health probes starting");
    loop {
        ticks.tick().await;
        let result = probe.check().await;
        let transition = health.record(result.is_ok());
        if start.is_due(result.is_ok(), Instant::now())
            && let Err(reason) = &result
        {
            tracing::warn!(
                "App has not been healthy yet, so its inputs are not read: {reason}; see --app-health-check-path and \
                 --enable-app-health-check"
            );
        }
        match (transition, result) {
            (Some(Transition::ToHealthy), _) => tracing::info!("App entered healthy status"),
            (Some(Transition::ToUnhealthy), Err(reason)) => {
                tracing::warn!("App entered un-healthy status: {reason}");
            }
            (_, Err(reason)) => tracing::debug!(reason, "app health check failed"),
            (_, Ok(())) => {}
        }
        if transition.is_some() {
            is_healthy.send_replace(health.is_healthy());
        }
    }
}

/// Decides when the log says that an app has never been healthy. Later changes have lines of their own.
#[derive(Debug)]
struct StartWarning {
    /// Failed checks until the first warning.
    left: u32,
    warned_at: Option<Instant>,
    was_healthy: bool,
}

impl StartWarning {
    fn new(threshold: u32) -> Self {
        Self { left: threshold.max(1), warned_at: None, was_healthy: false }
    }

    /// Records a check, and returns whether to warn now.
    fn is_due(&mut self, is_success: bool, now: Instant) -> bool {
        self.was_healthy |= is_success;
        self.left = self.left.saturating_sub(1);
        let is_due = !self.was_healthy
            && self.left == 0
            && self.warned_at.is_none_or(|at| now.duration_since(at) >= WARN_INTERVAL);
        if is_due {
            self.warned_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Answers as a script says; the last answer repeats. `None` is no answer in time.
    #[derive(Debug)]
    struct Script {
        answers: Vec<Option<bool>>,
        at: Mutex<Vec<Instant>>,
    }

    #[async_trait]
    impl HealthProbe for Script {
        async fn check(&self) -> Result<(), String> {
            let number = {
                let mut at = self.at.lock().unwrap();
                at.push(Instant::now());
                at.len() - 1
            };
            match self.answers[number.min(self.answers.len() - 1)] {
                Some(true) => Ok(()),
                Some(false) => Err("no".to_owned()),
                None => {
                    tokio::time::sleep(TIMEOUT).await;
                    Err("late".to_owned())
                }
            }
        }
    }

    const TIMEOUT: Duration = Duration::from_millis(500);
    const SETTINGS: HealthCheckSettings = HealthCheckSettings { interval: Duration::from_secs(5), threshold: 2 };

    #[test]
    fn an_app_that_was_never_healthy_is_reported_after_the_threshold_and_rarely_again() {
        let begun = Instant::now();
        let mut start = StartWarning::new(3);
        let due: Vec<u64> =
            (0..1_300).filter(|second| start.is_due(false, begun + Duration::from_secs(*second))).collect();
        assert_eq!(due, [2, 602, 1_202]);
        let mut start = StartWarning::new(0);
        assert!(start.is_due(false, begun) && !start.is_due(true, begun));
        assert!(!start.is_due(false, begun + 2 * WARN_INTERVAL), "the log has told of the change");
    }

    #[tokio::test(start_paused = true)]
    async fn the_app_is_checked_at_once_and_in_each_interval() {
        let answers = vec![None, Some(true), Some(false), None, Some(true)];
        let probe = Arc::new(Script { answers, at: Mutex::default() });
        let (sender, begun) = (watch::Sender::new(false), Instant::now());
        let mut healthy = sender.subscribe();
        let follow = async {
            let mut changes = Vec::new();
            for _ in 0..3 {
                healthy.changed().await.unwrap();
                changes.push((*healthy.borrow_and_update(), begun.elapsed().as_millis()));
            }
            changes
        };
        let changes = tokio::select! {
            never = check_health(Arc::clone(&probe) as _, SETTINGS, &sender) => match never {},
            changes = follow => changes,
        };
        assert_eq!(changes, [(true, 5_000), (false, 15_500), (true, 20_000)]);
        let at: Vec<u128> = probe.at.lock().unwrap().iter().map(|at| at.duration_since(begun).as_millis()).collect();
        assert_eq!(at, [0, 5_000, 10_000, 15_000, 20_000]);
    }
}
