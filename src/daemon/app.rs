//! The app: its channel, the wait until it is up, and whether it is healthy.

use crate::app::{
    AppChannel, AppPort, AppSettings, GrpcChannel, HealthCheckSettings, HealthProbe, HttpProtocol, InvalidAppSettings,
    check_health,
};
use crate::domain::{Stop, cause_line};
use crate::runtime::ReadinessGuard;
use crate::settings::{AppHealthSettings, AppProtocol, Settings};
use crate::telemetry::{Metrics, Tracer};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// How the app is called. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Channel {
    Http(AppChannel),
    Grpc(GrpcChannel),
}

/// The app, and what it is asked before the first event.
#[derive(Debug)]
pub(super) struct App {
    pub(super) channel: Channel,
    app_id: String,
    skips_config: bool,
    health: Option<AppHealthSettings>,
}

impl Channel {
    fn port(&self) -> AppPort {
        match self {
            Self::Http(channel) => channel.port(),
            Self::Grpc(channel) => channel.port(),
        }
    }

    /// Runs until dropped. The only connection of gRPC needs no care.
    async fn reap_idle(&self) -> Infallible {
        match self {
            Self::Http(channel) => channel.reap_idle().await,
            Self::Grpc(_) => std::future::pending().await,
        }
    }
}

impl App {
    /// `None` without an app port.
    pub(super) fn new(
        settings: &Settings,
        metrics: &Metrics,
        tracer: &Tracer,
    ) -> Result<Option<Self>, InvalidAppSettings> {
        let Some(app) = &settings.app else { return Ok(None) };
        let defaults = AppSettings::new(app.port);
        let app_settings = AppSettings {
            address: app.address.clone(),
            protocol: match app.protocol {
                AppProtocol::Https => HttpProtocol::Https,
                AppProtocol::H2c => HttpProtocol::H2c,
                AppProtocol::Http | AppProtocol::Grpc | AppProtocol::Grpcs => HttpProtocol::Http,
            },
            api_token: settings.app_api_token.clone(),
            event_timeout: settings.app_timeout,
            probe_timeout: settings.probe_timeout,
            max_connections: settings.app_max_concurrency.unwrap_or(defaults.max_connections),
            has_go_headers: settings.dapr_compat,
            traffic: metrics.dapr().http().clone(),
            grpc_traffic: metrics.dapr().grpc().clone(),
            tracer: tracer.clone(),
            ..defaults
        };
        let channel = match app.protocol {
            AppProtocol::Grpc => Channel::Grpc(GrpcChannel::new(&app_settings, false)?),
            AppProtocol::Grpcs => Channel::Grpc(GrpcChannel::new(&app_settings, true)?),
            AppProtocol::Http | AppProtocol::Https | AppProtocol::H2c => Channel::Http(AppChannel::new(&app_settings)?),
        };
        let (app_id, health) = (settings.app_id.clone(), settings.app_health.clone());
        Ok(Some(Self { channel, app_id, skips_config: settings.skips_app_config, health }))
    }

    /// Whether its inputs are read only while checks succeed.
    pub(super) const fn has_checks(&self) -> bool {
        self.health.is_some()
    }

    /// Apps have it over HTTP only, as with daprd.
    async fn ask_for_config(&self) {
        let Channel::Http(channel) = &self.channel else { return };
        if self.skips_config {
            tracing::warn!(
                "Skipping programmatic dapr configuration loading (see 'disable-init-endpoints' flag/annotation)"
            );
            return;
        }
        match channel.get_config(&self.app_id).await {
            Ok(()) => tracing::info!("Application configuration loaded"),
            Err(error) => tracing::debug!(error = %cause_line(&error), "app has no configuration"),
        }
    }

    /// Follows the checks until dropped. The app is asked for its configuration before it counts as healthy for the first
    /// time.
    async fn follow_checks(&self, checks: &AppHealthSettings, is_healthy: &watch::Sender<bool>) {
        let probe: Arc<dyn HealthProbe> = match &self.channel {
            Channel::Http(channel) => channel.health_probe(&checks.path, checks.timeout),
            Channel::Grpc(channel) => channel.health_probe(checks.timeout),
        };
        let AppHealthSettings { interval, threshold, .. } = *checks;
        let (checked, mut results) = watch::channel(false);
        let follow = async {
            let mut is_configured = false;
            while results.changed().await.is_ok() {
                let result = *results.borrow_and_update();
                if result && !is_configured {
                    self.ask_for_config().await;
                    is_configured = true;
                }
                is_healthy.send_replace(result);
            }
        };
        let settings = HealthCheckSettings { interval, threshold };
        tokio::select! {
            never = check_health(probe, settings, &checked) => match never {},
            () = follow => {}
        }
    }
}

/// Waits for the app, and then tells `is_healthy` of it until `stop`. Without an app port, the app counts as healthy, as in
/// daprd. `discovered` is dropped once the app is up.
pub(super) async fn run(app: Option<App>, is_healthy: watch::Sender<bool>, discovered: ReadinessGuard, stop: Stop) {
    let Some(app) = app else {
        is_healthy.send_replace(true);
        drop(discovered);
        stop.finishing().await;
        return;
    };
    if !app.channel.port().wait_until_up(&stop).await {
        return;
    }
    drop(discovered);
    let following = async {
        match &app.health {
            Some(checks) => app.follow_checks(checks, &is_healthy).await,
            None => {
                app.ask_for_config().await;
                is_healthy.send_replace(true);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.finishing() => {}
        () = following => {}
        never = app.channel.reap_idle() => match never {},
    }
    if let Channel::Http(channel) = &app.channel {
        channel.close().await;
    }
}
