//! Reports the end of a shard as AWS does: the last response or event names the child shards and no position to continue
//! from.
//!
//! GetRecords of ferrokinesis names no children at the end. Its subscriptions name them in every event once a shard is
//! closed, also together with records and a continuation sequence number. The KCL treats both as an error and reads the
//! shard again and again.

use super::event_stream::map_events;
use super::protocol::{EVENT_STREAM, JSON, content_type, response, unreadable_response};
use aws_smithy_types::event_stream::Message;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use ferrokinesis::shard_iterator::decode_shard_iterator;
use ferrokinesis::store::Store;
use ferrokinesis::types::Shard;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::io;

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "NextShardIterator")]
    next: Option<IgnoredAny>,
}

/// Adds the child shards to a response of GetRecords at the end of a shard. `request` is the body of the request.
pub(super) async fn with_children(store: &Store, request: &[u8], original: Response) -> Response {
    if !original.status().is_success() || content_type(original.headers()) != JSON {
        return original;
    }
    let (parts, body) = original.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return unreadable_response();
    };
    let is_end = serde_json::from_slice::<Page>(&bytes).is_ok_and(|page| page.next.is_none());
    let children = match is_end {
        true => children_of(store, request).await,
        false => None,
    };
    if let Some(children) = children
        && let Ok(mut page) = serde_json::from_slice::<Value>(&bytes)
    {
        page["ChildShards"] = children;
        return response(parts.status, JSON, Body::from(page.to_string()));
    }
    Response::from_parts(parts, Body::from(bytes))
}

async fn children_of(store: &Store, request: &[u8]) -> Option<Value> {
    let request: Value = serde_json::from_slice(request).ok()?;
    let (_, stream, shard, _) = decode_shard_iterator(request["ShardIterator"].as_str()?).ok()?;
    let shards = store.get_stream(&stream).await.ok()?.shards;
    Some(shards.iter().filter_map(|child| child_of(&shard, child)).collect())
}

fn child_of(parent: &str, shard: &Shard) -> Option<Value> {
    let parents: Vec<&str> =
        [&shard.parent_shard_id, &shard.adjacent_parent_shard_id].into_iter().flatten().map(String::as_str).collect();
    parents
        .contains(&parent)
        .then(|| json!({"ShardId": shard.shard_id, "ParentShards": parents, "HashKeyRange": shard.hash_key_range}))
}

/// Corrects the events of a subscription: only the last one names the children.
pub(super) fn correct_subscription(response: Response) -> Response {
    if content_type(response.headers()) != EVENT_STREAM {
        return response;
    }
    response.map(|body| map_events(body, correct_message))
}

fn correct_message(message: Message) -> io::Result<Message> {
    if message.payload().is_empty() {
        return Ok(message);
    }
    let event = correct_event(serde_json::from_slice(message.payload())?);
    Ok(Message::new_from_parts(message.headers().to_vec(), event.to_string()))
}

fn correct_event(mut event: Value) -> Value {
    let has_some = |name: &str| event[name].as_array().is_some_and(|items| !items.is_empty());
    match (has_some("ChildShards"), has_some("Records")) {
        (false, _) => {}
        // The shard may have more records.
        (true, true) => event["ChildShards"] = json!([]),
        (true, false) => {
            if let Some(members) = event.as_object_mut() {
                members.remove("ContinuationSequenceNumber");
            }
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_event_names_children() {
        let event = |records: Value, children: Value| json!({"Records": records, "ContinuationSequenceNumber": "7", "ChildShards": children});
        let child = json!([{"ShardId": "child"}]);
        let open = event(json!([{}]), json!([]));
        assert_eq!(correct_event(open.clone()), open);
        assert_eq!(correct_event(event(json!([{}]), child.clone())), open);
        assert_eq!(correct_event(event(json!([]), child.clone())), json!({"Records": [], "ChildShards": child}));
        let quiet = event(json!([]), json!([]));
        assert_eq!(correct_event(quiet.clone()), quiet);
    }
}
