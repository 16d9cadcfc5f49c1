//! An app in memory with scripted replies. It records its calls.

use crate::domain::{
    Accepted, BindingEvent, DeliveryError, EventBatch, EventHandler, Message, RecordPosition, ShardId,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Accepts the event after this time.
    Accept(Duration),
    /// With this status and `Retry-After`.
    Refuse(u16, Option<Duration>),
    /// Never replies.
    Stall,
    /// Cannot be reached.
    Down,
}

/// One call of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub begun: Instant,
    pub shard: ShardId,
    pub position: RecordPosition,
    pub key: String,
    pub data: Bytes,
    pub attempt: u32,
    /// Whether the app has accepted it so far.
    pub accepted: bool,
}

#[derive(Debug, Default)]
struct State {
    planned: VecDeque<Reply>,
    default: Option<Reply>,
    seen: Vec<Delivery>,
    messages: Vec<Message>,
}

/// Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct RecordingHandler {
    // A lock and not an owner task, because tests read the calls from synchronous code too.
    state: Arc<Mutex<State>>,
}

impl RecordingHandler {
    /// Accepts everything at once by default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the replies to the next calls.
    pub fn plan(&self, replies: impl IntoIterator<Item = Reply>) {
        self.with(|state| state.planned.extend(replies));
    }

    /// Sets the reply to all calls that have no planned reply.
    pub fn always(&self, reply: Reply) {
        self.with(|state| state.default = Some(reply));
    }

    /// All calls so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<Delivery> {
        self.with(|state| state.seen.clone())
    }

    /// The accepted calls, in the order in which they began.
    #[must_use]
    pub fn accepted(&self) -> Vec<Delivery> {
        self.with(|state| state.seen.iter().filter(|call| call.accepted).cloned().collect())
    }

    /// All messages so far, in the order in which their calls began.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.with(|state| state.messages.clone())
    }

    fn next_reply(&self) -> Reply {
        self.with(|state| state.planned.pop_front().or(state.default).unwrap_or(Reply::Accept(Duration::ZERO)))
    }

    /// Waits until `count` calls were accepted.
    pub async fn until_accepted(&self, count: usize) {
        while self.accepted().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The index of the first event's call, and the reply.
    fn begin(&self, batch: &EventBatch) -> (usize, Reply) {
        let call = |event: &BindingEvent| Delivery {
            begun: Instant::now(),
            shard: event.origin.shard.clone(),
            position: event.origin.position.clone(),
            key: event.origin.partition_key.clone(),
            data: event.data.clone(),
            attempt: event.attempt,
            accepted: false,
        };
        let index = self.with(|state| {
            state.seen.extend(batch.events.iter().map(call));
            state.seen.len() - batch.events.len()
        });
        (index, self.next_reply())
    }
}

async fn answer(reply: Reply) -> Result<(), DeliveryError> {
    match reply {
        Reply::Accept(wait) => {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            Ok(())
        }
        Reply::Refuse(status, retry_after) => {
            let target = "POST /events".to_owned();
            Err(DeliveryError::Refused { status, target, retry_after, location: None, excerpt: None })
        }
        Reply::Stall => std::future::pending().await,
        Reply::Down => {
            let address = "localhost:8080".to_owned();
            Err(DeliveryError::Unreachable { address, source: "the app is down".into() })
        }
    }
}

#[async_trait]
impl EventHandler for RecordingHandler {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let (index, reply) = self.begin(batch);
        answer(reply).await?;
        self.with(|state| {
            state.seen[index..index + batch.events.len()].iter_mut().for_each(|call| call.accepted = true)
        });
        Ok(Accepted::All)
    }

    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        self.with(|state| state.messages.push(message.clone()));
        answer(self.next_reply()).await.map(|()| Bytes::new())
    }

    async fn is_reachable(&self) -> bool {
        self.with(|state| state.default != Some(Reply::Down))
    }
}
