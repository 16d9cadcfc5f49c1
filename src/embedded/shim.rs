//! Mends what ferrokinesis 0.7.0 gets wrong.
//!
//! - `SubscribeToShard` is checked against a schema that knows only `StartingPosition.Type`; the number and the time
//!   are dropped, so that every subscription at a position begins at the horizon. The emulator's action itself is
//!   right and public: it is called directly.
//! - `AT_TIMESTAMP` with no record that late begins at the horizon, in both ways of reading. It is turned into "after
//!   the last record".
//! - Two requests at once can lock each other out for good, since its store holds blocking locks while it waits, and a
//!   lower sequence number can appear after a higher one was read. Here requests take turns.
//! - AWS refuses a second subscription to a shard within 5 s of the first and lets a later one take over; the emulator
//!   serves both. Here the rule holds, and the one taken over ends (AWS sends it an exception first).
//! - The limits of a record (`put`), UpdateShardCount (`reshard`), the filter of ListShards (`shard_filter`), the end of
//!   a shard (`shard_end`), what is left of a deleted stream (`deleted_stream`), and streams named by their ARN
//!   (`stream_arn`).
//!
//! Requests in CBOR are translated into JSON first (`cbor`), so all of this holds for them too.

use super::aws::LARGEST_BODY;
use super::shard_filter::ShardFilter;
use super::{cbor, deleted_stream, put, reshard, shard_end, stream_arn};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ferrokinesis::actions::Operation;
use ferrokinesis::actions::subscribe_to_shard::execute_streaming;
use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::sequence::{resolve_shard_id, shard_ix_to_hex};
use ferrokinesis::store::Store;
use ferrokinesis::util::current_time_ms;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) const JSON: &str = "application/x-amz-json-1.1";
pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Within this time after a subscription a second one to the same shard is refused (SubscribeToShard, API reference).
pub(super) const TAKE_OVER_AFTER: Duration = Duration::from_secs(5);

/// Puts the mending in front of the emulator's router.
pub(super) fn mend(router: Router, store: Store) -> Router {
    let shim = Arc::new(Shim::new(store));
    router.layer(from_fn(move |request: Request, next: Next| {
        let shim = shim.clone();
        async move {
            if !cbor::is_spoken(request.headers()) {
                return shim.serve(request, next).await;
            }
            let answer = match cbor::request_in_json(request).await {
                Ok(request) => shim.serve(request, next).await,
                Err(refusal) => refusal,
            };
            cbor::answer_in_cbor(answer).await
        }
    }))
}

