//! What outlives a deleted stream in ferrokinesis: shard iterators, which then work on a new stream of the same name, and
//! registered consumers. In AWS both end with the stream.

use ferrokinesis::sequence::parse_sequence;
use ferrokinesis::shard_iterator::decode_shard_iterator;
use ferrokinesis::store::Store;
use serde_json::Value;

/// Whether the body of a GetRecords request holds an iterator that was made before its stream was deleted and created
/// again. `false` for a request that cannot be read: ferrokinesis reports the error.
pub(super) async fn is_stale_iterator(store: &Store, body: &[u8]) -> bool {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let iterator = request["ShardIterator"].as_str().unwrap_or_default();
    let Ok((_, stream, shard, number)) = decode_shard_iterator(iterator) else { return false };
    let (Ok(stream), Ok(number)) = (store.get_stream(&stream).await, parse_sequence(&number)) else { return false };
    let found = stream.shards.iter().find(|found| found.shard_id == shard);
    let first = found.and_then(|found| parse_sequence(&found.sequence_number_range.starting_sequence_number).ok());
    first.is_some_and(|first| first.shard_create_time != number.shard_create_time)
}

/// The ARN of the stream that the body of a DeleteStream request names, if there is such a stream.
pub(super) async fn stream_arn(store: &Store, body: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let name = store.resolve_stream_name(&request).ok()?;
    Some(store.get_stream(&name).await.ok()?.stream_arn)
}

pub(super) async fn remove_consumers(store: &Store, arn: &str) {
    for consumer in store.list_consumers_for_stream(arn).await {
        if let Err(error) = store.delete_consumer(&consumer.consumer_arn).await {
            tracing::error!(
                consumer = consumer.consumer_arn,
                ?error,
                "consumer of a deleted stream could not be removed"
            );
        }
    }
}
