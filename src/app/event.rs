//! Delivers the events of one input to one route.

use super::route::escape;
use super::{AppChannel, Route};
use crate::domain::{Accepted, BindingEvent, DeliveryError, EventBatch, EventHandler};
use async_trait::async_trait;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

// Dapr's Kinesis input does not say where a record comes from. These headers are additions, which apps may ignore.
const SHARD_ID: HeaderName = HeaderName::from_static("bindd-shard-id");
const SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-sequence-number");
const SUB_SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-sub-sequence-number");
/// Percent-encoded, because a key may have any character. Absent if the record has no key.
const PARTITION_KEY: HeaderName = HeaderName::from_static("bindd-partition-key");
/// Milliseconds since the Unix epoch.
const ARRIVAL: HeaderName = HeaderName::from_static("bindd-arrival");
const ATTEMPT: HeaderName = HeaderName::from_static("bindd-attempt");

#[derive(Debug)]
struct Callback {
    channel: AppChannel,
    route: Route,
}

impl AppChannel {
    /// The handler that delivers the events of an input to its route.
    #[must_use]
    pub fn handler_for(&self, route: Route) -> Arc<dyn EventHandler> {
        Arc::new(Callback { channel: self.clone(), route })
    }
}

#[async_trait]
impl EventHandler for Callback {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let [event] = batch.events.as_slice() else {
            let problem = format!("a request carries one event, not {}", batch.events.len());
            return Err(DeliveryError::InvalidReply { target: self.route.to_string(), problem });
        };
        self.channel.post(&self.route, headers(event), event.data.clone()).await.map(|()| Accepted::All)
    }
}

fn headers(event: &BindingEvent) -> HeaderMap {
    let origin = &event.origin;
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(event.data.len()));
    headers.insert(SUB_SEQUENCE_NUMBER, HeaderValue::from(origin.position.sub_sequence));
    headers.insert(ATTEMPT, HeaderValue::from(event.attempt));
    if let Some(arrival) = origin.arrival {
        headers.insert(ARRIVAL, HeaderValue::from(arrival.as_millis()));
    }
    let texts = [
        (SHARD_ID, escape(origin.shard.as_str())),
        (SEQUENCE_NUMBER, origin.position.sequence.to_string()),
        (PARTITION_KEY, escape(&origin.partition_key)),
    ];
    for (name, text) in texts {
        // Escaped text and digits are always valid in a header.
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::try_from(text)) {
            headers.insert(name, value);
        }
    }
    headers
}