struct Shim {
    store: Store,
    /// The newest subscription of each consumer and shard. A lock, as it is held for a look and an insert only.
    subscriptions: Mutex<HashMap<String, Subscription>>,
    /// Held by the request that is served; the stream of a subscription goes on without it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Subscription {
    begun: Instant,
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

/// The operation of a request; empty where the emulator may answer by itself.
fn operation(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Without a signature the emulator answers as AWS would; that is left to it.
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

/// The media type of a request or an answer, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

impl Shim {
    fn new(store: Store) -> Self {
        Self { store, subscriptions: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    async fn serve(&self, request: Request, next: Next) -> Response {
        let operation = operation(request.headers()).to_owned();
        let action = action(&operation);
        let (mut request, mut body) = match action.is_none() && !stream_arn::is_by_name(&operation) {
            true => (request, Bytes::new()),
            false => match buffered(request).await {
                Ok(buffered) => buffered,
                Err(refusal) => return refusal,
            },
        };
        if let Some(by_name) = stream_arn::by_name(&self.store, &operation, &body) {
            body = by_name.into();
            *request.body_mut() = Body::from(body.clone());
            request.headers_mut().remove(CONTENT_LENGTH);
        }
        let _turn = self.turn.lock().await;
        // A subscription that was woken by the last request may hold a lock: it goes first.
        tokio::task::yield_now().await;
        let mended = match action {
            Some(Action::Subscribe) => return self.subscribe(request, next).await,
            Some(Action::Iterator) => return self.iterator(request, next).await,
            Some(Action::Put(operation)) => put::answer(&self.store, operation, &body).await,
            Some(Action::UpdateShardCount) => reshard::answer(&self.store, &body).await,
            Some(Action::ListShards) => return self.list(request, &body, next).await,
            Some(Action::GetRecords) => {
                if deleted_stream::is_iterator_of(&self.store, &body).await {
                    return refusal("InvalidArgumentException", "the ShardIterator did not come from this stream");
                }
                return shard_end::with_children(&self.store, &body, next.run(request).await).await;
            }
            Some(Action::DeleteStream) => return self.delete_stream(request, &body, next).await,
            None => None,
        };
        match mended {
            Some(answer) => answer,
            None => next.run(request).await,
        }
    }

    async fn list(&self, request: Request, body: &[u8], next: Next) -> Response {
        // What is not JSON is refused by the emulator.
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        match ShardFilter::read(&self.store, &asked, current_time_ms()).await {
            Ok(Some(filter)) => filter.apply(next.run(request).await).await,
            Ok(None) => next.run(request).await,
            Err(refusal) => refusal,
        }
    }

    async fn delete_stream(&self, request: Request, body: &[u8], next: Next) -> Response {
        let arn = deleted_stream::arn(&self.store, body).await;
        let answer = next.run(request).await;
        if let Some(arn) = arn.filter(|_| answer.status().is_success()) {
            deleted_stream::remove_consumers(&self.store, &arn).await;
            let consumers = format!("\"{arn}/consumer/");
            let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
            all.extract_if(|key, _| key.starts_with(&consumers)).for_each(|(_, ended)| ended.taken_over.cancel());
        }
        answer
    }

    async fn subscribe(&self, request: Request, next: Next) -> Response {
        let (parts, mut asked) = match read(request).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let key = format!("{} {}", asked["ConsumerARN"], asked["ShardId"]);
        let Some((mine, before)) = self.claim(&key) else {
            return refusal(
                "ResourceInUseException",
                "another subscription to this shard by this consumer began less than 5 seconds ago",
            );
        };
        let answer = match StartKind::of(&asked["StartingPosition"]["Type"]) {
            StartKind::Relative => next.run(Request::from_parts(parts, Body::from(asked.to_string()))).await,
            StartKind::Number if !asked["StartingPosition"]["SequenceNumber"].is_string() => lacks("SequenceNumber"),
            StartKind::Time if !asked["StartingPosition"]["Timestamp"].is_number() => lacks("Timestamp"),
            kind @ (StartKind::Number | StartKind::Time) => {
                if matches!(kind, StartKind::Time)
                    && let Some(start) = self.start_past(&asked, &asked["StartingPosition"]["Timestamp"]).await
                {
                    asked["StartingPosition"] = start.in_subscription();
                }
                self.stream(asked).await
            }
        };
        self.settle(&key, mine, before, shard_end::of_subscription(answer))
    }

    /// Takes the place of the newest subscription and gives back that one; `None` when it is too young.
    fn claim(&self, key: &str) -> Option<(Subscription, Option<Subscription>)> {
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(key).is_some_and(|newest| newest.begun.elapsed() < TAKE_OVER_AFTER) {
            return None;
        }
        let mine = Subscription { begun: Instant::now(), taken_over: CancellationToken::new() };
        let before = all.insert(key.to_owned(), mine.clone());
        Some((mine, before))
    }

    /// Ends the subscription before, or brings it back if the new one did not come to be.
    fn settle(&self, key: &str, mine: Subscription, before: Option<Subscription>, answer: Response) -> Response {
        if answer.status().is_success() {
            if let Some(before) = before {
                before.taken_over.cancel();
            }
            let taken_over = mine.taken_over.cancelled_owned();
            return answer.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(taken_over))));
        }
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        match before {
            Some(before) => all.insert(key.to_owned(), before),
            None => all.remove(key),
        };
        answer
    }

    async fn stream(&self, asked: Value) -> Response {
        match execute_streaming(&self.store, asked, JSON).await {
            Ok(body) => answer(StatusCode::OK, EVENT_STREAM, body),
            Err(error) => error_answer(&error),
        }
    }

    async fn iterator(&self, request: Request, next: Next) -> Response {
        let (parts, mut asked) = match read(request).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        if asked["ShardIteratorType"] == "AT_TIMESTAMP"
            && let Some(start) = self.start_past(&asked, &asked["Timestamp"]).await
            && let Some(fields) = asked.as_object_mut()
        {
            fields.remove("Timestamp");
            start.in_iterator(fields);
        }
        next.run(Request::from_parts(parts, Body::from(asked.to_string()))).await
    }

    /// Where to begin when no record arrived at that time or later; `None` when there is one, or the request names
    /// nothing that exists. The last record is looked up first, so that one put in between is not passed over.
    async fn start_past(&self, asked: &Value, time: &Value) -> Option<Start> {
        let time = time.as_f64()?;
        let stream = match asked["ConsumerARN"].as_str() {
            Some(arn) => self.store.stream_name_from_arn(arn.split_once("/consumer/")?.0)?,
            None => self.store.resolve_stream_name(asked).ok()?,
        };
        let (_, shard) = resolve_shard_id(asked["ShardId"].as_str()?).ok()?;
        let (from, to) = (format!("{}/", shard_ix_to_hex(shard)), shard_ix_to_hex(shard + 1));
        let last = self.store.get_records_range(&stream, &from, &to).await.pop();
        if self.store.find_first_record_at_timestamp(&stream, &from, &to, time).await.is_some() {
            return None;
        }
        let Some((key, _)) = last else { return Some(Start::Horizon) };
        Some(Start::After(key.split_once('/')?.1.to_owned()))
    }
}

enum Start {
    Horizon,
    After(String),
}

impl Start {
    fn in_subscription(self) -> Value {
        match self {
            Self::Horizon => json!({"Type": "TRIM_HORIZON"}),
            Self::After(number) => json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}),
        }
    }

    fn in_iterator(self, fields: &mut serde_json::Map<String, Value>) {
        match self {
            Self::Horizon => {
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
    /// At the horizon, at the tip, or unknown to us: the emulator's own way is right.
    Relative,
    Number,
    Time,
}

impl StartKind {
    fn of(word: &Value) -> Self {
        match word.as_str() {
            Some("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER") => Self::Number,
            Some("AT_TIMESTAMP") => Self::Time,
            _ => Self::Relative,
        }
    }
}

async fn read(request: Request) -> Result<(http::request::Parts, Value), Response> {
    let unreadable = || refusal("SerializationException", "the request body is not a JSON object");
    let (mut parts, bytes) = read_body(request).await?;
    let asked: Value = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    // The body may be written anew, with another length.
    parts.headers.remove(CONTENT_LENGTH);
    if asked.is_object() { Ok((parts, asked)) } else { Err(unreadable()) }
}

/// The request with its body in memory, and that body.
async fn buffered(request: Request) -> Result<(Request, Bytes), Response> {
    let (parts, bytes) = read_body(request).await?;
    Ok((Request::from_parts(parts, Body::from(bytes.clone())), bytes))
}

/// Head and body of a request.
pub(super) async fn read_body(request: Request) -> Result<(http::request::Parts, Bytes), Response> {
    let (parts, body) = request.into_parts();
    let too_large = |_| refusal("SerializationException", "the request body is too large or was not sent to its end");
    Ok((parts, to_bytes(body, LARGEST_BODY).await.map_err(too_large)?))
}

fn lacks(member: &str) -> Response {
    refusal("InvalidArgumentException", &format!("StartingPosition lacks {member}, which its Type needs"))
}

/// The answer to a request that is at fault; `code` is the name of the exception.
pub(super) fn refusal(code: &str, message: &str) -> Response {
    error_answer(&KinesisErrorResponse::client_error(code, Some(message)))
}

/// The answer where the emulator's own cannot be read.
pub(super) fn broken_answer() -> Response {
    error_answer(&KinesisErrorResponse::server_error(None, Some("the emulator's answer could not be read")))
}

pub(super) fn error_answer(error: &KinesisErrorResponse) -> Response {
    let status = StatusCode::from_u16(error.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = json!({"__type": error.body.error_type, "message": error.body.message});
    answer(status, JSON, Body::from(text.to_string()))
}

pub(super) fn answer(status: StatusCode, content: &'static str, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrokinesis::store::StoreOptions;

    #[tokio::test(start_paused = true)]
    async fn after_five_seconds_a_new_subscription_takes_over_and_the_old_one_ends() {
        let shim = Shim::new(Store::new(StoreOptions::default()));
        let endless = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let (first, before) = shim.claim("consumer shard").unwrap();
        let first = shim.settle("consumer shard", first, before, answer(StatusCode::OK, EVENT_STREAM, endless()));
        tokio::time::advance(TAKE_OVER_AFTER - Duration::from_millis(1)).await;
        assert!(shim.claim("consumer shard").is_none());
        assert!(shim.claim("consumer other-shard").is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        let (second, before) = shim.claim("consumer shard").unwrap();
        let second = shim.settle("consumer shard", second, before, answer(StatusCode::OK, EVENT_STREAM, endless()));
        assert!(to_bytes(first.into_body(), 1).await.unwrap().is_empty());
        let read = tokio::time::timeout(Duration::from_secs(300), to_bytes(second.into_body(), 1)).await;
        assert!(read.is_err(), "the new one goes on");
    }
}
