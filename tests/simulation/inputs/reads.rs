//! The stream as one worker reads it. Checks how often it calls, and how much it holds.

use super::checker::{Checker, State};
use super::story::What;
use async_trait::async_trait;
use bindd::domain::{
    Fetched, ReadLimit, Record, RecordSource, Retrieval, RetrievalError, ShardDirectory, ShardId, ShardListing,
    StartingPosition, StreamDirectory, StreamIdentity, WorkerId,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Calls of one kind within a time.
#[derive(Debug, Clone, Copy)]
struct Limit {
    calls: usize,
    within: Duration,
}

/// Polls of one shard: five a second, and a few that are sent again.
const READS: Limit = Limit { calls: 60, within: Duration::from_secs(10) };
/// Openings of one shard.
const OPENINGS: Limit = Limit { calls: 60, within: Duration::from_secs(60) };
/// Calls that list the shards or describe the stream within a minute, beside one for each scan of the leases. A failed one
/// is repeated after a pause that grows.
const MORE_LISTINGS: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Read(ShardId),
    Open(ShardId),
    List,
    Identify,
}

/// The ports of one worker, observed.
#[derive(Debug, Clone)]
pub(crate) struct ReadLink {
    pub(crate) checker: Checker,
    pub(crate) worker: WorkerId,
    pub(crate) directory: Arc<dyn StreamDirectory>,
    pub(crate) retrieval: Arc<dyn Retrieval>,
    listings: Limit,
    calls: Arc<Mutex<BTreeMap<Kind, VecDeque<Instant>>>>,
}

impl ReadLink {
    pub(crate) fn new(
        checker: Checker,
        worker: WorkerId,
        (directory, retrieval): (Arc<dyn StreamDirectory>, Arc<dyn Retrieval>),
    ) -> Self {
        let scans = checker.with(|state| state.plan.scans_per_minute());
        let listings = Limit { calls: scans + MORE_LISTINGS, within: Duration::from_secs(60) };
        Self { checker, worker, directory, retrieval, listings, calls: Arc::default() }
    }

    fn count(&self, kind: &Kind) {
        let limit = match kind {
            Kind::Read(_) => READS,
            Kind::Open(_) => OPENINGS,
            Kind::List | Kind::Identify => self.listings,
        };
        if matches!(kind, Kind::Read(_)) && self.checker.with(|state| state.plan.fan_out) {
            // Events are not polled.
            return;
        }
        let now = Instant::now();
        let mut calls = self.calls.lock().unwrap();
        let times = calls.entry(kind.clone()).or_default();
        times.push_back(now);
        while times.front().is_some_and(|at| now - *at > limit.within) {
            times.pop_front();
        }
        if times.len() > limit.calls {
            self.checker.report(format!(
                "{}: more than {} calls of {kind:?} within {:?}",
                self.worker, limit.calls, limit.within
            ));
        }
    }
}

#[async_trait]
impl ShardDirectory for ReadLink {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        self.count(&Kind::List);
        self.directory.list().await
    }
}

#[async_trait]
impl StreamDirectory for ReadLink {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        self.count(&Kind::Identify);
        self.directory.identify().await
    }
}

#[async_trait]
impl Retrieval for ReadLink {
    async fn open(
        &self,
        shard: &ShardId,
        position: &StartingPosition,
    ) -> Result<Box<dyn RecordSource>, RetrievalError> {
        self.count(&Kind::Open(shard.clone()));
        let source = self.retrieval.open(shard, position).await?;
        Ok(Box::new(Source { link: self.clone(), shard: shard.clone(), source }))
    }
}

#[derive(Debug)]
struct Source {
    link: ReadLink,
    shard: ShardId,
    source: Box<dyn RecordSource>,
}

#[async_trait]
impl RecordSource for Source {
    async fn next(&mut self, limit: ReadLimit) -> Result<Fetched, RetrievalError> {
        let fetched = self.source.next(limit).await?;
        // Counted with its answer, as the source itself keeps the pace.
        self.link.count(&Kind::Read(self.shard.clone()));
        if let Fetched::Batch(batch) = &fetched
            && !batch.records.is_empty()
        {
            self.link.checker.with(|state| state.read(&self.link.worker, &self.shard, &batch.records));
        }
        Ok(fetched)
    }

    fn suspend(&mut self) {
        self.source.suspend();
    }
}

impl State {
    /// A record that is too old is dropped without an event that can be observed.
    fn forget_dropped(&mut self, worker: &WorkerId, shard: &ShardId) {
        let Some(session) = self.session(worker, shard) else { return };
        let held: Vec<_> = session.held.keys().cloned().collect();
        for position in held {
            if self.may_give_up(shard, &position)
                && let Some(session) = self.session(worker, shard)
            {
                session.release(&position);
            }
        }
    }

    /// What a worker holds of a shard is within its budget, or it is the answer to one read.
    fn read(&mut self, worker: &WorkerId, shard: &ShardId, records: &[Record]) {
        let what = What::Read { records: records.len(), last: records.last().map(|record| record.position.clone()) };
        self.story.tell(Some(worker), Some(shard), None, what);
        let budget = self.plan.delivery.max_buffered_bytes;
        if self.plan.drops() && self.plan.delivery.max_record_age.is_some() {
            self.forget_dropped(worker, shard);
        }
        let plan = Arc::clone(&self.plan);
        let Some(session) = self.session(worker, shard) else { return };
        let before = session.held_bytes;
        for record in records.iter().filter(|record| !plan.is_filtered(record.data.len())) {
            let is_old = session.start.as_ref().is_some_and(|start| record.position <= *start);
            if !is_old && !session.done.contains(&record.position) {
                let size = record.size();
                let previous = session.held.insert(record.position.clone(), size);
                session.held_bytes += size - previous.unwrap_or(0);
            }
        }
        if before > budget && session.held_bytes > before {
            let text = format!("{worker} reads more of {shard} although it holds {before} bytes of {budget}");
            self.report(text, Some(shard), Vec::new());
        }
    }
}
