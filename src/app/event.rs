//! Delivers the events of one input to one route.

use super::body::{self, Body};
use super::channel::Delivery;
use super::decompress::Payloads;
use super::delivery_span::DeliverySpan;
use super::headers::{TRACEPARENT, dapr_headers, headers};
use super::{AppChannel, Route, message, reply};
use crate::domain::{
    Accepted, BodyFormat, DeliveryError, EventBatch, EventFormat, EventHandler, Message, PartialFailures, Record,
};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;

#[derive(Debug)]
struct Callback {
    channel: AppChannel,
    route: Route,
    format: EventFormat,
    metrics: InputMetrics,
}

impl AppChannel {
    /// The handler that delivers the events of an input to its route, in the format of its file.
    #[must_use]
    pub fn handler_for(&self, route: Route, format: EventFormat, metrics: InputMetrics) -> Arc<dyn EventHandler> {
        Arc::new(Callback { channel: self.clone(), route, format, metrics })
    }
}

#[async_trait]
impl EventHandler for Callback {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let count = batch.events.len();
        if count != 1 && !(count > 1 && self.format.body.is_batch()) {
            return Err(self.invalid(format!("a request of this format cannot carry {count} events")));
        }
        let is_copied = self.format.body != BodyFormat::Raw;
        let decompressor = self.channel.decompressor();
        let payloads = decompressor.payloads(&batch.events, self.format.decompress, is_copied).await;
        let body = body::body(batch, &payloads, &self.format).await;
        let body = body.map_err(|error| self.invalid(format!("the request could not be written: {error}")))?;
        let span = DeliverySpan::of_batch(self.channel.tracer(), batch, || self.target());
        let headers = self.headers(batch, &payloads, &body, &span);
        let delivery = Delivery { headers, body: body.bytes, payloads: &payloads, max_reply: self.max_reply(count) };
        let reply = self.channel.post(&self.route, delivery).await;
        span.end(&reply);
        let reply = reply?;
        self.count(&payloads);
        let accepted = reply::accepted(&reply, &batch.events, self.format.body, self.format.partial);
        accepted.map_err(|problem| self.invalid(problem.to_string()))
    }

    /// The format of the input is for records of a stream, so it does not apply.
    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        let mut headers = message::headers(message).map_err(|problem| self.invalid(problem))?;
        let span = DeliverySpan::of_message(self.channel.tracer(), &message.binding, || self.target());
        add_trace(&mut headers, &span);
        let payloads = Payloads::unchanged(&[]);
        let delivery =
            Delivery { headers, body: message.data.clone(), payloads: &payloads, max_reply: message.max_reply };
        let reply = self.channel.post(&self.route, delivery).await;
        span.end(&reply);
        reply.map(Bytes::from)
    }

    async fn is_reachable(&self) -> bool {
        self.channel.options(&self.route).await.map_or_else(|error| !error.is_app_down(), |()| true)
    }

    /// Data that are decompressed only when they are sent have their own limit.
    fn body_size(&self, record: &Record) -> usize {
        let data = record.decompressed.as_ref().unwrap_or(&record.data);
        body::max_size(&self.format, &self.format.source.stream_arn, &record.partition_key, data)
    }
}

impl Callback {
    fn headers(&self, batch: &EventBatch, payloads: &Payloads<'_>, body: &Body, span: &DeliverySpan) -> HeaderMap {
        // A request in a format of bindd is not one of daprd.
        let mut headers = if self.channel.has_go_headers() && self.format.body == BodyFormat::Raw {
            dapr_headers()
        } else {
            headers(batch, self.format.body.is_batch(), payloads.untouched, fastrand::u64(..))
        };
        add_trace(&mut headers, span);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.bytes.len()));
        headers.insert(CONTENT_TYPE, body.content_type.clone());
        headers
    }

    /// `None` if the status alone decides.
    const fn max_reply(&self, events: usize) -> Option<usize> {
        match self.format.partial {
            PartialFailures::Off => None,
            PartialFailures::Lowest | PartialFailures::Exact => Some(reply::max_size(events)),
        }
    }

    /// Counts records once: when the app answered, not in each attempt.
    fn count(&self, payloads: &Payloads<'_>) {
        self.metrics.not_decompressed(payloads.untouched.corrupt + payloads.untouched.too_large);
    }

    fn invalid(&self, problem: String) -> DeliveryError {
        DeliveryError::InvalidReply { target: self.target(), problem }
    }

    fn target(&self) -> String {
        format!("POST {}", self.route)
    }
}

/// With a tracer, its span replaces what the headers say.
fn add_trace(headers: &mut HeaderMap, span: &DeliverySpan) {
    if let Some(value) = span.context().and_then(|context| HeaderValue::try_from(context.to_string()).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}
