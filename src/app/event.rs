//! Takes the events of one input to one route.

use super::route::escape;
use super::{AppChannel, Route};
use crate::domain::{BindingEvent, DeliveryError, EventHandler};
use async_trait::async_trait;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};

// Dapr's Kinesis input tells the app nothing about where a record comes from. These headers are added; an app that
// does not know them loses nothing.
const SHARD_ID: HeaderName = HeaderName::from_static("bindd-shard-id");
const SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-sequence-number");
const SUB_SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-sub-sequence-number");
/// Percent-encoded, as a key may hold any character. Left out where the record has none.
const PARTITION_KEY: HeaderName = HeaderName::from_static("bindd-partition-key");
/// Milliseconds since the Unix epoch.
const ARRIVAL: HeaderName = HeaderName::from_static("bindd-arrival");
const ATTEMPT: HeaderName = HeaderName::from_static("bindd-attempt");

/// Delivers to one route.
#[derive(Debug)]
pub(super) struct Callback {
    channel: AppChannel,
    route: Route,
}

impl Callback {
    pub(super) const fn new(channel: AppChannel, route: Route) -> Self {
        Self { channel, route }
    }
}

#[async_trait]
impl EventHandler for Callback {
    async fn handle(&self, event: &BindingEvent) -> Result<(), DeliveryError> {
        self.channel.post(&self.route, headers(event), event.data.clone()).await
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
        // Escaped text and digits always make a header value; what is empty says nothing and is left out.
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::try_from(text)) {
            headers.insert(name, value);
        }
    }
    headers
}
