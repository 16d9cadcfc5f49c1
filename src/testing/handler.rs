//! An app in memory: accepts, refuses or stalls on command, and keeps what it saw.

use crate::domain::{BindingEvent, DeliveryError, EventHandler, RecordPosition, ShardId};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What the app answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Yes, after a while.
    Accept(Duration),
    /// This status, and when to ask again.
    Refuse(u16, Option<Duration>),
    /// Never.
    Stall,
}

/// One call of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When it began.
    pub begun: Instant,
    /// The shard.
    pub shard: ShardId,
    /// The place in the shard.
    pub position: RecordPosition,
    /// The key.
    pub key: String,
    /// The payload.
    pub data: Bytes,
    /// Which try it was.
    pub attempt: u32,
    /// Whether the app accepted it (so far).
    pub accepted: bool,
}

#[derive(Debug, Default)]
struct State {
    planned: VecDeque<Reply>,
    otherwise: Option<Reply>,
    seen: Vec<Delivery>,
}

/// The app. Clones are the same app.
#[derive(Debug, Clone, Default)]
pub struct RecordingHandler {
    // A lock and not an owner task: tests look at any moment, also from synchronous code.
    state: Arc<Mutex<State>>,
}

impl RecordingHandler {
    /// Accepts everything at once until told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the next calls so, in this order; after them as before.
    pub fn plan(&self, replies: impl IntoIterator<Item = Reply>) {
        self.with(|state| state.planned.extend(replies));
    }

    /// Answers calls without a plan so.
    pub fn always(&self, reply: Reply) {
        self.with(|state| state.otherwise = Some(reply));
    }

    /// Every call so far, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<Delivery> {
        self.with(|state| state.seen.clone())
    }

    /// What was accepted, in the order in which the calls began.
    #[must_use]
    pub fn accepted(&self) -> Vec<Delivery> {
        self.with(|state| state.seen.iter().filter(|call| call.accepted).cloned().collect())
    }

    /// Waits until so many calls were accepted.
    pub async fn until_accepted(&self, count: usize) {
        while self.accepted().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, event: &BindingEvent) -> (usize, Reply) {
        let call = Delivery {
            begun: Instant::now(),
            shard: event.origin.shard.clone(),
            position: event.origin.position.clone(),
            key: event.origin.partition_key.clone(),
            data: event.data.clone(),
            attempt: event.attempt,
            accepted: false,
        };
        self.with(|state| {
            state.seen.push(call);
            let reply = state.planned.pop_front().or(state.otherwise).unwrap_or(Reply::Accept(Duration::ZERO));
            (state.seen.len() - 1, reply)
        })
    }
}

#[async_trait]
impl EventHandler for RecordingHandler {
    async fn handle(&self, event: &BindingEvent) -> Result<(), DeliveryError> {
        let (index, reply) = self.begin(event);
        match reply {
            Reply::Accept(wait) => {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                self.with(|state| state.seen[index].accepted = true);
                Ok(())
            }
            Reply::Refuse(status, retry_after) => {
                let target = "POST /events".to_owned();
                Err(DeliveryError::Refused { status, target, retry_after, location: None, excerpt: None })
            }
            Reply::Stall => std::future::pending().await,
        }
    }
}
