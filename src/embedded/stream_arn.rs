//! A stream named by its ARN. Most operations of the emulator read `StreamName` alone; AWS takes either.

use ferrokinesis::store::Store;
use serde_json::Value;

/// The operations that take either member in AWS, and only `StreamName` in the emulator.
const BY_NAME: [&str; 14] = [
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

/// The body of a request with `StreamName` in place of `StreamARN`; `None` where it may stay as it is.
pub(super) fn by_name(store: &Store, operation: &str, body: &[u8]) -> Option<Vec<u8>> {
    if !is_by_name(operation) {
        return None;
    }
    let mut asked: Value = serde_json::from_slice(body).ok()?;
    let members = asked.as_object_mut().filter(|members| !members.contains_key("StreamName"))?;
    let name = store.stream_name_from_arn(members.get("StreamARN")?.as_str()?)?;
    members.remove("StreamARN");
    members.insert("StreamName".to_owned(), name.into());
    Some(asked.to_string().into_bytes())
}

/// Whether the body of this operation may need the name.
pub(super) fn is_by_name(operation: &str) -> bool {
    BY_NAME.contains(&operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrokinesis::store::StoreOptions;

    #[test]
    fn an_arn_becomes_the_name_where_only_the_name_is_read() {
        let store = Store::new(StoreOptions::default());
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
        let read = |operation, body: String| {
            let body = by_name(&store, operation, body.as_bytes())?;
            Some(String::from_utf8(body).unwrap())
        };
        let asked = format!(r#"{{"StreamARN":"{arn}","MaxResults":3}}"#);
        let expected = Some(r#"{"MaxResults":3,"StreamName":"orders"}"#.to_owned());
        assert_eq!(read("ListShards", asked.clone()), expected);
        assert_eq!(read("RegisterStreamConsumer", asked), None);
        assert_eq!(read("ListShards", r#"{"StreamName":"orders"}"#.to_owned()), None);
        assert_eq!(read("ListShards", format!(r#"{{"StreamName":"orders","StreamARN":"{arn}"}}"#)), None);
        assert_eq!(read("ListShards", r#"{"StreamARN":"no arn"}"#.to_owned()), None);
        assert_eq!(read("ListShards", "no json".to_owned()), None);
    }
}
