//! One `SubscribeToShard` call and its stream of events.

use super::super::failure::{Failed, classify};
use super::record::date_time;
use super::service_date::ServiceDate;
use crate::domain::{FailureKind, Outcome, ShardId, StartingPosition, Timestamp};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition as SdkPosition, SubscribeToShardEventStream};
use aws_smithy_types::event_stream::RawMessage;
use std::pin::Pin;
use tokio::time::{Instant, timeout_at};

/// A call under way.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Opened, Failed>> + Send>>;

/// A call that was answered.
pub(super) struct Opened {
    pub(super) subscription: Subscription,
    /// The service's time of its answer.
    pub(super) date: Timestamp,
}

/// A live subscription; dropping it ends it, and closes the HTTP client that is its own.
pub(super) struct Subscription {
    output: SubscribeToShardOutput,
    _client: Client,
}

impl Subscription {
    /// The next event; `None` at the end. Cancel-safe: bytes read so far stay with the receiver.
    pub(super) async fn receive(
        &mut self,
    ) -> Result<Option<SubscribeToShardEventStream>, SdkError<SubscribeToShardEventStreamError, RawMessage>> {
        self.output.event_stream.recv().await
    }
}

/// Asks for a subscription; the answer must be there at `deadline`.
pub(super) fn ask(
    client: Client,
    consumer_arn: &str,
    shard: &ShardId,
    position: &StartingPosition,
    deadline: Instant,
) -> Opening {
    let date = ServiceDate::default();
    let call = client
        .subscribe_to_shard()
        .consumer_arn(consumer_arn)
        .shard_id(shard.as_str())
        .set_starting_position(starting_position(position))
        .customize()
        .interceptor(date.clone());
    Box::pin(async move {
        match timeout_at(deadline, call.send()).await {
            Ok(Ok(output)) => {
                let date = date.or_local(&client);
                Ok(Opened { subscription: Subscription { output, _client: client }, date })
            }
            Ok(Err(error)) => Err(classify("Kinesis: SubscribeToShard", error)),
            Err(late) => Err(Failed {
                kind: FailureKind::TimedOut,
                outcome: Outcome::Unknown,
                text: "operation error Kinesis: SubscribeToShard, the service did not answer in time".to_owned(),
                code: None,
                request_id: None,
                source: Box::new(late),
            }),
        }
    })
}

fn starting_position(position: &StartingPosition) -> Option<SdkPosition> {
    let position = match position {
        StartingPosition::TrimHorizon => SdkPosition::builder().r#type(ShardIteratorType::TrimHorizon),
        StartingPosition::Latest => SdkPosition::builder().r#type(ShardIteratorType::Latest),
        StartingPosition::AtTimestamp(moment) => {
            SdkPosition::builder().r#type(ShardIteratorType::AtTimestamp).timestamp(date_time(*moment))
        }
        StartingPosition::At(number) => {
            SdkPosition::builder().r#type(ShardIteratorType::AtSequenceNumber).sequence_number(number.as_str())
        }
        StartingPosition::After(number) => {
            SdkPosition::builder().r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(number.as_str())
        }
    };
    // The type is the only member that must be there.
    position.build().ok()
}
