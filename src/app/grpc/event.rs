//! Delivers the events of one input by `OnBindingEvent`.

use super::super::decompress::NotDecompressed;
use super::super::delivery_span::DeliverySpan;
use super::super::headers::headers;
use super::channel::{CallTrace, GrpcChannel, ON_BINDING_EVENT, TRACEPARENT};
use super::response;
use crate::domain::{
    Accepted, BindingEvent, ComponentName, Decompress, DeliveryError, EventBatch, EventFormat, EventHandler, Message,
    Outputs,
};
use crate::protocol::runtime::BindingEventRequest;
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug)]
struct Callback {
    channel: GrpcChannel,
    decompress: Decompress,
    outputs: Arc<dyn Outputs>,
    metrics: InputMetrics,
}

impl GrpcChannel {
    /// The handler that delivers the events of an input. Of its format only the decompression has a meaning: each event is
    /// a call with the record as data. Responses to events may call `outputs`.
    #[must_use]
    pub fn handler_for(
        &self,
        format: &EventFormat,
        outputs: Arc<dyn Outputs>,
        metrics: InputMetrics,
    ) -> Arc<dyn EventHandler> {
        Arc::new(Callback { channel: self.clone(), decompress: format.decompress, outputs, metrics })
    }
}

#[async_trait]
impl EventHandler for Callback {
    /// A batch is a sequence of calls. The events before the first failure are accepted, all others are not.
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let payloads = self.channel.decompressor().payloads(&batch.events, self.decompress, false).await;
        let EventBatch { binding, stream, epoch, lag, events } = batch;
        let (binding, stream, epoch, lag) = (binding.clone(), Arc::clone(stream), *epoch, *lag);
        let mut single = EventBatch { binding, stream, epoch, lag, events: Vec::with_capacity(1) };
        for (index, (event, data)) in payloads.iter().enumerate() {
            single.events.clear();
            single.events.push(event.clone());
            if let Err(error) = self.deliver(&single, event, data).await {
                if index == 0 {
                    return Err(error);
                }
                tracing::warn!(component = %batch.binding, %error, "events of a batch were not accepted");
                return Ok(Accepted::Except((index..events.len()).collect()));
            }
        }
        self.metrics.not_decompressed(payloads.untouched.corrupt + payloads.untouched.too_large);
        Ok(Accepted::All)
    }

    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        let metadata = message.metadata.iter().cloned().collect();
        let request = BindingEventRequest { name: message.binding.to_string(), data: message.data.clone(), metadata };
        let span = DeliverySpan::of_message(self.channel.tracer(), &message.binding, || ON_BINDING_EVENT.to_owned());
        let trace = span.context().map_or(CallTrace::None, CallTrace::Span);
        let response = self.channel.on_binding_event(request, trace, &[&message.data]).await;
        span.end(&response);
        response::act(&message.binding, response?, &*self.outputs).await;
        Ok(Bytes::new())
    }

    async fn is_reachable(&self) -> bool {
        self.channel.list_input_bindings().await.map_or_else(|error| !error.is_app_down(), |_| true)
    }
}

impl Callback {
    /// `single` has only this event.
    async fn deliver(&self, single: &EventBatch, event: &BindingEvent, data: &Bytes) -> Result<(), DeliveryError> {
        let headers = if self.channel.has_go_headers() {
            HeaderMap::new()
        } else {
            headers(single, false, NotDecompressed::default(), fastrand::u64(..))
        };
        let span = DeliverySpan::of_batch(self.channel.tracer(), single, || ON_BINDING_EVENT.to_owned());
        let of_record = || headers.get(TRACEPARENT)?.to_str().ok().map(CallTrace::Record);
        let trace = span.context().map(CallTrace::Span).or_else(of_record).unwrap_or(CallTrace::None);
        let request = request(&single.binding, data, &headers);
        let key = event.origin.partition_key.as_bytes();
        let sent: &[&[u8]] = if key.len() < super::super::answer::MIN_QUOTE { &[data] } else { &[data, key] };
        let response = self.channel.on_binding_event(request, trace, sent).await;
        span.end(&response);
        response::act(&single.binding, response?, &*self.outputs).await;
        Ok(())
    }
}

/// The metadata are those that HTTP sends as headers.
fn request(binding: &ComponentName, data: &Bytes, headers: &HeaderMap) -> BindingEventRequest {
    let pairs = headers.iter().filter(|(name, _)| *name != TRACEPARENT);
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let metadata: HashMap<_, _> = pairs.collect();
    BindingEventRequest { name: binding.to_string(), data: data.clone(), metadata }
}
