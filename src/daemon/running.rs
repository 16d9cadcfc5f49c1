//! A daemon that is running, and how it shuts down.

use super::blocking::block_shutdown;
use crate::domain::Stop;
use crate::http::Drained;
use crate::manifest::Configuration;
use crate::runtime::{DrainOutcome, Host, Readiness};
use crate::tasks::{Ended, Supervisor};
use crate::telemetry::Metrics;
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) const HTTP: &str = "http";
pub(super) const GRPC: &str = "grpc";
pub(super) const METRICS: &str = "metrics";
pub(super) const PROFILES: &str = "profiles";
pub(super) const TRACES: &str = "traces";
pub(super) const INPUTS: &str = "inputs";
pub(super) const APP: &str = "app";
pub(super) const RELOAD: &str = "reload";

/// How long tasks may take to join their own tasks after a forced stop. Then they are aborted.
const JOIN_TIMEOUT: Duration = Duration::from_millis(2_250);
/// This long before the end of a graceful stop, requests that still wait for an output are answered without a result. At
/// most a fifth of the whole time.
const RESPONSE_MARGIN: Duration = Duration::from_millis(500);
/// How long the response to a request for a forced stop may take.
const FORCE_DELAY: Duration = Duration::from_millis(100);
/// How long an output may take to answer its pending requests when it is closed early.
const EARLY_CLOSE_TIMEOUT: Duration = Duration::from_millis(50);

/// Result of one of the daemon's own tasks.
#[derive(Debug)]
pub(super) enum TaskResult {
    Http(Drained),
    Grpc(Drained),
    Metrics(Drained),
    Profiles(Drained),
    Traces,
    Inputs(DrainOutcome),
    App,
    Reload,
}

/// The stop tokens of the tasks, so that they end in order.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// Requested by `POST /v1.0/shutdown`.
    pub(super) api: Stop,
    pub(super) reload: Stop,
    pub(super) inputs: Stop,
    /// The health checks, and the connections to the app.
    pub(super) app: Stop,
    /// Requests that still wait for an output must be answered now.
    pub(super) abort_calls: Stop,
    pub(super) http: Stop,
    /// The metrics and the profiles.
    pub(super) metrics: Stop,
    /// After everything that has spans.
    pub(super) traces: Stop,
}

/// A running daemon. Dropping it aborts its tasks; use [`Running::run_until`].
#[derive(Debug)]
pub struct Running {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) public_address: Option<SocketAddr>,
    pub(super) grpc_addresses: Vec<SocketAddr>,
    pub(super) internal_grpc_address: Option<SocketAddr>,
    pub(super) metrics_address: Option<SocketAddr>,
    pub(super) profile_address: Option<SocketAddr>,
    pub(super) host: Arc<Host>,
    /// Of `--config`.
    pub(super) configuration: Configuration,
    pub(super) ready: Readiness,
    pub(super) outbound: Readiness,
    pub(super) metrics: Metrics,
    pub(super) tasks: Supervisor<TaskResult>,
    pub(super) stops: Stops,
    pub(super) begun: Instant,
    pub(super) is_app_healthy: watch::Receiver<bool>,
    pub(super) limit: Option<Duration>,
    pub(super) block: Option<Duration>,
    pub(super) response_margin: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Every phase was completed.
    Clean,
    /// Something had failed, or was aborted at the time limit or by a second signal.
    Aborted,
}

/// Why a daemon stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopCause {
    Signal,
    /// `POST /v1.0/shutdown`
    Api,
    /// A task has failed.
    Failure,
}

impl Running {
    /// The first address of the HTTP API.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The address of the public port, if there is one.
    #[must_use]
    pub const fn public_address(&self) -> Option<SocketAddr> {
        self.public_address
    }

    /// The first address of the gRPC API.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The address for other sidecars, if there is one.
    #[must_use]
    pub const fn internal_grpc_address(&self) -> Option<SocketAddr> {
        self.internal_grpc_address
    }

    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The first address of the profiles, if they are served.
    #[must_use]
    pub const fn profile_address(&self) -> Option<SocketAddr> {
        self.profile_address
    }

