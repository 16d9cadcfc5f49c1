//! One record into a stream.

use super::super::failure::classify;
use super::super::{Connection, StreamRef};
use crate::domain::{BindingError, FailureKind};
use aws_smithy_types::Blob;
use bytes::Bytes;

/// The most that any stream takes in one record, payload and partition key together, in bytes (AWS: a stream's
/// `MaxRecordSizeInKiB` is 1024 unless raised, at most 10240; which of them holds only AWS knows).
pub const LARGEST_RECORD: usize = 10_485_760;
/// The most characters of a partition key.
pub const LONGEST_PARTITION_KEY: usize = 256;

/// What to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRequest {
    /// The payload.
    pub data: Bytes,
    /// Decides about the shard, by its MD5.
    pub partition_key: String,
    /// Decides instead of the partition key: a decimal number below 2^128.
    pub explicit_hash_key: Option<String>,
}

/// Where a record was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReceipt {
    /// The number it was given.
    pub sequence_number: String,
    /// The shard it went to.
    pub shard_id: String,
    /// `KMS` or `NONE`, where the service says so.
    pub encryption: Option<String>,
}

/// Puts records into one stream.
#[derive(Debug, Clone)]
pub struct Producer {
    connection: Connection,
    client: aws_sdk_kinesis::Client,
    stream: StreamRef,
}

impl Producer {
    /// For one stream, which need not exist yet.
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef) -> Self {
        Self { connection: connection.clone(), client: connection.kinesis(), stream }
    }

    /// One attempt, never repeated here. Dropping the future leaves open whether the record was stored.
    ///
    /// # Errors
    /// `Caller` or `TooLarge` before anything is sent when [`check_limits`] says so; else as the service answered.
    /// `Outcome::Unknown` when the record may have been stored.
    pub async fn put(&self, request: PutRequest) -> Result<PutReceipt, BindingError> {
        check_limits(&request)?;
        let _permit = self.connection.permit().await;
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.put_record().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.put_record().stream_arn(arn),
        };
        let call = call
            .data(Blob::new(request.data))
            .partition_key(request.partition_key)
            .set_explicit_hash_key(request.explicit_hash_key);
        let output = call.send().await.map_err(|error| classify("Kinesis: PutRecord", error))?;
        Ok(PutReceipt {
            sequence_number: output.sequence_number,
            shard_id: output.shard_id,
            encryption: output.encryption_type.map(|kind| kind.as_str().to_owned()),
        })
    }
}

/// Refuses what no stream would take.
///
/// # Errors
/// `Caller` for a partition key that is empty or longer than 256 characters, or a hash key that is not a decimal number
/// below 2^128; `TooLarge` when payload and partition key exceed 10 MiB together.
pub fn check_limits(request: &PutRequest) -> Result<(), BindingError> {
    let caller = |text: String| Err(BindingError::new(FailureKind::Caller, text));
    let characters = request.partition_key.chars().count();
    if !(1..=LONGEST_PARTITION_KEY).contains(&characters) {
        return caller(format!("the partition key has {characters} characters: Kinesis takes 1 to 256"));
    }
    if let Some(key) = &request.explicit_hash_key {
        let is_number = key.bytes().all(|byte| byte.is_ascii_digit()) && key.parse::<u128>().is_ok();
        if !is_number {
            return caller("the explicit hash key must be a decimal number from 0 to 2^128 - 1".to_owned());
        }
    }
    let size = request.data.len().saturating_add(request.partition_key.len());
    if size > LARGEST_RECORD {
        let text =
            format!("the record has {size} bytes with its partition key: Kinesis takes {LARGEST_RECORD} at most");
        return Err(BindingError::new(FailureKind::TooLarge, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: usize, key: &str, hash: Option<&str>) -> PutRequest {
        let data = Bytes::from(vec![0; size]);
        PutRequest { data, partition_key: key.to_owned(), explicit_hash_key: hash.map(str::to_owned) }
    }

    #[test]
    fn limits_are_those_of_the_service() {
        let highest = u128::MAX.to_string();
        let beyond = "340282366920938463463374607431768211456";
        for (request, refused) in [
            (request(0, "k", None), None),
            (request(1, "", None), Some(FailureKind::Caller)),
            (request(1, &"ü".repeat(256), None), None),
            (request(1, &"k".repeat(257), None), Some(FailureKind::Caller)),
            (request(1, "k", Some("0")), None),
            (request(1, "k", Some(&highest)), None),
            (request(1, "k", Some(beyond)), Some(FailureKind::Caller)),
            (request(1, "k", Some("+1")), Some(FailureKind::Caller)),
            (request(1, "k", Some("")), Some(FailureKind::Caller)),
            (request(LARGEST_RECORD - 1, "k", None), None),
            (request(LARGEST_RECORD, "k", None), Some(FailureKind::TooLarge)),
        ] {
            let outcome = check_limits(&request).map_err(|error| error.kind());
            assert_eq!(outcome.err(), refused, "{} {:?}", request.partition_key, request.explicit_hash_key);
        }
    }
}
