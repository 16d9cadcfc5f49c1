//! A middleware that corrects where ferrokinesis 0.7.0 differs from AWS.
//!
//! - ferrokinesis validates `SubscribeToShard` with a schema that has only `StartingPosition.Type`. It drops the sequence
//!   number and the timestamp, so that such a subscription starts at the trim horizon. Its action is correct and public,
//!   so the correction calls it directly.
//! - `AT_TIMESTAMP` later than all records starts at the trim horizon, in subscriptions and in iterators. The correction
//!   replaces it by "after the last record".
//! - Two concurrent requests can deadlock, since the store holds blocking locks across await points; and a lower sequence
//!   number can appear after a higher one was read. The correction runs one request at a time.
//! - AWS rejects a second subscription to a shard within 5 s of the first; a later one takes over. ferrokinesis serves
//!   both. The correction does as AWS does, but the first subscription ends without the exception that AWS sends.
//! - The limits of a record (`put_limits`), UpdateShardCount (`reshard`), the filter of ListShards (`shard_filter`) and
//!   its pages (`shard_pages`), the end of a shard (`shard_end`), deleted streams (`deleted_stream`), and streams given by
//!   their ARN (`stream_arn`).
//!
//! Requests in CBOR are converted to JSON first (`cbor`), so the corrections apply to them too.

use super::protocol::{EVENT_STREAM, JSON, content_type, error_response, read_body, response, service_error_response};
use super::shard_filter::ShardFilter;
use super::{cbor, deleted_stream, put_limits, reshard, shard_end, shard_pages, stream_arn};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ferrokinesis::actions::Operation;
use ferrokinesis::actions::subscribe_to_shard::execute_streaming;
use ferrokinesis::sequence::{resolve_shard_id, shard_ix_to_hex};
use ferrokinesis::store::Store;
use ferrokinesis::util::current_time_ms;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Within this time after a subscription a second one to the same shard is rejected (SubscribeToShard, API reference).
pub(super) const TAKE_OVER_AFTER: Duration = Duration::from_secs(5);

/// Wraps the router of ferrokinesis.
pub(super) fn apply(router: Router, store: Store) -> Router {
    let corrections = Arc::new(Corrections::new(store));
    router.layer(from_fn(move |request: Request, next: Next| {
        let corrections = corrections.clone();
        async move {
            if !cbor::is_cbor(request.headers()) {
                return corrections.serve(request, next).await;
            }
            let response = match cbor::request_to_json(request).await {
                Ok(request) => corrections.serve(request, next).await,
                Err(error_response) => error_response,
            };
            cbor::response_to_cbor(response).await
        }
    }))
}

struct Corrections {
    store: Store,
    /// The newest subscription of each consumer and shard. A blocking lock, as it is never held across an await point.
    subscriptions: Mutex<HashMap<String, Subscription>>,
    /// Held while a request is served, but not while the events of a subscription are sent.
    serial: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Subscription {
    started: Instant,
    taken_over: CancellationToken,
}

enum Action {
    Subscribe,
    Iterator,
    Put(Operation),
    UpdateShardCount,
    ListShards,
    GetRecords,
    DeleteStream,
}

/// The operation of a request; empty if ferrokinesis handles the request without corrections.
fn operation(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // ferrokinesis rejects a request without a signature as AWS does.
    if text(AUTHORIZATION.as_str()).is_empty() || content_type(headers) != JSON {
        return "";
    }
    text("x-amz-target").rsplit_once('.').map(|(_, operation)| operation).unwrap_or_default()
}

fn action(operation: &str) -> Option<Action> {
    match operation {
        "SubscribeToShard" => Some(Action::Subscribe),
        "GetShardIterator" => Some(Action::Iterator),
        "PutRecord" => Some(Action::Put(Operation::PutRecord)),
        "PutRecords" => Some(Action::Put(Operation::PutRecords)),
        "UpdateShardCount" => Some(Action::UpdateShardCount),
        "ListShards" => Some(Action::ListShards),
        "GetRecords" => Some(Action::GetRecords),
        "DeleteStream" => Some(Action::DeleteStream),
        _ => None,
    }
}

impl Corrections {
    fn new(store: Store) -> Self {
        Self { store, subscriptions: Mutex::default(), serial: tokio::sync::Mutex::default() }
    }

