//! Drives the renewer of one lease in a task, and the handle with which the shard's consumer uses it.
//!
//! In production the tasks of all renewers run on a thread of their own ([`super::renewer_thread`]), with their own
//! connections to the lease table, so that nothing in fetching, parsing or delivery delays a renewal. The two sides share
//! one small cell per lease, which is locked for a few assignments and never across a wait.

use super::fence::Fence;
use super::mutants::{Mutant, app_has_answered, is_broken};
use super::renewer::{CallResult, Effect, Event, LeaseCall, LeaseRenewer, RenewerEnd, RenewerSettings, Report};
use crate::domain::{Checkpoint, Lease, LeaseCounter, LeaseGrant, LeaseStore, ResetPosition, ShardId, Timestamp};
use crate::tasks::{Ended, Supervisor};
use crate::telemetry::InputMetrics;
use futures_util::future::{BoxFuture, OptionFuture};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A renewer that has not ended so long after its fence does not run any more.
const FENCE_GRACE: Duration = Duration::from_millis(250);

/// What happened to a lease.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RenewerEvent {
    /// Another worker requests the lease: drain, then [release](RenewerHandle::release). Reported once for each request.
    HandoffRequested,
    /// Progress up to here is stored.
    Stored(Checkpoint),
    /// The lease was renewed by a write that was sent after [`RenewerHandle::verify`].
    Verified,
    /// Nothing is written any more. The last event.
    Ended(RenewerEnd),
}

/// Where renewers run, and how they write leases.
#[derive(Debug, Clone)]
pub struct Renewers {
    leases: Arc<dyn LeaseStore>,
    runtime: Option<Handle>,
}

/// Uses the renewer of one lease. Dropping it stops the renewer at once and leaves the lease to expire.
#[derive(Debug)]
pub(super) struct RenewerHandle {
    lease: Lease,
    shared: Arc<Shared>,
    task: Supervisor<RenewerEnd>,
    end: Option<RenewerEnd>,
    has_reported_end: bool,
    caught_up: Option<Timestamp>,
}

/// What the two sides tell each other.
#[derive(Debug)]
struct Shared {
    fence: Fence,
    cell: Mutex<Cell>,
    /// The first progress since the renewer looked.
    progressed: Notify,
    /// The shard is finished, or a release is requested.
    requested: Notify,
    reported: Notify,
}

#[derive(Debug, Default)]
struct Cell {
    /// Comes before `progress`.
    reset: Option<ResetPosition>,
    progress: Option<Checkpoint>,
    /// Stays: each write stores the latest.
    caught_up: Option<Timestamp>,
    verify: bool,
    finish: Option<Vec<ShardId>>,
    release_until: Option<Instant>,
    handoff_requested: bool,
    stored: Option<Checkpoint>,
    verified: bool,
}

struct Driver {
    leases: Arc<dyn LeaseStore>,
    metrics: InputMetrics,
    shared: Arc<Shared>,
    grant: Option<LeaseGrant>,
    call: Option<BoxFuture<'static, (Option<LeaseGrant>, Event)>>,
}

impl Renewers {
    /// Renewers run as tasks of the caller's runtime and write through `leases`.
    #[must_use]
    pub const fn here(leases: Arc<dyn LeaseStore>) -> Self {
        Self { leases, runtime: None }
    }

    /// Renewers run on `runtime`. `leases` must not share connections with other work.
    #[must_use]
    pub const fn on(runtime: Handle, leases: Arc<dyn LeaseStore>) -> Self {
        Self { leases, runtime: Some(runtime) }
    }

    /// Starts to keep a lease whose take was sent at `begun`. Without a runtime of their own, renewers must be started
    /// within one.
    pub(super) fn start(
        &self,
        grant: LeaseGrant,
        begun: Instant,
        settings: &RenewerSettings,
        metrics: InputMetrics,
    ) -> RenewerHandle {
        let renewer = LeaseRenewer::new(grant.lease(), settings, begun);
        let lease = grant.lease().clone();
        let shared = Arc::new(Shared::new(begun, renewer.fence()));
        let driver = Driver {
            leases: Arc::clone(&self.leases),
            metrics,
            shared: Arc::clone(&shared),
            grant: Some(grant),
            call: None,
        };
        let (mut task, name) = (Supervisor::new(), lease.shard.to_string());
        match &self.runtime {
            Some(runtime) => task.spawn_on(name, driver.run(renewer), runtime),
            None => task.spawn(name, driver.run(renewer)),
        }
        RenewerHandle { lease, shared, task, end: None, has_reported_end: false, caught_up: None }
    }
}

