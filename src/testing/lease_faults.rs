//! A lease store behind an unreliable network: calls and replies are late, lost or repeated.

use super::lease_requests::{create, page, prepare, remove, request_handoff, row, take, withdraw_request};
use super::network::Network;
use crate::consumer::mutants::{Mutant, is_broken};
use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition, ShardId,
    WorkerId, is_reserved,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Rows that one page of a scan returns.
const PAGE: usize = 2;
/// How often a write continues from a row that an earlier write of ours left.
const MAX_CONTINUATIONS: usize = 2;
const RELEASE_ATTEMPTS: usize = 3;

/// What a network drops for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Requests do not arrive.
    Requests,
    /// Requests take effect, but no reply arrives.
    Replies,
    /// Of four calls, one loses its request, one its reply, and one gets it late.
    Flapping,
    /// Replies are late at first; then requests do not arrive.
    LateThenRequests,
    /// Replies are lost at first; then all is well for a while; then requests do not arrive.
    RepliesThenRequests,
}

/// The connection of one worker to the lease store. Writes are conditional, so one that arrives late or twice fails, unless
/// nothing else was written since.
///
/// As [`LeaseStore`] demands, it continues from a row that an earlier write of the same worker left: a write on the old
/// counter fails, the row shows that the worker still holds the lease, and the write is repeated on the new counter.
#[derive(Debug)]
pub struct FaultyLeaseStore {
    inner: Arc<dyn LeaseStore>,
    network: Network,
    /// How long a caller waits for a reply.
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    /// One call in so many fails; none with 0.
    one_in: u32,
    /// With its begin and its end.
    partition: Option<(Partition, Instant, Instant)>,
    scans: u64,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    request: Duration,
    reply: Duration,
    is_request_lost: bool,
    is_reply_lost: bool,
    /// The request arrives once more after this time.
    repeated_after: Option<Duration>,
}

/// A call of the store that can be repeated.
type Call<T> = Arc<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>;
/// With the row, if the lease is lost.
type Written<T> = Result<(T, LeaseGrant), (LeaseError, Option<Lease>)>;

impl FaultyLeaseStore {
    /// Of `one_in` calls, about one loses its request, one its reply, one is late and one arrives twice. A caller waits for
    /// a third of the lease duration, as long as the DynamoDB store needs for one attempt and for reading the row after it.
    #[must_use]
    pub fn new(
        inner: Arc<dyn LeaseStore>,
        network: Network,
        lease_duration: Duration,
        (one_in, seed): (u32, u64),
    ) -> Self {
        let state = State { random: fastrand::Rng::with_seed(seed), one_in, partition: None, scans: 0 };
        Self { inner, network, limit: lease_duration / 3, state: Mutex::new(state) }
    }

    /// Begins a partition.
    pub fn partition(&self, partition: Partition, duration: Duration) {
        let now = Instant::now();
        self.with(|state| state.partition = Some((partition, now, now + duration)));
    }

    /// From now on no call fails or is delayed.
    pub fn disable(&self) {
        self.with(|state| (state.one_in, state.partition) = (0, None));
    }

