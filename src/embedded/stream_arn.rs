//! Streams given by `StreamARN`. Most operations of ferrokinesis read `StreamName` only; AWS takes either.

use ferrokinesis::store::Store;
use serde_json::Value;

/// The operations that take either member in AWS, and only `StreamName` in ferrokinesis.
const NAME_ONLY: [&str; 14] = [
    "AddTagsToStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteStream",
    "DescribeStream",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListTagsForStream",
    "MergeShards",
    "RemoveTagsFromStream",
    "SplitShard",
];

/// The body of a request with `StreamName` in place of `StreamARN`; `None` if the body needs no change.
pub(super) fn with_stream_name(store: &Store, operation: &str, body: &[u8]) -> Option<Vec<u8>> {
    if !needs_stream_name(operation) {
        return None;
    }
    let mut request: Value = serde_json::from_slice(body).ok()?;
    let members = request.as_object_mut().filter(|members| !members.contains_key("StreamName"))?;
    let name = store.stream_name_from_arn(members.get("StreamARN")?.as_str()?)?;
    members.remove("StreamARN");
    members.insert("StreamName".to_owned(), name.into());
    Some(request.to_string().into_bytes())
}

/// Whether ferrokinesis reads only `StreamName` in this operation.
pub(super) fn needs_stream_name(operation: &str) -> bool {
    NAME_ONLY.contains(&operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrokinesis::store::StoreOptions;

    #[test]
    fn an_arn_is_replaced_by_the_name_where_only_the_name_is_read() {
        let store = Store::new(StoreOptions::default());
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
        let rewrite = |operation, body: String| {
            let body = with_stream_name(&store, operation, body.as_bytes())?;
            Some(String::from_utf8(body).unwrap())
        };
        let request = format!(r#"{{"StreamARN":"{arn}","MaxResults":3}}"#);
        let expected = Some(r#"{"MaxResults":3,"StreamName":"orders"}"#.to_owned());
        assert_eq!(rewrite("ListShards", request.clone()), expected);
        assert_eq!(rewrite("RegisterStreamConsumer", request), None);
        assert_eq!(rewrite("ListShards", r#"{"StreamName":"orders"}"#.to_owned()), None);
        assert_eq!(rewrite("ListShards", format!(r#"{{"StreamName":"orders","StreamARN":"{arn}"}}"#)), None);
        assert_eq!(rewrite("ListShards", r#"{"StreamARN":"no arn"}"#.to_owned()), None);
        assert_eq!(rewrite("ListShards", "no json".to_owned()), None);
    }
}