    /// What the files of `--config` say.
    #[must_use]
    pub const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sets how long before the end of a graceful stop pending requests are answered without a result. The default is half
    /// a second, at most a fifth of the time limit.
    #[must_use]
    pub const fn with_response_margin(mut self, margin: Duration) -> Self {
        self.response_margin = Some(margin);
        self
    }

    /// Runs until `stop` or `POST /v1.0/shutdown` requests a stop, or a task fails. After `stop`, inputs stop at once, and the
    /// rest is served on for the time of `--dapr-block-shutdown-duration`. Then stops in phases, within the time limit of the
    /// settings. A forced `stop` aborts what is left.
    pub async fn run_until(mut self, stop: &Stop) -> Shutdown {
        let cause = self.until_stopped(stop).await;
        if let (StopCause::Signal, Some(time)) = (cause, self.block) {
            // For good; the APIs stay open.
            self.stops.inputs.finish();
            block_shutdown(time, self.is_app_healthy.clone(), [stop, &self.stops.api]).await;
        }
        tracing::info!("Dapr is shutting down");
        if self.limit.is_none() {
            tracing::warn!("Graceful shutdown timeout is infinite, will wait indefinitely to shutdown");
        }
        let deadline = async {
            match self.limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let answer_by = self.limit.map(|limit| {
            let margin = self.response_margin.unwrap_or_else(|| RESPONSE_MARGIN.min(limit / 5));
            Instant::now() + limit.saturating_sub(margin)
        });
        let phases = run_phases(&mut self.tasks, &self.stops, [&self.ready, &self.outbound], &self.host, answer_by);
        let is_clean = tokio::select! {
            is_clean = phases => is_clean,
            () = deadline => { tracing::error!(limit = ?self.limit, "Graceful shutdown timeout exceeded, forcing shutdown"); false }
            () = stop.forced() => { tracing::warn!("shutdown was forced"); false }
            () = forced_by_api(&self.stops.api) => { tracing::warn!("shutdown was forced"); false }
        };
        let all_joined = self.join_remaining().await;
        tracing::info!("Dapr runtime stopped");
        if !is_clean || !all_joined || cause == StopCause::Failure || self.stops.api.is_forced() {
            return Shutdown::Aborted;
        }
        tracing::info!("Daprd shutdown gracefully");
        Shutdown::Clean
    }

    /// Waits for a reason to stop, and logs when everything is ready.
    async fn until_stopped(&mut self, stop: &Stop) -> StopCause {
        let ready = self.ready.clone();
        let mut initialized = pin!(ready.ready().fuse());
        loop {
            tokio::select! {
                () = stop.finishing() => return StopCause::Signal,
                () = self.stops.api.finishing() => return StopCause::Api,
                ended = self.tasks.next() => {
                    log_early_end(ended);
                    return StopCause::Failure;
                }
                () = &mut initialized => {
                    let elapsed = self.begun.elapsed().as_millis();
                    tracing::info!("dapr initialized. Status: Running. Init Elapsed {elapsed}ms");
                }
            }
        }
    }

    /// Forces the tasks that still run to stop, and joins them. Returns whether none had to be aborted.
    async fn join_remaining(&mut self) -> bool {
        for stop in [&self.stops.reload, &self.stops.inputs, &self.stops.app, &self.stops.http, &self.stops.metrics] {
            stop.now();
        }
        // After a forced stop the tasks join what they started. Only one that does not is aborted.
        let joined = async { while self.tasks.next().await.is_some() {} };
        if tokio::time::timeout(JOIN_TIMEOUT, joined).await.is_ok() {
            return true;
        }
        let aborted = self.tasks.abort_and_join().await;
        if !aborted.is_empty() {
            tracing::error!(tasks = ?aborted, "tasks were aborted");
        }
        aborted.is_empty()
    }
}

/// A forced stop that a client requested. It is delayed, so that the client gets its response; daprd's value.
async fn forced_by_api(stop: &Stop) {
    stop.forced().await;
    tokio::time::sleep(FORCE_DELAY).await;
}

/// A task that ends before the shutdown is a bug, or its socket was lost.
fn log_early_end(ended: Option<Ended<TaskResult>>) {
    if let Some(ended) = ended {
        tracing::error!(task = ended.name, result = ?ended.result, "task ended unexpectedly; daemon will stop");
    }
}

async fn run_phases(
    tasks: &mut Supervisor<TaskResult>,
    stops: &Stops,
    readiness: [&Readiness; 2],
    host: &Host,
    answer_by: Option<Instant>,
) -> bool {
    let log_end = |phase: &str, begun: Instant| tracing::info!(phase, took = ?begun.elapsed(), "shutdown phase ended");
    let begun = Instant::now();
    readiness.iter().for_each(|ready| ready.stop());
    log_end("unready", begun);

    // Nothing is added or replaced from now on.
    stops.reload.finish();
    let mut is_clean = join(tasks, RELOAD).await;
    let begun = Instant::now();
    stops.inputs.finish();
    is_clean &= join(tasks, INPUTS).await;
    stops.app.finish();
    is_clean &= join(tasks, APP).await;
    log_end("inputs", begun);

    let begun = Instant::now();
    stops.http.finish();
    is_clean &= drain_apis(tasks, stops, host, answer_by).await;
    log_end("http", begun);

    let begun = Instant::now();
    for component in host.describe() {
        tracing::info!("Shutting down component {}", component.log_name());
    }
    let panicked = host.close_all().await;
    if !panicked.is_empty() {
        tracing::error!(components = ?panicked, "components panicked during close");
        is_clean = false;
    }
    log_end("outputs", begun);

    stops.traces.finish();
    is_clean &= join(tasks, TRACES).await;
    stops.metrics.finish();
    is_clean &= join(tasks, METRICS).await;
    is_clean &= join(tasks, PROFILES).await;
    is_clean
}

/// Joins the HTTP and the gRPC API. At `answer_by`, the outputs answer the requests that still wait with what is known of
/// them; requests that are left after that are answered without the outputs.
async fn drain_apis(
    tasks: &mut Supervisor<TaskResult>,
    stops: &Stops,
    host: &Host,
    answer_by: Option<Instant>,
) -> bool {
    let Some(answer_by) = answer_by else { return join_apis(tasks).await };
    if let Ok(is_clean) = tokio::time::timeout_at(answer_by, join_apis(tasks)).await {
        return is_clean;
    }
    tracing::warn!("requests still pending near the graceful shutdown timeout; answered without a result");
    // Outputs first, since they know more than the API: which records were sent, and which were only queued.
    host.close_all_within(EARLY_CLOSE_TIMEOUT).await;
    stops.abort_calls.finish();
    join_apis(tasks).await;
    false
}

async fn join_apis(tasks: &mut Supervisor<TaskResult>) -> bool {
    let is_clean = join(tasks, HTTP).await;
    join(tasks, GRPC).await && is_clean
}

/// Joins tasks until the named one has ended. Returns whether all of them ended cleanly.
async fn join(tasks: &mut Supervisor<TaskResult>, name: &str) -> bool {
    let mut is_clean = true;
    while tasks.contains(name) {
        let Some(ended) = tasks.next().await else { break };
        match ended.result {
            Ok(TaskResult::Reload | TaskResult::Traces | TaskResult::App | TaskResult::Inputs(DrainOutcome::Clean)) => {
            }
            Ok(
                TaskResult::Http(drained)
                | TaskResult::Grpc(drained)
                | TaskResult::Metrics(drained)
                | TaskResult::Profiles(drained),
            ) => {
                if let Drained::Aborted(connections) = drained {
                    tracing::error!(task = ended.name, connections, "open connections were aborted");
                    is_clean = false;
                }
            }
            Ok(TaskResult::Inputs(DrainOutcome::Aborted)) => {
                // Their limit is that of the shutdown, less what the phases after them need.
                tracing::error!("Graceful shutdown timeout exceeded, forcing shutdown");
                is_clean = false;
            }
            Err(failure) => {
                tracing::error!(task = ended.name, %failure, "task failed");
                is_clean = false;
            }
        }
    }
    is_clean
}
