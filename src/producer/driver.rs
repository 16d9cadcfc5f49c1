//! The owner task: waits for what happens, passes it to the engine, and starts the calls that the engine returns.

use super::admission::Admission;
use super::engine::{Effect, Engine, Event};
use super::errors;
use super::record::Arrival;
use super::succession::Turn;
use super::types::{Call, Listing, Ports, Reply};
use crate::domain::{BoxError, FailureKind, RecordWriter, RetrievalError, Stop};
use crate::tasks::{Ended, Supervisor};
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Records received at a time.
const RECEIVE_MANY: usize = 256;
/// How often the owner yields to callers before it builds a batch, while each yield brings more records.
const MAX_YIELDS: u32 = 8;
/// A listing of many pages takes seconds at most.
const LISTING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the first records may wait for the end of a producer that was replaced. Its own records end at their deadlines.
const MAX_HOLD: Duration = Duration::from_secs(30);
/// The timer when there is nothing to wait for.
const MAX_SLEEP: Duration = Duration::from_secs(3_600);
/// The resolution of the timer.
const MIN_SLEEP: Duration = Duration::from_millis(1);
/// The name of the task that lists the shards; calls are named by their numbers.
const LISTING: &str = "list shards";

#[derive(Debug)]
enum TaskResult {
    Reply(u64, Reply),
    Listing(Listing),
}

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) ports: Ports,
    pub(super) admission: Arc<Admission>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) turn: Turn,
    /// Time limit of one call.
    pub(super) attempt_timeout: Duration,
}

impl Driver {
    /// Runs until the stop is requested and every record is answered. If it is dropped before, each responder answers on
    /// its own drop.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut tasks = Supervisor::new();
        let (mut inbox, mut effects) = (Vec::with_capacity(RECEIVE_MANY), Vec::new());
        let (mut is_open, mut hold_until) = (true, None);
        self.engine.set_held(self.turn.has_predecessors());
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let admission = Arc::clone(&self.admission);
        loop {
            // Replies first, since they complete records and allow new calls. No branch takes long.
            tokio::select! {
                biased;
                Some(ended) = tasks.next(), if !tasks.is_empty() => {
                    self.task_ended(ended);
                    self.collect_arrivals(&mut inbox).await;
                }
                () = self.turn.predecessors_ended(), if self.engine.is_held() => self.release(),
                Some(()) = OptionFuture::from(hold_until.map(sleep_until)), if self.engine.is_held() => self.release_late(),
                () = stop.finishing(), if !self.arrivals.is_closed() => {
                    self.arrivals.close();
                    self.engine.apply(Event::Closing, Instant::now());
                }
                count = self.arrivals.recv_many(&mut inbox, RECEIVE_MANY), if is_open => {
                    is_open = count > 0;
                    // The old producer may be in service until then.
                    hold_until.get_or_insert_with(|| Instant::now() + MAX_HOLD);
                    self.collect_arrivals(&mut inbox).await;
                }
                () = admission.cancelled() => {}
                () = &mut timer => {}
            }
            while let Some(Some(ended)) = tasks.next().now_or_never() {
                self.task_ended(ended);
            }
            let now = Instant::now();
            self.engine.decide(now, &mut effects);
            effects.drain(..).for_each(|effect| self.perform(effect, &mut tasks));
            let (records, bytes) = admission.usage();
            self.ports.metrics.set_queue(records, bytes);
            if !is_open && self.engine.is_idle() {
                // No call is in flight; a listing of the shards is not needed any more.
                tasks.abort_and_join().await;
                self.turn.end(self.engine.into_memory());
                return;
            }
            let wake = self.engine.wake_at().unwrap_or(now + MAX_SLEEP).max(now + MIN_SLEEP);
            // Usually the next wake-up only moves later, and the timer is left as it is: waking once too early costs less
            // than resetting the timer in each round.
            if wake < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(wake);
            }
        }
    }

    /// Passes the records that arrived to the engine, then yields, and repeats this while more records arrive. So callers
    /// that are ready to put a record, or were just answered and put the next one, share a batch. Without such callers it
    /// takes no time.
    async fn collect_arrivals(&mut self, inbox: &mut Vec<Arrival>) {
        for _ in 0..MAX_YIELDS {
            self.apply_arrivals(inbox);
            tokio::task::yield_now().await;
            while inbox.len() < RECEIVE_MANY
                && let Ok(record) = self.arrivals.try_recv()
            {
                inbox.push(record);
            }
            if inbox.is_empty() {
                return;
            }
        }
        self.apply_arrivals(inbox);
    }

    fn release_late(&mut self) {
        let component = self.ports.metrics.component();
        tracing::warn!(
            component, limit = ?MAX_HOLD,
            "replaced output still sends; the new one begins, and records of a key may overlap"
        );
        self.release();
    }

    fn release(&mut self) {
        let memories = self.turn.take_memories();
        self.engine.apply(Event::Released(memories), Instant::now());
    }

    fn apply_arrivals(&mut self, inbox: &mut Vec<Arrival>) {
        let now = Instant::now();
        inbox.drain(..).for_each(|record| self.engine.apply(Event::Arrived(record), now));
    }

    fn task_ended(&mut self, ended: Ended<TaskResult>) {
        let now = Instant::now();
        match ended.result {
            Ok(TaskResult::Reply(id, reply)) => self.engine.apply(Event::Returned { id, reply }, now),
            Ok(TaskResult::Listing(result)) => self.engine.apply(Event::Listed(result), now),
            Err(failure) => {
                tracing::error!(task = ended.name, %failure, "task of an output failed");
                let event = match ended.name.parse() {
                    Ok(id) => Event::Returned { id, reply: Err(errors::call_lost()) },
                    Err(_) => Event::Listed(Err(listing_failed(failure))),
                };
                self.engine.apply(event, now);
            }
        }
    }

    fn perform(&self, effect: Effect, tasks: &mut Supervisor<TaskResult>) {
        match effect {
            Effect::Start(id, call) => {
                let (writer, limit) = (Arc::clone(&self.ports.writer), self.attempt_timeout);
                tasks.spawn(id.to_string(), async move {
                    let reply = tokio::time::timeout(limit, send(writer.as_ref(), call)).await;
                    TaskResult::Reply(id, reply.unwrap_or_else(|_| Err(errors::attempt_timed_out(limit))))
                });
            }
            Effect::List => {
                if let Some(directory) = self.ports.directory.clone() {
                    tasks.spawn(LISTING, async move {
                        let result = tokio::time::timeout(LISTING_TIMEOUT, directory.list()).await;
                        TaskResult::Listing(result.unwrap_or_else(|late| Err(listing_failed(late))))
                    });
                }
            }
        }
    }
}

async fn send(writer: &dyn RecordWriter, call: Call) -> Reply {
    match call {
        Call::PutRecord(record, after) => writer.put(&record, after.as_ref()).await.map(|receipt| vec![Ok(receipt)]),
        Call::PutRecords(records) => writer.put_all(&records).await,
    }
}

fn listing_failed(source: impl Into<BoxError>) -> RetrievalError {
    let (doing, kind) = ("listing shards".to_owned(), FailureKind::Transient);
    RetrievalError::Unavailable { doing, kind, source: source.into() }
}
