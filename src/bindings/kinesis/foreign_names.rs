//! Field names of other tools, each with the name to write instead.

use crate::manifest::ForeignNames;

/// Redpanda Connect's `aws_kinesis`, Lambda's event source mapping, the Kinesis client and producer libraries, Vector and
/// Fluent Bit. Names that differ only in
/// case from a field of bindd are read as that field and need no row.
pub(super) const FOREIGN_NAMES: ForeignNames = &[
    // Redpanda Connect
    ("stream", "write `streamName`"),
    ("partition_key", "write `partitionKey`, or `partitionKeyFrom` with a JSON pointer such as `/order/customer`"),
    ("hash_key", "write `explicitHashKey`, or `explicitHashKeyFrom` with a JSON pointer"),
    ("max_in_flight", "write `maxInFlight`"),
    ("batching.count", "write `batchingMaxMessages`, or `batchSize` for the input"),
    ("batching.byte_size", "write `batchingMaxSize`, or `batchBytes` for the input"),
    ("batching.period", "write `batchingMaxPublishDelay`, or `batchWindow` for the input"),
    ("batching.check", "write `batchingFlushExpression`, in jq"),
    ("batching.processors", "write `aggregation: lines` or `json-array` for `archive`, `compression` for `compress`"),
    ("max_retries", "write `maxRetries`; 0 is no retry here, -1 is no limit"),
    ("backoff.initial_interval", "write `backoffInitialInterval`"),
    ("backoff.max_interval", "write `backoffMaxInterval`"),
    ("backoff.max_elapsed_time", "write `backoffMaxElapsedTime`"),
    ("tcp.connect_timeout", "write `connectTimeout`"),
    ("tcp.keep_alive.idle", "write `tcpKeepAlive`"),
    ("tcp.keep_alive.interval", "the HTTP client has no such setting"),
    ("tcp.keep_alive.count", "the HTTP client has no such setting"),
    ("tcp.tcp_user_timeout", "there is no such setting; `attemptTimeout` ends a call without an answer"),
    ("credentials.profile", "write `profile`"),
    ("credentials.id", "write `accessKey`"),
    ("credentials.secret", "write `secretKey`"),
    ("credentials.token", "write `sessionToken`"),
    ("credentials.from_ec2_role", "write `credentialSource: imds`"),
    ("credentials.role", "write `assumeRoleArn`"),
    ("credentials.role_external_id", "write `assumeRoleExternalId`"),
    ("checkpoint_limit", "write `maxInFlightRecords`"),
    ("commit_period", "write `checkpointInterval`, with a unit such as `1s`"),
    ("lease_period", "write `leaseDuration`, with a unit such as `10s`"),
    ("start_from_oldest", "write `initialPosition: trim_horizon`"),
    ("auto_replay_nacks", "a record that the app refuses is delivered again; see `maxAttempts`"),
    ("dynamodb.table", "write `leaseTable`"),
    ("enhanced_fan_out.enabled", "write `mode: extended`"),
    ("enhanced_fan_out.consumer_name", "write `consumerName`"),
    // Lambda's event source mapping
    ("maximumBatchingWindowInSeconds", "write `batchWindow`, with a unit such as `5s`"),
    ("parallelizationFactor", "write `concurrencyPerShard`"),
    ("maximumRetryAttempts", "write `maxAttempts`, which counts the first delivery too"),
    ("maximumRecordAgeInSeconds", "write `maxRecordAge`, with a unit such as `1h`"),
    ("bisectBatchOnFunctionError", "write `bisectOnError`"),
    ("functionResponseTypes", "write `partial: lowest` with `bodyFormat: lambda`, or `partial: off`"),
    ("startingPosition", "write `initialPosition`"),
    ("startingPositionTimestamp", "write `initialTimestamp`"),
    ("destinationConfig", "write `deadLetterBinding` or `deadLetterFolder`"),
    ("tumblingWindowInSeconds", "there are no windows with state"),
    ("filterCriteria", "write `filter`, with the patterns as they are"),
    // Kinesis Client Library
    ("applicationName", "write `consumerName`"),
    ("initialPositionInStream", "write `initialPosition`"),
    ("failoverTimeMillis", "write `leaseDuration`, with a unit such as `10s`"),
    ("workerIdentifier", "each sidecar chooses its own"),
    // Dapr, and drafts of this project
    ("streamArn", "write the ARN in `streamName`"),
    ("backOffMaxRetries", "write `maxRetries`"),
    ("backOffDuration", "write `backoffInitialInterval`"),
    ("orderingKey", "write `partitionKeyFrom` and `ordering: key`"),
    // Kinesis Producer Library
    ("AggregationEnabled", "write `aggregation: shard`, or `key`"),
    ("AggregationMaxCount", "the only limit of an aggregate is its size; write `aggregation: shard`, or `key`"),
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
