//! A daemon that is up, and how it comes down.

use crate::domain::Stop;
use crate::http::Drained;
use crate::runtime::{Host, Readiness, Settled};
use crate::tasks::{Ended, Supervisor};
use crate::telemetry::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Names of the daemon's own tasks.
pub(super) const HTTP: &str = "http";
pub(super) const METRICS: &str = "metrics";
pub(super) const INPUTS: &str = "inputs";

/// How long parts that were told to drop everything may take to join their own tasks.
const LAST_JOIN: Duration = Duration::from_millis(500);

/// So long before connections are closed, all who still wait for an output are answered; at most a fifth of the time.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// An output that is told to end at once tells its callers within that.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What the daemon's own tasks end with.
#[derive(Debug)]
pub(super) enum Part {
    /// The HTTP API.
    Http(Drained),
    /// The metrics page.
    Metrics(Drained),
    /// All inputs.
    Inputs(Settled),
}

/// The stop tokens of the parts, so that they end in order.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// `POST /v1.0/shutdown`, or a part that failed.
    pub(super) asked: Stop,
    pub(super) inputs: Stop,
    /// Whoever still waits for an output is to be answered.
    pub(super) answers: Stop,
    pub(super) http: Stop,
    pub(super) metrics: Stop,
}

/// A daemon that serves. Dropping it aborts its tasks; use [`Running::run_until`].
#[derive(Debug)]
pub struct Running {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) metrics_address: Option<SocketAddr>,
    pub(super) host: Arc<Host>,
    pub(super) ready: Readiness,
    pub(super) outbound: Readiness,
    pub(super) metrics: Metrics,
    pub(super) parts: Supervisor<Part>,
    pub(super) stops: Stops,
    pub(super) limit: Option<Duration>,
    pub(super) last_answers: Option<Duration>,
}

/// How a daemon came down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Every phase was finished.
    Clean,
    /// Something was cut at the deadline, by a second signal, or had failed.
    Cut,
}

impl Running {
    /// The first address of the HTTP API.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Where the metrics page is served.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The metrics of this daemon.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How long before the end of a graceful stop the requests that still wait are answered without a result; by default
    /// half a second, at most a fifth of the time that the settings allow.
    #[must_use]
    pub const fn with_last_answers(mut self, before_end: Duration) -> Self {
        self.last_answers = Some(before_end);
        self
    }

    /// Serves until `stop` asks for the end, `POST /v1.0/shutdown` is called or a part fails; then stops in phases,
    /// within the time that the settings allow and until `stop` says "now".
    pub async fn run_until(mut self, stop: &Stop) -> Shutdown {
        let failed = tokio::select! {
            () = stop.asked() => false,
            () = self.stops.asked.asked() => false,
            ended = self.parts.next() => self.told(ended),
        };
        tracing::info!("shutdown began");
        let deadline = async {
            match self.limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let answered_by = self.limit.map(|limit| {
            let before_end = self.last_answers.unwrap_or_else(|| LAST_ANSWERS.min(limit / 5));
            Instant::now() + limit.saturating_sub(before_end)
        });
        let phases = phases(&mut self.parts, &self.stops, [&self.ready, &self.outbound], &self.host, answered_by);
        let in_time = tokio::select! {
            clean = phases => clean,
            () = deadline => { tracing::error!(limit = ?self.limit, "graceful shutdown timeout was exceeded"); false }
            () = stop.forced() => { tracing::warn!("shutdown was forced"); false }
        };
        let whole = self.cut(in_time).await;
        if whole && !failed { Shutdown::Clean } else { Shutdown::Cut }
    }

    /// A part ended before anybody asked; always a defect or a lost socket.
    fn told(&self, ended: Option<Ended<Part>>) -> bool {
        if let Some(ended) = ended {
            tracing::error!(part = ended.name, result = ?ended.result, "part ended before its time, daemon stops");
        }
        true
    }

    /// Ends what may still run and joins it; whether all ended in time and there was nothing to cut.
    async fn cut(&mut self, in_time: bool) -> bool {
        for stop in [&self.stops.inputs, &self.stops.http, &self.stops.metrics] {
            stop.now();
        }
        // Told to drop everything, the parts join what they started; only one that does not is aborted.
        let joined = async { while self.parts.next().await.is_some() {} };
        if tokio::time::timeout(LAST_JOIN, joined).await.is_ok() {
            tracing::info!("shutdown ended");
            return in_time;
        }
        let cut = self.parts.abort_and_join().await;
        if !cut.is_empty() {
            tracing::error!(parts = ?cut, "parts were cut");
        }
        tracing::info!("shutdown ended");
        in_time && cut.is_empty()
    }
}

async fn phases(
    parts: &mut Supervisor<Part>,
    stops: &Stops,
    readiness: [&Readiness; 2],
    host: &Host,
    answered_by: Option<Instant>,
) -> bool {
    readiness.iter().for_each(|ready| ready.stop());
    tracing::info!(phase = "unready", "shutdown phase was finished");

    let begun = Instant::now();
    stops.inputs.finish();
    let mut clean = join(parts, INPUTS).await;
    tracing::info!(phase = "inputs", took = ?begun.elapsed(), "shutdown phase was finished");

    let begun = Instant::now();
    stops.http.finish();
    clean &= drained(parts, stops, host, answered_by).await;
    tracing::info!(phase = "http", took = ?begun.elapsed(), "shutdown phase was finished");

    let begun = Instant::now();
    let unclosed = host.close_all().await;
    if !unclosed.is_empty() {
        tracing::error!(components = ?unclosed, "components panicked while they were closed");
        clean = false;
    }
    tracing::info!(phase = "outputs", took = ?begun.elapsed(), "shutdown phase was finished");

    stops.metrics.finish();
    clean &= join(parts, METRICS).await;
    clean
}

/// Joins the HTTP side. Shortly before the end of the time, outputs are told to answer whoever still waits, as far as they
/// know what became of it; the rest is answered without them.
async fn drained(parts: &mut Supervisor<Part>, stops: &Stops, host: &Host, answered_by: Option<Instant>) -> bool {
    let Some(answered_by) = answered_by else { return join(parts, HTTP).await };
    if let Ok(clean) = tokio::time::timeout_at(answered_by, join(parts, HTTP)).await {
        return clean;
    }
    tracing::warn!("requests were still waiting near the end of the graceful stop, they are answered without a result");
    // Outputs come first, since they know more than the API: which records were sent and which only waited.
    host.close_all_within(LAST_WORDS).await;
    stops.answers.finish();
    join(parts, HTTP).await;
    false
}

/// Joins parts until the named one has ended; whether all that ended did so well.
async fn join(parts: &mut Supervisor<Part>, name: &str) -> bool {
    let mut clean = true;
    while parts.running().contains(&name) {
        let Some(ended) = parts.next().await else { break };
        match ended.result {
            Ok(Part::Inputs(Settled::Clean) | Part::Http(Drained::Clean) | Part::Metrics(Drained::Clean)) => {}
            Ok(Part::Http(Drained::Aborted(connections)) | Part::Metrics(Drained::Aborted(connections))) => {
                tracing::error!(connections, "open connections were cut");
                clean = false;
            }
            Ok(Part::Inputs(Settled::Cut)) => clean = false,
            Err(failure) => {
                tracing::error!(part = ended.name, %failure, "part failed");
                clean = false;
            }
        }
    }
    clean
}