    /// How often the leases were listed.
    #[must_use]
    pub fn scans(&self) -> u64 {
        self.with(|state| state.scans)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` without faults.
    fn fate(&self) -> Option<Fate> {
        let limit = u32::try_from(self.limit.as_millis()).unwrap_or(u32::MAX);
        self.with(|state| {
            let active = state.partition.filter(|(_, _, until)| Instant::now() < *until);
            let partition = active.map(|(partition, _, _)| partition);
            // In units of the longest wait for a reply.
            let age = active.map_or(0.0, |(_, begun, _)| begun.elapsed().div_duration_f64(self.limit));
            if state.one_in == 0 && partition.is_none() {
                return None;
            }
            let random = &mut state.random;
            let mut millis = |below: u32| Duration::from_millis(u64::from(random.u32(0..=below)));
            let (request, reply) = (millis(limit / 16), millis(limit / 16));
            let mut fate = Fate { request, reply, ..Fate::default() };
            match state.random.u32(0..state.one_in.max(8)) {
                0 => fate.is_request_lost = true,
                1 => fate.is_reply_lost = true,
                2 => fate.request = Duration::from_millis(u64::from(state.random.u32(0..=limit * 2))),
                3 => fate.reply = self.limit.mul_f64(0.9),
                4 => fate.repeated_after = Some(Duration::from_millis(u64::from(state.random.u32(0..=limit)))),
                _ => {}
            }
            match partition {
                Some(Partition::Requests) => fate.is_request_lost = true,
                Some(Partition::Replies) => fate.is_reply_lost = true,
                Some(Partition::Flapping) => match state.random.u32(0..4) {
                    0 => fate.is_request_lost = true,
                    1 => fate.is_reply_lost = true,
                    2 => fate.reply = self.limit.mul_f64(0.9),
                    _ => {}
                },
                Some(Partition::LateThenRequests) if age < 1.0 => fate.reply = self.limit.mul_f64(0.9),
                Some(Partition::RepliesThenRequests) if age < 1.0 => fate.is_reply_lost = true,
                Some(Partition::RepliesThenRequests) if age < 2.2 => fate = Fate { request, reply, ..Fate::default() },
                Some(Partition::LateThenRequests | Partition::RepliesThenRequests) => fate.is_request_lost = true,
                None => {}
            }
            Some(fate)
        })
    }

    async fn call<T: Send + 'static>(&self, doing: &str, call: Call<T>) -> Result<T, LeaseError> {
        let Some(fate) = self.fate() else { return Ok(call().await) };
        let network = self.network.clone();
        let request = async move {
            sleep(fate.request).await;
            if fate.is_request_lost {
                return None;
            }
            let result = call().await;
            if let Some(after) = fate.repeated_after {
                network.send(async move {
                    sleep(after).await;
                    drop(call().await);
                });
            }
            sleep(fate.reply).await;
            (!fate.is_reply_lost).then_some(result)
        };
        self.network.request(self.limit, request).await.map_err(|_| no_reply(doing))
    }

    /// A write under a grant. The grant learns of it only with the reply.
    async fn write<T, W>(&self, doing: &str, grant: &mut LeaseGrant, write: W) -> Result<T, LeaseError>
    where
        T: Send + 'static,
        W: Fn(Arc<dyn LeaseStore>, LeaseGrant) -> BoxFuture<'static, Result<(T, LeaseGrant), LeaseError>>
            + Send
            + Sync
            + Clone
            + 'static,
    {
        for _ in 0..=MAX_CONTINUATIONS {
            let (inner, write) = (Arc::clone(&self.inner), write.clone());
            let (lease, worker, caught_up) = (grant.lease().clone(), grant.worker().clone(), grant.caught_up());
            let call: Call<Written<T>> = Arc::new(move || {
                let mut sender = LeaseGrant::taken(lease.clone(), worker.clone());
                sender.set_caught_up(caught_up);
                let sent = write(Arc::clone(&inner), sender);
                let (inner, shard, counter) = (Arc::clone(&inner), lease.shard.clone(), lease.counter);
                Box::pin(async move {
                    // One write has one condition. What the store does after it failed is for the caller below, since a
                    // request that is late or repeated has no caller.
                    match row(&*inner, &shard).await {
                        Some(row) if row.counter == counter => sent.await.map_err(|error| (error, None)),
                        other => Err((LeaseError::Lost { shard }, other)),
                    }
                })
            });
            match self.call(doing, call).await? {
                Ok((result, stored)) => {
                    grant.stored(stored.lease().clone());
                    return Ok(result);
                }
                Err((LeaseError::Lost { shard }, row)) => {
                    if !grant.adopt(row) {
                        return Err(LeaseError::Lost { shard });
                    }
                }
                Err((error, _)) => return Err(error),
            }
        }
        Err(LeaseError::Lost { shard: grant.shard().clone() })
    }
}

#[async_trait]
impl LeaseStore for FaultyLeaseStore {
    async fn prepare(&self) -> Result<(), LeaseError> {
        let inner = Arc::clone(&self.inner);
        self.call("preparing", Arc::new(move || prepare(Arc::clone(&inner)))).await?
    }

    /// Page by page, so that the pages are of different moments.
    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.with(|state| state.scans += 1);
        let mut rows: Vec<Lease> = Vec::new();
        loop {
            let (inner, last) = (Arc::clone(&self.inner), rows.last().map(|row| row.shard.clone()));
            // Without faults nothing happens between two pages.
            let size = if self.with(|state| state.one_in == 0) { usize::MAX } else { PAGE };
            let page = self.call("listing", Arc::new(move || page(Arc::clone(&inner), last.clone(), size))).await??;
            let is_last = page.len() < size;
            rows.extend(page);
            if is_last {
                return Ok(rows);
            }
        }
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        // One after the other, so that some may be created and the rest not.
        for lease in leases {
            let (inner, lease) = (Arc::clone(&self.inner), lease.clone());
            self.call("creating", Arc::new(move || create(Arc::clone(&inner), lease.clone()))).await??;
        }
        Ok(())
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        let (inner, seen, worker) = (Arc::clone(&self.inner), seen.clone(), worker.clone());
        self.call("taking", Arc::new(move || take(Arc::clone(&inner), seen.clone(), worker.clone()))).await?
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let (inner, seen, worker) = (Arc::clone(&self.inner), seen.clone(), worker.clone());
        let call = move || request_handoff(Arc::clone(&inner), seen.clone(), worker.clone());
        self.call("requesting a handoff of", Arc::new(call)).await?
    }

    /// Two writes, each with its own condition: the request as it was seen, else the counter as it was read.
    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let (inner, seen_too, worker_too) = (Arc::clone(&self.inner), seen.clone(), worker.clone());
        let call = move || withdraw_request(Arc::clone(&inner), seen_too.clone(), worker_too.clone());
        let Some(found) = self.call("withdrawing a handoff of", Arc::new(call)).await?? else { return Ok(()) };
        if !is_reserved(&found, worker) {
            return Ok(());
        }
        let (inner, seen, worker) = (Arc::clone(&self.inner), seen.clone(), worker.clone());
        let call = move || {
            let (inner, seen, worker) = (Arc::clone(&inner), seen.clone(), worker.clone());
            let counter = found.counter;
            let sent: BoxFuture<'static, Result<(), LeaseError>> = Box::pin(async move {
                match row(&*inner, &seen.shard).await {
                    Some(row) if row.counter == counter => inner.withdraw(&seen, &worker).await,
                    _ => Ok(()),
                }
            });
            sent
        };
        self.call("withdrawing a handoff of", Arc::new(call)).await?
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        let counter = grant.lease().counter;
        self.write("renewing", grant, move |store, mut grant| {
            // The counter of the grant is another one if the write continues from a row that it found.
            let is_adopted = is_broken(Mutant::AdoptionRenews) && grant.lease().counter != counter;
            Box::pin(async move {
                let renewed = if is_adopted { Renewed::Held } else { store.renew(&mut grant).await? };
                Ok((renewed, grant))
            })
        })
        .await
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let checkpoint = checkpoint.clone();
        grant.attempting(&checkpoint);
        self.write("checkpointing", grant, move |store, mut grant| {
            let checkpoint = checkpoint.clone();
            Box::pin(async move {
                // An earlier try may have stored it. The counter is raised nevertheless.
                if grant.lease().checkpoint == checkpoint {
                    store.renew(&mut grant).await?;
                } else {
                    store.checkpoint(&mut grant, &checkpoint).await?;
                }
                Ok(((), grant))
            })
        })
        .await
    }

    async fn reset(&self, grant: &mut LeaseGrant, start: ResetPosition) -> Result<(), LeaseError> {
        grant.attempting(&start.checkpoint());
        self.write("resetting", grant, move |store, mut grant| {
            Box::pin(async move { Ok((store.reset(&mut grant, start).await?, grant)) })
        })
        .await
    }

    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        let children = children.to_vec();
        self.write("storing children of", grant, move |store, mut grant| {
            let children = children.clone();
            Box::pin(async move { Ok((store.store_children(&mut grant, &children).await?, grant)) })
        })
        .await
    }

    /// Repeated here: the grant is consumed, so the caller cannot repeat it.
    async fn release(&self, mut grant: LeaseGrant) -> Result<(), LeaseError> {
        let mut attempt = 1;
        loop {
            let result = self
                .write("releasing", &mut grant, |store, grant| {
                    let kept = LeaseGrant::taken(grant.lease().clone(), grant.worker().clone());
                    Box::pin(async move { Ok((store.release(grant).await?, kept)) })
                })
                .await;
            match result {
                Err(LeaseError::Unavailable { .. }) if attempt < RELEASE_ATTEMPTS => attempt += 1,
                // Released by an earlier attempt, or lost: it is not ours any more.
                result => return result,
            }
        }
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        let (inner, seen) = (Arc::clone(&self.inner), seen.clone());
        self.call("removing", Arc::new(move || remove(Arc::clone(&inner), seen.clone()))).await?
    }
}

fn no_reply(doing: &str) -> LeaseError {
    let source = "no reply arrived in time".into();
    LeaseError::Unavailable { doing: format!("{doing} leases"), kind: FailureKind::TimedOut, source }
}
