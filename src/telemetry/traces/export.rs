//! Sends ended spans in batches.

use super::data::SpanData;
use super::http_client::{Endpoint, SendError};
use super::metrics::TraceMetrics;
use super::settings::{OtlpProtocol, TraceSettings};
use super::{otlp, zipkin};
use futures_util::FutureExt;
use std::future::Future;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Spans that wait. With texts of at most 512 bytes they take a few megabytes.
pub(super) const QUEUE_LENGTH: usize = 2_048;
/// Spans in one request; OpenTelemetry's value, as are the next two.
const BATCH_LENGTH: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(5);
const ZIPKIN_TIMEOUT: Duration = Duration::from_secs(10);
/// What the last spans may take after a stop.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);
/// At most one warning in this time.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Exports the spans of a tracer.
#[derive(Debug)]
pub struct SpanExport {
    spans: mpsc::Receiver<SpanData>,
    exporters: Vec<Exporter>,
    resource: otlp::ResourceAttributes,
    metrics: TraceMetrics,
    warned_at: Option<Instant>,
    /// Spans of the batch that is being sent.
    in_flight: u64,
}

#[derive(Debug)]
enum Exporter {
    Stdout,
    Zipkin(Endpoint),
    Otlp(Endpoint, OtlpProtocol),
}

impl SpanExport {
    pub(super) fn new(
        settings: &TraceSettings,
        spans: mpsc::Receiver<SpanData>,
        metrics: TraceMetrics,
    ) -> Result<Self, String> {
        let mut exporters = Vec::new();
        if settings.stdout {
            exporters.push(Exporter::Stdout);
        }
        if let Some(url) = &settings.zipkin {
            exporters.push(Exporter::Zipkin(Endpoint::new(url, &[], ZIPKIN_TIMEOUT, false)?));
        }
        if let Some(otlp) = &settings.otlp {
            let is_grpc = otlp.protocol == OtlpProtocol::Grpc;
            let endpoint = Endpoint::new(&otlp.url(), &otlp.headers, otlp.timeout, is_grpc)?;
            exporters.push(Exporter::Otlp(endpoint, otlp.protocol));
        }
        let resource = otlp::ResourceAttributes::new(&settings.service_name, &settings.resource);
        Ok(Self { spans, exporters, resource, metrics, warned_at: None, in_flight: 0 })
    }

    /// Runs until `stop` is ready, then sends what waits, within half a second.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        // Each clone may be awaited, also after the stop.
        let stop = stop.shared();
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.clone() => break,
                received = self.spans.recv_many(&mut batch, BATCH_LENGTH) => if received == 0 { break },
            }
            let due = Instant::now() + BATCH_DELAY;
            while batch.len() < BATCH_LENGTH {
                let space = BATCH_LENGTH - batch.len();
                tokio::select! {
                    biased;
                    () = stop.clone() => break,
                    received = self.spans.recv_many(&mut batch, space) => if received == 0 { break },
                    () = sleep_until(due) => break,
                }
            }
            let sending = self.export(std::mem::take(&mut batch));
            tokio::select! {
                biased;
                () = sending => {}
                // A collector that does not answer must not hold up the stop.
                () = async { stop.clone().await; tokio::time::sleep(FLUSH_LIMIT).await } => return self.abandon(),
            }
        }
        self.spans.close();
        let flush = async {
            loop {
                while batch.len() < BATCH_LENGTH
                    && let Ok(span) = self.spans.try_recv()
                {
                    batch.push(span);
                }
                if batch.is_empty() {
                    return;
                }
                self.export(std::mem::take(&mut batch)).await;
            }
        };
        if timeout(FLUSH_LIMIT, flush).await.is_err() {
            self.abandon();
        }
    }

    /// Counts the spans that are lost because the process ends.
    fn abandon(mut self) {
        self.spans.close();
        let mut lost = self.in_flight;
        while self.spans.try_recv().is_ok() {
            lost += 1;
        }
        self.metrics.dropped.inc_by(lost * u64::try_from(self.exporters.len()).unwrap_or(u64::MAX));
        tracing::warn!(lost, "spans lost at the stop; the collector did not answer in time");
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.in_flight = count;
        let sends = self.exporters.iter().map(|exporter| exporter.send(&batch, &self.resource));
        for result in futures_util::future::join_all(sends).await {
            match result {
                Ok(()) => drop(self.metrics.exported.inc_by(count)),
                Err(error) => {
                    self.metrics.dropped.inc_by(count);
                    let is_due = self.warned_at.is_none_or(|at| at.elapsed() >= WARN_INTERVAL);
                    if is_due {
                        self.warned_at = Some(Instant::now());
                        let dropped = self.metrics.dropped.get();
                        tracing::warn!(%error, dropped, "spans could not be exported");
                    }
                }
            }
        }
        self.in_flight = 0;
    }
}

impl Exporter {
    async fn send(&self, batch: &[SpanData], resource: &otlp::ResourceAttributes) -> Result<(), SendError> {
        match self {
            Self::Stdout => {
                let mut text = String::new();
                for span in batch {
                    text.push_str(&zipkin::span(span, resource.service_name()).to_string());
                    text.push('\n');
                }
                // Standard output may be a pipe that nothing reads.
                let writing = tokio::task::spawn_blocking(move || std::io::stdout().lock().write_all(text.as_bytes()));
                let written = writing.await.map_err(|error| SendError(error.to_string()))?;
                written.map_err(|error| SendError(format!("standard output: {error}")))
            }
            Self::Zipkin(endpoint) => {
                let body = zipkin::spans(batch, resource.service_name());
                endpoint.post("application/json", body.into()).await
            }
            Self::Otlp(endpoint, OtlpProtocol::Http) => {
                endpoint.post("application/x-protobuf", otlp::request(batch, resource).into()).await
            }
            Self::Otlp(endpoint, OtlpProtocol::Grpc) => endpoint.call(&otlp::request(batch, resource)).await,
        }
    }
}
