//! Spans.

use super::context::SpanContext;
use super::data::{SpanData, SpanKind};
use super::export::{QUEUE_LENGTH, SpanExport};
use super::metrics::TraceMetrics;
use super::settings::TraceSettings;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Texts of a span are cut at this length, so that what waits for a collector is bounded.
const MAX_TEXT: usize = 512;
/// The sampling rate where none is configured.
const DEFAULT_RATE: f64 = 1e-4;

/// The span that caused another one, from the headers of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanParent<'a> {
    pub context: SpanContext,
    /// `tracestate`; may be empty.
    pub state: &'a str,
}

/// Starts spans. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    /// A trace is sampled if the lower half of its id, without its first bit, is below this.
    bound: u64,
    /// `None` if spans are only propagated.
    queue: Option<mpsc::Sender<SpanData>>,
    metrics: TraceMetrics,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.is_some()).finish()
    }
}

impl Tracer {
    /// A tracer, and what exports its spans, which must be run. Without an exporter there is nothing to run, and without
    /// an explicit sampling rate too, no span is even propagated.
    ///
    /// # Errors
    /// When an endpoint or a header cannot be used; the text says which.
    pub(in super::super) fn new(
        settings: &TraceSettings,
        metrics: &TraceMetrics,
    ) -> Result<(Self, Option<SpanExport>), String> {
        let rate = settings.sampling_rate.unwrap_or(DEFAULT_RATE);
        let is_on = settings.has_exporter() || settings.sampling_rate.is_some();
        if !is_on || rate.is_nan() || rate <= 0.0 {
            return Ok((Self(None), None));
        }
        let (queue, export) = if settings.has_exporter() {
            let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
            (Some(sender), Some(SpanExport::new(settings, receiver, metrics.clone())?))
        } else {
            (None, None)
        };
        Ok((Self(Some(Arc::new(Inner { bound: bound(rate), queue, metrics: metrics.clone() }))), export))
    }

    /// Starts a span: of the trace of its parent and sampled as it is, else of a new trace. `name` is called if the span is
    /// recorded.
    pub fn start(
        &self,
        kind: SpanKind,
        parent: Option<SpanParent<'_>>,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Span {
        let Some(inner) = &self.0 else { return Span { context: None, recorded: None } };
        let (trace, is_sampled) = match parent {
            Some(parent) => (parent.context.trace, parent.context.is_sampled),
            None => {
                let trace = fastrand::u128(1..);
                (trace, is_below(trace, inner.bound))
            }
        };
        let context = SpanContext { trace, span: fastrand::u64(1..), is_sampled };
        let recorded = inner.queue.as_ref().filter(|_| is_sampled).map(|_| {
            #[expect(
                clippy::disallowed_methods,
                reason = "spans of several machines are compared by their wall clocks"
            )]
            let start = SystemTime::now();
            Box::new(Recorded {
                begun: Instant::now(),
                inner: Arc::clone(inner),
                data: SpanData {
                    context,
                    parent: parent.map(|parent| parent.context.span),
                    state: parent.map(|parent| cut(parent.state.to_owned())).unwrap_or_default(),
                    name: cut_cow(name()),
                    kind,
                    start,
                    took: Duration::ZERO,
                    attributes: Vec::new(),
                    error: None,
                },
            })
        });
        Span { context: Some(context), recorded }
    }
}

/// As `TraceIDRatioBased` of OpenTelemetry for Go, so that services with one rate sample the same traces.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, which is meant")]
fn bound(rate: f64) -> u64 {
    (rate.min(1.0) * 9_223_372_036_854_775_808.0) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn is_below(trace: u128, bound: u64) -> bool {
    (trace as u64) >> 1 < bound
}

/// A span that ends when it is dropped. It does nothing unless it is recorded.
#[derive(Default)]
pub struct Span {
    context: Option<SpanContext>,
    recorded: Option<Box<Recorded>>,
}

struct Recorded {
    inner: Arc<Inner>,
    begun: Instant,
    data: SpanData,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.context).finish()
    }
}

impl Span {
    /// `None` if there is no tracer.
    #[must_use]
    pub const fn context(&self) -> Option<SpanContext> {
        self.context
    }

    /// Whether attributes are kept.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Cow<'static, str>>) {
        if let Some(recorded) = &mut self.recorded {
            recorded.data.attributes.push((key, cut_cow(value.into())));
        }
    }

    /// The span stands for something that failed.
    pub fn fail(&mut self, error: impl FnOnce() -> String) {
        if let Some(recorded) = &mut self.recorded {
            recorded.data.error = Some(cut(error()));
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.data.took = self.begun.elapsed();
        let Some(queue) = &self.inner.queue else { return };
        if queue.try_send(self.data.clone()).is_err() {
            self.inner.metrics.dropped.inc();
        }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

fn cut_cow(text: Cow<'static, str>) -> Cow<'static, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..text.floor_char_boundary(MAX_TEXT)]),
        Cow::Owned(text) => Cow::Owned(cut(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_decides_over_new_traces_only() {
        for (rate, share) in [(1.0, 1.0), (0.25, 0.25), (7.0, 1.0)] {
            let (tracer, export) = Tracer::new(
                &TraceSettings { sampling_rate: Some(rate), ..TraceSettings::default() },
                &TraceMetrics::default(),
            )
            .unwrap();
            assert!(export.is_none());
            let spans = (0..4_000).map(|_| tracer.start(SpanKind::Client, None, || "x".into()).context().unwrap());
            let sampled = spans.filter(|context| context.is_sampled).count();
            let expected = 4_000.0 * share;
            assert!((f64::from(u32::try_from(sampled).unwrap()) - expected).abs() < 200.0, "{rate}: {sampled}");
            for is_sampled in [true, false] {
                let parent = SpanContext { trace: 5, span: 6, is_sampled };
                let parent = SpanParent { context: parent, state: "" };
                let context = tracer.start(SpanKind::Client, Some(parent), || "x".into()).context().unwrap();
                assert!(context.trace == 5 && context.span != 6 && context.is_sampled == is_sampled);
            }
        }
    }

    #[test]
    fn without_exporter_and_rate_there_are_no_spans() {
        for rate in [None, Some(0.0), Some(f64::NAN), Some(-1.0)] {
            let settings = TraceSettings { sampling_rate: rate, ..TraceSettings::default() };
            let (tracer, export) = Tracer::new(&settings, &TraceMetrics::default()).unwrap();
            assert!(export.is_none() && tracer.start(SpanKind::Client, None, || "x".into()).context().is_none());
        }
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("ü".repeat(400)).len(), 512);
        assert_eq!(cut_cow("short".into()), "short");
    }
}
