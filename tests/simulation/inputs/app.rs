//! The app of the workers, and its dead letter store. An app that received a call goes on with it, even if the caller hung
//! up, crashed or was frozen meanwhile.

use super::checker::Checker;
use super::clock::WorkerClock;
use super::plan::{POISON_STATUS, Plan};
use async_trait::async_trait;
use bindd::consumer::Order;
use bindd::domain::{
    Accepted, BindingError, DeadLetter, DeadLetterStore, DeliveryError, EventBatch, EventHandler, FailureKind, Message,
    RecordPosition, ShardId, WorkerId,
};
use bindd::testing::{Network, Partition};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    is_faulty: bool,
    is_poison_healed: bool,
    down_until: Option<Instant>,
    /// Grows with each restart of the app. What an earlier one was doing is lost.
    run: u32,
}

/// Shared by all workers.
#[derive(Debug, Clone)]
pub(crate) struct App {
    checker: Checker,
    plan: Arc<Plan>,
    network: Network,
    state: Arc<Mutex<State>>,
}

/// What the app does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    Accept,
    AcceptAndLoseReply,
    AcceptAndReplyNonsense,
    /// Accepts after the caller has given up.
    AcceptLate,
    Hang,
    Refuse(u16, Option<Duration>),
    /// Refuses one event and the following ones of its key.
    RefuseOne,
}

