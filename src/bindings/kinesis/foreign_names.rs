//! Field names of other tools, each with the name to write instead.

use crate::manifest::ForeignNames;

/// Redpanda Connect's `aws_kinesis`, the Kinesis Producer Library, Vector and Fluent Bit. Names that differ only in
/// case from a field of bindd are read as that field and need no row.
pub(super) const FOREIGN_NAMES: ForeignNames = &[
    // Redpanda Connect
    ("stream", "write `streamName`"),
    ("partition_key", "write `partitionKey`, or `partitionKeyFrom` with a JSON pointer such as `/order/customer`"),
    ("hash_key", "write `explicitHashKey`, or `explicitHashKeyFrom` with a JSON pointer"),
    ("max_in_flight", "write `maxInFlight`"),
    ("batching.count", "write `batchingMaxMessages`"),
    ("batching.byte_size", "write `batchingMaxSize`"),
    ("batching.period", "write `batchingMaxPublishDelay`"),
    ("batching.check", "there is no such condition; the size of batches follows the load"),
    ("batching.processors", "there are no processors; see `aggregation` and `compression`"),
    ("max_retries", "write `maxRetries`; 0 is no retry here, -1 is no limit"),
    ("backoff.initial_interval", "write `backoffInitialInterval`"),
    ("backoff.max_interval", "write `backoffMaxInterval`"),
    ("backoff.max_elapsed_time", "write `backoffMaxElapsedTime`"),
    ("tcp.connect_timeout", "write `connectTimeout`"),
    ("tcp.keep_alive.idle", "write `tcpKeepAlive`"),
    ("credentials.profile", "write `profile`"),
    ("credentials.id", "write `accessKey`"),
    ("credentials.secret", "write `secretKey`"),
    ("credentials.token", "write `sessionToken`"),
    ("credentials.role", "write `assumeRoleArn`"),
    ("credentials.role_external_id", "write `assumeRoleExternalId`"),
    // Dapr, and drafts of this project
    ("streamArn", "write the ARN in `streamName`"),
    ("backOffMaxRetries", "write `maxRetries`"),
    ("backOffDuration", "write `backoffInitialInterval`"),
    ("orderingKey", "write `partitionKeyFrom` and `ordering: key`"),
    // Kinesis Producer Library
    ("AggregationEnabled", "write `aggregation: shard`, or `key`"),
    ("AggregationMaxCount", "the only limit of an aggregate is its size; write `aggregation: shard`, or `key`"),
    ("AggregationMaxSize", "write `aggregation: shard`, or `key`"),
    ("CollectionMaxCount", "write `batchingMaxMessages`"),
    ("CollectionMaxSize", "write `batchingMaxSize`"),
    ("RecordMaxBufferedTime", "write `batchingMaxPublishDelay`, with a unit such as `100ms`"),
    ("RecordTtl", "write `requestTimeout`, with a unit such as `30s`"),
    ("RateLimit", "write `maxRecordsPerShardPerSecond` and `maxBytesPerShardPerSecond`; the KPL's is in percent"),
    ("KinesisEndpoint", "write `endpoint`"),
    ("KinesisPort", "write the port in `endpoint`"),
    ("MinConnections", "connections are opened as they are needed; see `maxConnections`"),
    // Vector
    ("stream_name", "write `streamName`"),
    ("partition_key_field", "write `partitionKeyFrom`, with a JSON pointer such as `/customer`"),
    ("batch.max_events", "write `batchingMaxMessages`"),
    ("batch.max_bytes", "write `batchingMaxSize`"),
    ("batch.timeout_secs", "write `batchingMaxPublishDelay`, with a unit such as `100ms`"),
    ("request.concurrency", "write `maxInFlight`"),
    ("request.retry_attempts", "write `maxRetries`"),
    ("request.timeout_secs", "write `attemptTimeout`"),
    ("request_retry_partial", "only the failed records of a batch are sent again"),
    ("auth.assume_role", "write `assumeRoleArn`"),
    // Fluent Bit
    ("role_arn", "write `assumeRoleArn`"),
    ("external_id", "write `assumeRoleExternalId`"),
    ("simple_aggregation", "write `aggregation: key`"),
    ("auto_retry_requests", "failed attempts are retried; see `maxRetries`"),
    ("workers", "write `maxInFlight`"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_name_is_listed_once() {
        let names: HashSet<String> = FOREIGN_NAMES.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert_eq!(names.len(), FOREIGN_NAMES.len());
    }
}