impl RenewerHandle {
    /// Latest accepted progress. It is stored after the checkpoint interval at the latest; of several, only the last.
    pub(super) fn progress(&self, checkpoint: Checkpoint) {
        if self.shared.with(|cell| cell.progress.replace(checkpoint)).is_none() {
            self.shared.progressed.notify_one();
        }
    }

    /// Everything that arrived before this moment was accepted. The writes that renew the lease store it; it causes none.
    pub(super) fn set_caught_up(&mut self, moment: Option<Timestamp>) {
        if self.caught_up != moment {
            self.caught_up = moment;
            self.shared.with(|cell| cell.caught_up = moment);
        }
    }

    /// The stream does not know the stored position, and the shard is read from `start` again: the renewer stores that at
    /// once. Earlier progress is void.
    pub(super) fn reset(&mut self, start: ResetPosition) {
        self.set_caught_up(None);
        self.shared.with(|cell| (cell.reset, cell.progress) = (Some(start), None));
        self.shared.requested.notify_one();
    }

    /// Renews the lease at once. [`RenewerEvent::Verified`] follows, unless the lease is lost.
    pub(super) fn verify(&self) {
        self.shared.with(|cell| cell.verify = true);
        self.shared.requested.notify_one();
    }

    /// All records of the ended shard are accepted: the renewer stores its children and its end, and releases the lease.
    pub(super) fn finish(&self, children: Vec<ShardId>) {
        self.shared.with(|cell| cell.finish = Some(children));
        self.shared.requested.notify_one();
    }

    /// The shard is drained: the renewer stores the last progress and releases the lease, to the worker that requested it
    /// if there is one. It gives up at `until`.
    pub(super) fn release(&self, until: Instant) {
        self.shared.with(|cell| cell.release_until = Some(until));
        self.shared.requested.notify_one();
    }

    /// No delivery may begin at this moment or later. Renewals move it.
    pub(super) fn fence(&self) -> Instant {
        self.shared.fence.get()
    }

    /// For those who must read the fence at any time.
    pub(super) fn fence_reader(&self) -> Fence {
        self.shared.fence.clone()
    }

    /// The counter of the lease as taken: it differs for each owner of the shard, and grows.
    pub(super) const fn epoch(&self) -> LeaseCounter {
        self.lease.counter
    }

    /// As taken.
    pub(super) const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The next event; pending for ever after `Ended`. Cancel-safe.
    pub(super) async fn next(&mut self) -> RenewerEvent {
        loop {
            // What the renewer reported before it ended comes first.
            if let Some(report) = self.shared.with(Cell::take_report) {
                return match report {
                    Report::HandoffRequested => RenewerEvent::HandoffRequested,
                    Report::Stored(checkpoint) => RenewerEvent::Stored(checkpoint),
                    Report::Verified => RenewerEvent::Verified,
                };
            }
            if self.has_reported_end {
                return std::future::pending().await;
            }
            if let Some(end) = self.end {
                self.has_reported_end = true;
                return RenewerEvent::Ended(end);
            }
            let fence = self.fence();
            tokio::select! {
                biased;
                Some(ended) = self.task.next() => self.end = Some(end_of(&ended)),
                () = self.shared.reported.notified() => {}
                () = sleep_until(fence + FENCE_GRACE) => self.check_fence(),
            }
        }
    }

    /// The renewer ends at its fence, unless its thread hangs.
    fn check_fence(&mut self) {
        if Instant::now() >= self.fence() + FENCE_GRACE {
            tracing::error!(shard = %self.lease.shard, "lease renewer does not run; its lease counts as lost");
            self.task.abort_all();
            self.end = Some(RenewerEnd::Lost);
        }
    }
}

fn end_of(ended: &Ended<RenewerEnd>) -> RenewerEnd {
    match &ended.result {
        Ok(end) => *end,
        Err(failure) => {
            tracing::error!(shard = ended.name, %failure, "lease renewer failed; its lease will expire");
            RenewerEnd::Failed
        }
    }
}