impl App {
    pub(crate) fn new(checker: Checker, plan: Arc<Plan>, network: Network, random: fastrand::Rng) -> Self {
        let is_faulty = !plan.is_clean;
        let state = State { random, is_faulty, is_poison_healed: false, down_until: None, run: 0 };
        Self { checker, plan, network, state: Arc::new(Mutex::new(state)) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Restarts it: connections are refused for a while, and calls in flight are lost.
    pub(crate) fn restart(&self, down: Duration) {
        self.with(|state| {
            state.run += 1;
            state.down_until = Some(Instant::now() + down);
        });
    }

    pub(crate) fn stop_faults(&self) {
        self.with(|state| (state.is_faulty, state.down_until) = (false, None));
    }

    /// From now on no record is poison.
    pub(crate) fn heal_poison(&self) {
        self.with(|state| state.is_poison_healed = true);
    }

    fn is_poison(&self, shard: &ShardId, position: &RecordPosition) -> bool {
        let is_poison =
            |state: &super::checker::State| state.ledger.entry(shard, position).is_some_and(|entry| entry.is_poison);
        !self.with(|state| state.is_poison_healed) && self.checker.with(|state| is_poison(state))
    }

    fn react(&self) -> (Reaction, Duration, u32) {
        self.with(|state| {
            let random = &mut state.random;
            if !state.is_faulty {
                let slow = self.plan.slow_call.filter(|_| random.u32(0..40) == 0);
                let time = slow.unwrap_or_else(|| Duration::from_millis(random.u64(0..30)));
                return (Reaction::Accept, time, state.run);
            }
            let retry_after = Some(Duration::from_secs(random.u64(0..3)));
            let reaction = match random.u32(0..60) {
                0 => Reaction::Hang,
                1 => Reaction::AcceptLate,
                2 => Reaction::AcceptAndLoseReply,
                3 => Reaction::AcceptAndReplyNonsense,
                4 | 5 => Reaction::Refuse(500, None),
                6 => Reaction::Refuse(503, retry_after),
                7 => Reaction::Refuse(429, retry_after),
                8 => Reaction::Refuse(429, None),
                9..=11 => Reaction::RefuseOne,
                _ => Reaction::Accept,
            };
            (reaction, Duration::from_millis(random.u64(0..150)), state.run)
        })
    }

    /// Processes a call to its end; `None` is no reply.
    async fn process(
        self,
        batch: EventBatch,
        plan: (Reaction, Duration, u32),
    ) -> Option<Result<Accepted, DeliveryError>> {
        let (reaction, mut time, run) = plan;
        let is_slow = |key: &str| key.ends_with('0') || key.ends_with('5');
        let is_faulty = self.with(|state| state.is_faulty);
        if is_faulty && self.plan.has_slow_keys && batch.events.iter().any(|event| is_slow(&event.origin.partition_key))
        {
            time += Duration::from_secs(1);
        }
        if reaction == Reaction::AcceptLate {
            time += self.plan.app_timeout;
        }
        sleep(time).await;
        if self.with(|state| state.run != run) {
            return None;
        }
        let refused = match reaction {
            Reaction::Hang => return None,
            Reaction::Refuse(status, retry_after) => return Some(Err(refusal(status, retry_after))),
            Reaction::RefuseOne => self.refused_events(&batch, Some(batch.events.len() / 2)),
            _ => self.refused_events(&batch, None),
        };
        if !refused.is_empty() && (!self.plan.replies_by_event || refused.len() == batch.events.len()) {
            // The status is about one record, so it says nothing about a batch.
            let is_poison = reaction != Reaction::RefuseOne && batch.events.len() == 1;
            return Some(Err(refusal(if is_poison { POISON_STATUS } else { 500 }, None)));
        }
        for (index, event) in batch.events.iter().enumerate() {
            if !refused.contains(&index) {
                self.checker.accepted(&event.origin.shard, &event.origin.position);
            }
        }
        match reaction {
            Reaction::AcceptAndLoseReply => Some(Err(unanswered())),
            Reaction::AcceptAndReplyNonsense => {
                Some(Err(DeliveryError::InvalidReply { target: target(), problem: "it is no JSON".to_owned() }))
            }
            _ if refused.is_empty() => Some(Ok(Accepted::All)),
            _ => Some(Ok(Accepted::Except(refused.into_iter().collect()))),
        }
    }

    /// The poison of a batch, perhaps one more event, and all that must not pass these.
    fn refused_events(&self, batch: &EventBatch, one_more: Option<usize>) -> BTreeSet<usize> {
        let mut keys = BTreeSet::new();
        let mut refused = BTreeSet::new();
        for (index, event) in batch.events.iter().enumerate() {
            let origin = &event.origin;
            let is_refused = one_more == Some(index) || self.is_poison(&origin.shard, &origin.position);
            let has_to_wait = match self.plan.delivery.order {
                Order::Key => keys.contains(&origin.partition_key),
                Order::Shard => !keys.is_empty(),
                Order::None => false,
            };
            if is_refused || has_to_wait {
                keys.insert(origin.partition_key.clone());
                refused.insert(index);
            }
        }
        refused
    }
}

/// The connection of one worker to the app.
#[derive(Debug, Clone)]
pub(crate) struct AppLink {
    pub(crate) app: App,
    pub(crate) worker: WorkerId,
    pub(crate) clock: WorkerClock,
    pub(crate) partition: Arc<Mutex<Option<(Partition, Instant)>>>,
}

impl AppLink {
    fn partition(&self) -> Option<Partition> {
        let partition = *self.partition.lock().unwrap();
        partition.filter(|(_, until)| Instant::now() < *until).map(|(partition, _)| partition)
    }
}

#[async_trait]
impl EventHandler for AppLink {
    async fn is_reachable(&self) -> bool {
        true
    }

    async fn handle_message(&self, _: &Message) -> Result<bytes::Bytes, DeliveryError> {
        unreachable!("a stream has no messages")
    }

    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let call = self.app.checker.call_started(&self.worker, batch);
        let reply = self.exchange(batch).await;
        call.finish(&reply);
        reply
    }
}

impl AppLink {
    async fn exchange(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let (app, limit) = (&self.app, self.app.plan.app_timeout);
        let timed_out = || DeliveryError::TimedOut { target: target(), limit, option: "--app-timeout" };
        let is_lost = app.with(|state| state.random.bool());
        let partition = self.partition().map(|partition| match partition {
            Partition::Flapping if is_lost => Partition::Requests,
            Partition::Flapping => Partition::Replies,
            other => other,
        });
        if partition == Some(Partition::Requests) {
            sleep(limit).await;
            return Err(timed_out());
        }
        if app.with(|state| state.down_until).is_some_and(|until| Instant::now() < until) {
            let source = "connection refused".into();
            return Err(DeliveryError::Unreachable { address: "app:8080".to_owned(), source });
        }
        let (processing, run) = (app.clone().process(batch.clone(), app.react()), app.with(|state| state.run));
        let reply = app.network.request(limit, processing).await;
        if partition == Some(Partition::Replies) {
            sleep(limit).await;
            return Err(timed_out());
        }
        match reply {
            Ok(reply) => reply,
            Err(_) if app.with(|state| state.run != run) => Err(unanswered()),
            Err(_) => Err(timed_out()),
        }
    }
}

#[async_trait]
impl DeadLetterStore for AppLink {
    async fn store(&self, letter: &DeadLetter) -> Result<(), BindingError> {
        let app = &self.app;
        app.checker.letter_started((&self.worker, &self.clock), letter);
        let (fault, wait) = app.with(|state| {
            let fault = if state.is_faulty { state.random.u32(0..6) } else { 9 };
            (fault, Duration::from_millis(state.random.u64(0..100)))
        });
        let (checker, stored) = (app.checker.clone(), letter.clone());
        let request = async move {
            sleep(wait).await;
            if fault == 0 {
                return None;
            }
            checker.letter_stored(&stored);
            (fault != 1).then_some(())
        };
        let reply = app.network.request(Duration::from_secs(2), request).await;
        let failed = || BindingError::new(FailureKind::TimedOut, "the dead letter was not confirmed");
        reply.map_err(|_| failed())?;
        app.checker.letter_confirmed(&self.worker, letter);
        Ok(())
    }
}

fn target() -> String {
    "POST /events".to_owned()
}

fn refusal(status: u16, retry_after: Option<Duration>) -> DeliveryError {
    DeliveryError::Refused { status, target: target(), retry_after, location: None, excerpt: None }
}

fn unanswered() -> DeliveryError {
    DeliveryError::Unanswered { target: target(), was_idle: false, source: "connection closed".into() }
}
