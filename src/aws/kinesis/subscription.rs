//! One `SubscribeToShard` call and its stream of events.

use super::super::failure::{CallError, classify};
use super::starting_position::arguments;
use super::time::ResponseDate;
use crate::domain::{FailureKind, Outcome, ShardId, StartingPosition, Timestamp};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{StartingPosition as SdkPosition, SubscribeToShardEventStream};
use aws_smithy_types::event_stream::RawMessage;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

/// A call in flight: the subscription, and the time of the response by the service's clock.
pub(super) type PendingSubscription = BoxFuture<'static, Result<(Subscription, Timestamp), CallError>>;

/// An open subscription. Dropping it ends it and closes its HTTP client.
pub(super) struct Subscription {
    output: SubscribeToShardOutput,
    client: Client,
}

impl Subscription {
    /// Ends it and keeps its HTTP client, with the open connection.
    pub(super) fn into_client(self) -> Client {
        self.client
    }

    /// The next event; `None` at the end. Cancel-safe: bytes read so far stay with the receiver.
    pub(super) async fn receive(
        &mut self,
    ) -> Result<Option<SubscribeToShardEventStream>, SdkError<SubscribeToShardEventStreamError, RawMessage>> {
        self.output.event_stream.recv().await
    }
}

/// The response must arrive by `deadline`.
pub(super) fn subscribe(
    client: Client,
    consumer_arn: &str,
    shard: &ShardId,
    position: &StartingPosition,
    deadline: Instant,
) -> PendingSubscription {
    let date = ResponseDate::default();
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
                Ok((Subscription { output, client }, date))
            }
            Ok(Err(error)) => Err(classify("Kinesis: SubscribeToShard", error)),
            Err(_) => {
                let text = "operation error Kinesis: SubscribeToShard, the service did not answer in time".to_owned();
                Err(CallError::new(FailureKind::TimedOut, Outcome::Unknown, text))
            }
        }
    })
}

fn starting_position(position: &StartingPosition) -> Option<SdkPosition> {
    let (kind, number, timestamp) = arguments(position);
    // Fails only without a type.
    SdkPosition::builder().r#type(kind).set_sequence_number(number).set_timestamp(timestamp).build().ok()
}