impl Shared {
    fn new(begun: Instant, fence: Instant) -> Self {
        Self {
            fence: Fence::new(begun, fence),
            cell: Mutex::default(),
            progressed: Notify::new(),
            requested: Notify::new(),
            reported: Notify::new(),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Cell) -> T) -> T {
        change(&mut self.cell.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn report(&self, report: Report) {
        self.with(|cell| match report {
            Report::HandoffRequested => cell.handoff_requested = true,
            Report::Stored(checkpoint) => cell.stored = Some(checkpoint),
            Report::Verified => cell.verified = true,
        });
        self.reported.notify_one();
    }
}

impl Cell {
    fn take_report(&mut self) -> Option<Report> {
        if std::mem::take(&mut self.handoff_requested) {
            return Some(Report::HandoffRequested);
        }
        if let Some(stored) = self.stored.take() {
            return Some(Report::Stored(stored));
        }
        std::mem::take(&mut self.verified).then_some(Report::Verified)
    }

    /// What the consumer asked for since the last time, as events of the renewer.
    fn take_requests(&mut self) -> [Option<Event>; 5] {
        [
            self.reset.take().map(Event::Reset),
            self.progress.take().map(Event::Progress),
            std::mem::take(&mut self.verify).then_some(Event::Verify),
            self.finish.take().map(Event::Finish),
            self.release_until.take().map(|until| Event::Release { until }),
        ]
    }
}

impl Driver {
    async fn run(mut self, mut renewer: LeaseRenewer) -> RenewerEnd {
        let mut event = Event::Woke;
        loop {
            // Progress first, so that a write that is due stores the latest.
            let requests = self.shared.with(Cell::take_requests);
            for event in requests.into_iter().flatten().chain([event]) {
                for effect in renewer.apply(event, Instant::now()) {
                    match effect {
                        Effect::Call(call) => self.begin(call),
                        Effect::SetFence(fence) => self.shared.fence.set(fence),
                        Effect::Report(report) => self.shared.report(report),
                        Effect::End(end) => return end,
                    }
                }
            }
            event = self.select(&renewer).await;
        }
    }

    async fn select(&mut self, renewer: &LeaseRenewer) -> Event {
        let wake_at = renewer.wake_at();
        // After the process was suspended, a call may be ready before the timer fires. The fence must be checked first.
        if Instant::now() >= wake_at {
            return Event::Woke;
        }
        tokio::select! {
            biased;
            () = sleep_until(wake_at) => Event::Woke,
            Some((grant, event)) = OptionFuture::from(self.call.as_mut()) => {
                (self.grant, self.call) = (grant, None);
                self.observe(&event);
                event
            }
            () = self.shared.requested.notified() => Event::Woke,
            // Progress that waits for its checkpoint needs no further wake-up: the latest is read when it is stored.
            () = self.shared.progressed.notified(), if !renewer.has_progress() => Event::Woke,
        }
    }

    fn observe(&self, event: &Event) {
        if let Event::CallDone { begun, result, .. } = event
            && matches!(result, CallResult::Renewed(Ok(_)) | CallResult::Checkpointed(_, Ok(())))
        {
            self.metrics.lease_written(begun.elapsed());
        }
    }

    fn begin(&mut self, call: LeaseCall) {
        let leases = Arc::clone(&self.leases);
        // The grant is here whenever no call is in flight. Without it, the renewer would end at its fence.
        let caught_up = self.shared.with(|cell| cell.caught_up);
        self.call = self.grant.take().map(|mut grant| -> BoxFuture<'static, _> {
            grant.set_caught_up(caught_up);
            Box::pin(write(leases, grant, call))
        });
    }
}

async fn write(leases: Arc<dyn LeaseStore>, mut grant: LeaseGrant, call: LeaseCall) -> (Option<LeaseGrant>, Event) {
    // The store promises that a counter which it reports as moved was moved by a write that was sent after this moment.
    let begun = Instant::now();
    app_has_answered(grant.shard()).await;
    let result = match call {
        LeaseCall::Renew => CallResult::Renewed(leases.renew(&mut grant).await),
        LeaseCall::Checkpoint(checkpoint) => {
            let result = leases.checkpoint(&mut grant, &checkpoint).await;
            CallResult::Checkpointed(checkpoint, result)
        }
        LeaseCall::Reset(start) => CallResult::Reset(start, leases.reset(&mut grant, start).await),
        LeaseCall::StoreChildren(children) => {
            CallResult::ChildrenStored(leases.store_children(&mut grant, &children).await)
        }
        LeaseCall::Release => {
            let result = CallResult::Released(leases.release(grant).await);
            return (None, Event::CallDone { begun, result, handed_off: false });
        }
    };
    let begun = if is_broken(Mutant::FenceFromReply) { Instant::now() } else { begun };
    let handed_off = grant.is_handed_off();
    (Some(grant), Event::CallDone { begun, result, handed_off })
}

#[cfg(test)]
#[path = "tests/renewer_task.rs"]
mod tests;