    async fn serve(&self, request: Request, next: Next) -> Response {
        let operation = operation(request.headers()).to_owned();
        let action = action(&operation);
        let (mut request, mut body) = match action.is_none() && !stream_arn::needs_stream_name(&operation) {
            true => (request, Bytes::new()),
            false => match buffered(request).await {
                Ok(buffered) => buffered,
                Err(error_response) => return error_response,
            },
        };
        if let Some(rewritten) = stream_arn::with_stream_name(&self.store, &operation, &body) {
            body = rewritten.into();
            *request.body_mut() = Body::from(body.clone());
            request.headers_mut().remove(CONTENT_LENGTH);
        }
        let _serial = self.serial.lock().await;
        // A subscription that was woken by the last request may hold a lock of the store: let it run first.
        tokio::task::yield_now().await;
        let corrected = match action {
            Some(Action::Subscribe) => return self.subscribe(request, next).await,
            Some(Action::Iterator) => return self.get_shard_iterator(request, next).await,
            Some(Action::Put(operation)) => put_limits::corrected_response(&self.store, operation, &body).await,
            Some(Action::UpdateShardCount) => reshard::corrected_response(&self.store, &body).await,
            Some(Action::ListShards) => return self.list_shards(request, &body, next).await,
            Some(Action::GetRecords) => {
                if deleted_stream::is_stale_iterator(&self.store, &body).await {
                    return error_response(
                        "InvalidArgumentException",
                        "the ShardIterator did not come from this stream",
                    );
                }
                return shard_end::with_children(&self.store, &body, next.run(request).await).await;
            }
            Some(Action::DeleteStream) => return self.delete_stream(request, &body, next).await,
            None => None,
        };
        match corrected {
            Some(response) => response,
            None => next.run(request).await,
        }
    }

    async fn list_shards(&self, mut request: Request, body: &[u8], next: Next) -> Response {
        // ferrokinesis rejects a body that is not JSON.
        let Ok(input) = serde_json::from_slice::<Value>(body) else { return next.run(request).await };
        let page = match shard_pages::without_token(input) {
            Ok(page) => page,
            Err(text) => return error_response("InvalidArgumentException", text),
        };
        *request.body_mut() = Body::from(page.to_string());
        request.headers_mut().remove(CONTENT_LENGTH);
        let listed = match ShardFilter::read(&self.store, &page, current_time_ms()).await {
            Ok(Some(filter)) => filter.apply(next.run(request).await).await,
            Ok(None) => next.run(request).await,
            Err(error_response) => return error_response,
        };
        shard_pages::with_token(&page, listed).await
    }

    async fn delete_stream(&self, request: Request, body: &[u8], next: Next) -> Response {
        let arn = deleted_stream::stream_arn(&self.store, body).await;
        let response = next.run(request).await;
        if let Some(arn) = arn.filter(|_| response.status().is_success()) {
            deleted_stream::remove_consumers(&self.store, &arn).await;
            let consumers = format!("\"{arn}/consumer/");
            let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
            all.extract_if(|key, _| key.starts_with(&consumers)).for_each(|(_, ended)| ended.taken_over.cancel());
        }
        response
    }

    async fn subscribe(&self, request: Request, next: Next) -> Response {
        let (parts, mut request) = match read_json(request).await {
            Ok(parts) => parts,
            Err(error_response) => return error_response,
        };
        let key = format!("{} {}", request["ConsumerARN"], request["ShardId"]);
        let Some((subscription, previous)) = self.register(&key) else {
            return error_response(
                "ResourceInUseException",
                "another subscription to this shard by this consumer started less than 5 seconds ago",
            );
        };
        let response = match StartKind::parse(&request["StartingPosition"]["Type"]) {
            StartKind::Relative => next.run(Request::from_parts(parts, Body::from(request.to_string()))).await,
            StartKind::SequenceNumber if !request["StartingPosition"]["SequenceNumber"].is_string() => {
                missing_position_member("SequenceNumber")
            }
            StartKind::Timestamp if !request["StartingPosition"]["Timestamp"].is_number() => {
                missing_position_member("Timestamp")
            }
            kind @ (StartKind::SequenceNumber | StartKind::Timestamp) => {
                if matches!(kind, StartKind::Timestamp)
                    && let Some(start) =
                        self.start_after_last_record(&request, &request["StartingPosition"]["Timestamp"]).await
                {
                    request["StartingPosition"] = start.into_position();
                }
                self.execute_subscription(request).await
            }
        };
        self.complete(&key, subscription, previous, shard_end::correct_subscription(response))
    }

    /// Registers a subscription as the newest one, and returns it with the previous one; `None` if the previous one is too
    /// recent.
    fn register(&self, key: &str) -> Option<(Subscription, Option<Subscription>)> {
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(key).is_some_and(|newest| newest.started.elapsed() < TAKE_OVER_AFTER) {
            return None;
        }
        let subscription = Subscription { started: Instant::now(), taken_over: CancellationToken::new() };
        let previous = all.insert(key.to_owned(), subscription.clone());
        Some((subscription, previous))
    }

