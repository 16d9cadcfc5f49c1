//! Runs an engine: waits for what happens, tells it, and starts the calls it asks for.

use super::engine::{Call, Effect, Engine, Event, Reply, Submission};
use super::gate::Gate;
use super::handle::Ports;
use super::refusals;
use crate::domain::{BoxError, FailureKind, RecordWriter, RetrievalError, ShardListing, Stop};
use crate::tasks::{Ended, Supervisor};
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Records taken in at a time.
const MANY: usize = 256;
/// How often others may run before a batch is formed, as long as that brings more records.
const YIELDS: u32 = 8;
/// A listing of many pages takes seconds at most.
const LISTING_LIMIT: Duration = Duration::from_secs(30);
/// How long nothing need happen.
const LONG: Duration = Duration::from_secs(3_600);
/// What is due by now is done, so nothing can be due sooner; the timer knows no shorter time.
const SHORT: Duration = Duration::from_millis(1);
/// The name of the task that lists the shards; calls are named by their numbers.
const LISTING: &str = "list shards";

/// What a task brought.
#[derive(Debug)]
enum Brought {
    Reply(u64, Reply),
    Listing(Result<ShardListing, RetrievalError>),
}

/// The owner's loop.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) ports: Ports,
    pub(super) gate: Arc<Gate>,
    pub(super) arrivals: mpsc::Receiver<Submission>,
    /// Bounds one call.
    pub(super) attempt_timeout: Duration,
}

impl Driver {
    /// Runs until an end is asked for and everything is answered. Dropped midway, it answers what is left by the
    /// waiters' own drop.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut tasks = Supervisor::new();
        let (mut inbox, mut effects) = (Vec::with_capacity(MANY), Vec::new());
        let mut is_open = true;
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let gate = Arc::clone(&self.gate);
        loop {
            // Replies first: they free callers and calls. Then the rest; none of it waits long behind another.
            tokio::select! {
                biased;
                Some(ended) = tasks.next(), if !tasks.is_empty() => {
                    self.ended(ended);
                    self.gather(&mut inbox).await;
                }
                () = stop.asked(), if !self.arrivals.is_closed() => {
                    self.arrivals.close();
                    self.engine.apply(Event::Closing, Instant::now());
                }
                count = self.arrivals.recv_many(&mut inbox, MANY), if is_open => {
                    is_open = count > 0;
                    self.gather(&mut inbox).await;
                }
                () = gate.gone.notified() => {}
                () = &mut timer => {}
            }
            while let Some(Some(ended)) = tasks.next().now_or_never() {
                self.ended(ended);
            }
            let now = Instant::now();
            self.engine.decide(now, &mut effects);
            effects.drain(..).for_each(|effect| self.perform(effect, &mut tasks));
            let (records, bytes) = gate.inside();
            self.ports.metrics.set_queue(records, bytes);
            if !is_open && self.engine.is_idle() {
                // No call is open; at most the shards are being listed, for nobody.
                tasks.abort_and_join().await;
                return;
            }
            let wake = self.engine.wake_at().unwrap_or(now + LONG).max(now + SHORT);
            // Most wakes move later as records are answered; a timer that fires early only looks once more.
            if wake < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(wake);
            }
        }
    }

    /// Takes in what came, and lets other tasks run as long as that brings more: callers that are ready to put, and
    /// those that were just answered and put again, go into the same batch. Where nobody is ready it costs no time.
    async fn gather(&mut self, inbox: &mut Vec<Submission>) {
        for _ in 0..YIELDS {
            self.take_in(inbox);
            tokio::task::yield_now().await;
            while inbox.len() < MANY
                && let Ok(submission) = self.arrivals.try_recv()
            {
                inbox.push(submission);
            }
            if inbox.is_empty() {
                return;
            }
        }
        self.take_in(inbox);
    }

    fn take_in(&mut self, inbox: &mut Vec<Submission>) {
        let now = Instant::now();
        inbox.drain(..).for_each(|submission| self.engine.apply(Event::Arrived(submission), now));
    }

    fn ended(&mut self, ended: Ended<Brought>) {
        let now = Instant::now();
        match ended.result {
            Ok(Brought::Reply(id, reply)) => self.engine.apply(Event::Returned { id, reply }, now),
            Ok(Brought::Listing(result)) => self.engine.apply(Event::Listed(result), now),
            Err(failure) => {
                tracing::error!(task = ended.name, %failure, "task of an output ended");
                let event = match ended.name.parse() {
                    Ok(id) => Event::Returned { id, reply: Err(refusals::call_lost()) },
                    Err(_) => Event::Listed(Err(listing_failed(failure))),
                };
                self.engine.apply(event, now);
            }
        }
    }

    fn perform(&self, effect: Effect, tasks: &mut Supervisor<Brought>) {
        match effect {
            Effect::Start(id, call) => {
                let (writer, limit) = (Arc::clone(&self.ports.writer), self.attempt_timeout);
                tasks.spawn(id.to_string(), async move {
                    let reply = tokio::time::timeout(limit, carry_out(writer.as_ref(), call)).await;
                    Brought::Reply(id, reply.unwrap_or_else(|_| Err(refusals::attempt_cut(limit))))
                });
            }
            Effect::List => {
                if let Some(directory) = self.ports.directory.clone() {
                    tasks.spawn(LISTING, async move {
                        let result = tokio::time::timeout(LISTING_LIMIT, directory.list()).await;
                        Brought::Listing(result.unwrap_or_else(|late| Err(listing_failed(late))))
                    });
                }
            }
        }
    }
}

async fn carry_out(writer: &dyn RecordWriter, call: Call) -> Reply {
    match call {
        Call::One(record, after) => writer.put(&record, after.as_ref()).await.map(|receipt| vec![Ok(receipt)]),
        Call::Many(records) => writer.put_all(&records).await,
    }
}

fn listing_failed(source: impl Into<BoxError>) -> RetrievalError {
    let (doing, kind) = ("listing shards".to_owned(), FailureKind::Transient);
    RetrievalError::Unavailable { doing, kind, source: source.into() }
}