    /// Ends the previous subscription, or registers it again if the new one failed.
    fn complete(
        &self,
        key: &str,
        subscription: Subscription,
        previous: Option<Subscription>,
        response: Response,
    ) -> Response {
        if response.status().is_success() {
            if let Some(previous) = previous {
                previous.taken_over.cancel();
            }
            let taken_over = subscription.taken_over.cancelled_owned();
            return response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(taken_over))));
        }
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        match previous {
            Some(previous) => all.insert(key.to_owned(), previous),
            None => all.remove(key),
        };
        response
    }

    async fn execute_subscription(&self, request: Value) -> Response {
        match execute_streaming(&self.store, request, JSON).await {
            Ok(body) => response(StatusCode::OK, EVENT_STREAM, body),
            Err(error) => service_error_response(&error),
        }
    }

    async fn get_shard_iterator(&self, request: Request, next: Next) -> Response {
        let (parts, mut request) = match read_json(request).await {
            Ok(parts) => parts,
            Err(error_response) => return error_response,
        };
        if request["ShardIteratorType"] == "AT_TIMESTAMP"
            && let Some(start) = self.start_after_last_record(&request, &request["Timestamp"]).await
            && let Some(fields) = request.as_object_mut()
        {
            fields.remove("Timestamp");
            start.set_iterator_fields(fields);
        }
        next.run(Request::from_parts(parts, Body::from(request.to_string()))).await
    }

    /// Where to start if no record arrived at `time` or later; `None` if there is one, or if the stream or shard does not
    /// exist. The last record is looked up first, so that a record that is put in between is not skipped.
    async fn start_after_last_record(&self, request: &Value, time: &Value) -> Option<Start> {
        let time = time.as_f64()?;
        let stream = match request["ConsumerARN"].as_str() {
            Some(arn) => self.store.stream_name_from_arn(arn.split_once("/consumer/")?.0)?,
            None => self.store.resolve_stream_name(request).ok()?,
        };
        let (_, shard) = resolve_shard_id(request["ShardId"].as_str()?).ok()?;
        let (from, to) = (format!("{}/", shard_ix_to_hex(shard)), shard_ix_to_hex(shard + 1));
        let last = self.store.get_records_range(&stream, &from, &to).await.pop();
        if self.store.find_first_record_at_timestamp(&stream, &from, &to, time).await.is_some() {
            return None;
        }
        let Some((key, _)) = last else { return Some(Start::TrimHorizon) };
        Some(Start::After(key.split_once('/')?.1.to_owned()))
    }
}

enum Start {
    TrimHorizon,
    After(String),
}

impl Start {
    fn into_position(self) -> Value {
        match self {
            Self::TrimHorizon => json!({"Type": "TRIM_HORIZON"}),
            Self::After(number) => json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}),
        }
    }

    fn set_iterator_fields(self, fields: &mut serde_json::Map<String, Value>) {
        match self {
            Self::TrimHorizon => {
                fields.insert("ShardIteratorType".to_owned(), "TRIM_HORIZON".into());
            }
            Self::After(number) => {
                fields.insert("ShardIteratorType".to_owned(), "AFTER_SEQUENCE_NUMBER".into());
                fields.insert("StartingSequenceNumber".to_owned(), number.into());
            }
        }
    }
}

enum StartKind {
    /// `TRIM_HORIZON`, `LATEST` or an unknown type: ferrokinesis handles these as AWS does.
    Relative,
    SequenceNumber,
    Timestamp,
}

impl StartKind {
    fn parse(kind: &Value) -> Self {
        match kind.as_str() {
            Some("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER") => Self::SequenceNumber,
            Some("AT_TIMESTAMP") => Self::Timestamp,
            _ => Self::Relative,
        }
    }
}

async fn read_json(request: Request) -> Result<(http::request::Parts, Value), Response> {
    let unreadable = || error_response("SerializationException", "the request body is not a JSON object");
    let (mut parts, bytes) = read_body(request).await?;
    let request: Value = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    // The body may change, and its length with it.
    parts.headers.remove(CONTENT_LENGTH);
    if request.is_object() { Ok((parts, request)) } else { Err(unreadable()) }
}

/// The request with its body in memory, and a copy of that body.
async fn buffered(request: Request) -> Result<(Request, Bytes), Response> {
    let (parts, bytes) = read_body(request).await?;
    Ok((Request::from_parts(parts, Body::from(bytes.clone())), bytes))
}

fn missing_position_member(member: &str) -> Response {
    error_response("InvalidArgumentException", &format!("StartingPosition needs {member} for this Type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use ferrokinesis::store::StoreOptions;

    #[tokio::test(start_paused = true)]
    async fn after_five_seconds_a_new_subscription_takes_over_and_the_old_one_ends() {
        let corrections = Corrections::new(Store::new(StoreOptions::default()));
        let endless = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let (first, previous) = corrections.register("consumer shard").unwrap();
        let first =
            corrections.complete("consumer shard", first, previous, response(StatusCode::OK, EVENT_STREAM, endless()));
        tokio::time::advance(TAKE_OVER_AFTER - Duration::from_millis(1)).await;
        assert!(corrections.register("consumer shard").is_none());
        assert!(corrections.register("consumer other-shard").is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        let (second, previous) = corrections.register("consumer shard").unwrap();
        let second =
            corrections.complete("consumer shard", second, previous, response(StatusCode::OK, EVENT_STREAM, endless()));
        assert!(to_bytes(first.into_body(), 1).await.unwrap().is_empty());
        let read = tokio::time::timeout(Duration::from_secs(300), to_bytes(second.into_body(), 1)).await;
        assert!(read.is_err(), "the new subscription stays open");
    }
}
