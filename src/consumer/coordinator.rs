//! Owner of the worker's view of the leases. Pure: `apply` takes an event and the time, keeps all state, returns effects.
//!
//! Leases are scanned and shards are listed concurrently. A listing that fails or is slow delays no take, except that of a
//! lease at LATEST whose starting time is not known yet: the first listing provides it. No lease is taken before the
//! stream was identified once and every row was found to belong to it.

use super::call_log::FailedCalls;
use super::claims::Claims;
use super::error::ConsumerError;
use super::failing_calls::{LISTING_FAILED, SCAN_FAILED};
use super::identity::{self, Replacement};
use super::lease_scan::{Change, ChangeKind, ChangeResult, LeaseChange, ScanResult, StreamListing};
use super::lease_taker::LeaseTaker;
use super::settings::{ConsumerSettings, Order};
use super::shard_events::EndReason;
use super::shard_sync::ShardSync;
use super::timers::{BackoffTimer, scan_period};
use super::worker_events::{Effect, Event};
use crate::domain::{Lease, LeaseError, RecordDistribution, RetrievalError, ShardId, StreamIdentity, cause_line};
use crate::telemetry::InputMetrics;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The stream is identified again after this time even if nothing indicates that it was replaced.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(600);
/// Workers that start together take leases at different moments, up to so much later.
const MAX_START_JITTER: Duration = Duration::from_secs(2);
/// The longest pause after failed changes of leases. Takes must not wait much longer than a lease lasts.
const MAX_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Coordinator {
    settings: Arc<ConsumerSettings>,
    metrics: InputMetrics,
    taker: LeaseTaker,
    running: BTreeSet<ShardId>,
    random: fastrand::Rng,
    is_scanning: bool,
    is_changing: bool,
    /// A scan was not used, because leases were being changed.
    was_skipped: bool,
    claims: Claims,
    scan_timer: BackoffTimer,
    /// The failed changes of the current round: the first error of each kind, and how many there are.
    failed: BTreeMap<ChangeKind, (LeaseError, usize)>,
    succeeded: BTreeSet<ChangeKind>,
    log: FailedCalls,
    /// Before this moment no lease is taken. Known after the first scan.
    take_after: Option<Instant>,
    change_timers: BTreeMap<ChangeKind, BackoffTimer>,
    shard_sync: ShardSync,
    /// The stream, and when it was identified.
    identity: Option<(StreamIdentity, Instant)>,
    /// No lease is taken until the app answers.
    is_app_down: bool,
    is_stopping: bool,
    has_withdrawn: bool,
    /// Why the worker stops, if that was not requested.
    pub(super) failure: Option<ConsumerError>,
}

impl Coordinator {
    pub(super) fn new(settings: Arc<ConsumerSettings>, metrics: InputMetrics) -> Self {
        let taker = LeaseTaker::new(settings.worker.clone(), settings.lease_duration);
        let kinds = [
            ChangeKind::Create,
            ChangeKind::Remove,
            ChangeKind::Take,
            ChangeKind::RequestHandoff,
            ChangeKind::Withdraw,
        ];
        let max_pause = |kind| match kind {
            ChangeKind::Take | ChangeKind::RequestHandoff | ChangeKind::Withdraw => {
                settings.lease_duration.min(MAX_PAUSE)
            }
            ChangeKind::Create | ChangeKind::Remove => MAX_PAUSE,
        };
        Self {
            taker,
            metrics,
            running: BTreeSet::new(),
            random: fastrand::Rng::with_seed(settings.seed),
            is_scanning: false,
            is_changing: false,
            was_skipped: false,
            claims: Claims::new(settings.worker.clone(), settings.handoff_limit * 2),
            failed: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            log: FailedCalls::default(),
            take_after: None,
            scan_timer: BackoffTimer::new(settings.lease_duration / 2, settings.seed),
            change_timers: kinds.map(|kind| (kind, BackoffTimer::new(max_pause(kind), settings.seed))).into(),
            shard_sync: ShardSync::new(Arc::clone(&settings)),
            identity: None,
            is_app_down: false,
            is_stopping: false,
            has_withdrawn: false,
            failure: None,
            settings,
        }
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.is_stopping {
            return None;
        }
        let scan = (!self.is_scanning).then(|| self.scan_timer.until().unwrap_or(now));
        scan.into_iter().chain(self.shard_sync.next_listing(now)).min()
    }

    /// Applies an event. The effects are to be performed in order.
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Woke => {}
            Event::Scanned(result) => {
                self.is_scanning = false;
                match result {
                    Ok(_) | Err(_) if self.is_stopping => {}
                    Ok(scan) => self.scanned(&scan, now, &mut effects),
                    Err(error) => self.scan_failed(error, now, &mut effects),
                }
            }
            Event::Listed(_) if self.is_stopping => {}
            Event::Listed(listing) => self.listed(listing, now, &mut effects),
            Event::Changed(change) => self.changed(*change, now, &mut effects),
            Event::ChangesDone => self.changes_done(now, &mut effects),
            Event::ConsumerEnded(shard, reason) => self.consumer_ended(&shard, reason, now, &mut effects),
            Event::AppDown => {
                self.is_app_down = true;
                effects.push(Effect::ReleaseLeases);
            }
            Event::AppUp => {
                self.is_app_down = false;
                self.scan_timer.no_later_than(now);
            }
            Event::StopRequested => self.stop(&mut effects),
        }
        self.metrics.set_leases_held(self.running.len());
        self.next_effects(now, &mut effects);
        effects
    }

    fn next_effects(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_stopping {
            if !self.is_changing && self.running.is_empty() {
                effects.push(Effect::End(self.failure.take().map_or(Ok(()), Err)));
            }
            return;
        }
        if !self.is_scanning && self.scan_timer.is_over(now) {
            effects.push(Effect::Scan);
            self.is_scanning = true;
        }
        if self.shard_sync.begin_listing(now) {
            let is_due = self.identity.as_ref().is_none_or(|(_, at)| now >= *at + IDENTIFY_INTERVAL);
            effects.push(Effect::List { with_identity: is_due || self.shard_sync.needs_identity() });
        }
    }

    fn scanned(&mut self, scan: &ScanResult, now: Instant, effects: &mut Vec<Effect>) {
        self.settings.status.call_succeeded(SCAN_FAILED);
        let period = scan_period(scan.leases.len(), self.settings.lease_duration, &mut self.random);
        self.scan_timer.succeeded(now, period);
        if now.saturating_duration_since(scan.begun) > self.settings.lease_duration {
            // The result is too old: other workers may have changed the leases since.
            tracing::warn!("lease scan discarded because it took longer than the lease duration");
            return;
        }
        let leases = &scan.leases;
        // Strictly, the leases were read when the scan began. The later moment only makes this worker wait longer.
        self.taker.observe(leases, now);
        if let Some(expiry) = self.taker.next_expiry(&self.running, now) {
            self.scan_timer.no_later_than(expiry);
        }
        let jitter = MAX_START_JITTER.min(self.settings.lease_duration / 5).mul_f64(self.random.f64());
        // An empty table has nothing to share: its first worker takes what it creates without a pause.
        let take_after = *self.take_after.get_or_insert(if leases.is_empty() { now } else { now + jitter });
        let Some((stream, _)) = self.identity.clone() else { return };
        if self.is_changing {
            self.was_skipped = true;
            return;
        }
        let state = Arc::clone(&self.settings.stream_state);
        if let Err(error) = identity::check(leases, &stream, state.identity().as_ref(), &self.settings.lease_table) {
            return self.refuse(error, effects);
        }
        state.leases_verified(&stream);
        let mut changes = self.shard_sync.changes(leases, &stream, now);
        if self.shard_sync.take_hole_found() {
            self.metrics.lease_hole();
        }
        state.record_leases(leases);
        let plan = self.taker.plan(leases, &self.running, now, &mut self.random);
        let owner_duration = Some(self.settings.lease_duration);
        let complete = |lease: Lease| Lease { owner_duration, ..lease.completed(&stream, state.started()) };
        let take = plan.take.into_iter().map(complete).filter(|lease| !lease.lacks_start());
        if self.is_app_down {
            changes.extend(self.claims.withdraw_all());
        } else if now >= take_after {
            changes.extend(take.map(LeaseChange::Take));
            changes.extend(plan.request_handoff.map(LeaseChange::RequestHandoff));
        } else {
            self.scan_timer.no_later_than(take_after);
        }
        changes.extend(self.claims.overdue(leases, scan.begun, now));
        changes.retain(|change| self.change_timers[&change.kind()].is_over(now));
        self.change(changes, effects);
    }

    fn change(&mut self, changes: Vec<LeaseChange>, effects: &mut Vec<Effect>) {
        if !changes.is_empty() {
            self.is_changing = true;
            effects.push(Effect::Change(changes));
        }
    }

    fn listed(&mut self, listing: StreamListing, now: Instant, effects: &mut Vec<Effect>) {
        if let (Some(Ok(found)), RecordDistribution::Auto, Order::Key) =
            (&listing.identity, listing.distribution, self.settings.delivery.order)
        {
            return self.refuse(ConsumerError::NoKeyOrder { stream: found.stream.to_string() }, effects);
        }
        let is_identified = matches!(listing.identity, Some(Ok(_)));
        let needs_identity = self.identity.is_none() || self.shard_sync.needs_identity();
        let failed = match listing.identity {
            Some(Ok(identity)) => {
                self.identity = Some((identity, now));
                None
            }
            // Once the stream is known, only an error that says that the stream is gone counts.
            Some(Err(error)) if needs_identity || is_not_found(&error) => Some(error),
            Some(Err(error)) => {
                tracing::debug!(%error, "stream could not be identified again");
                None
            }
            None => None,
        };
        let failed = match listing.shards {
            Ok(shards) if failed.is_none() => {
                self.settings.status.call_succeeded(LISTING_FAILED);
                self.shard_sync.listed(shards, is_identified, now);
                None
            }
            Ok(_) => failed,
            Err(error) => Some(error),
        };
        // The last scan may have waited for this listing or for the identity, so it is repeated at once.
        if self.identity.is_some() && (failed.is_none() || self.running.is_empty()) {
            self.scan_timer.no_later_than(now);
        }
        if let Some(error) = failed {
            self.listing_failed(error, now, effects);
        }
    }

    fn listing_failed(&mut self, error: RetrievalError, now: Instant, effects: &mut Vec<Effect>) {
        let is_not_found = is_not_found(&error);
        if is_not_found {
            self.settings.stream_state.stream_missing();
        }
        // A permanent error while nothing is read is one of configuration, and a stream that is gone leaves nothing to read.
        // The worker ends with it; the input is restarted with backoff.
        if is_not_found || (self.running.is_empty() && !error.kind().may_retry()) {
            let error = ConsumerError::from(error);
            self.settings.stream_state.refuse(cause_line(&error));
            self.failure = Some(error);
            return self.stop(effects);
        }
        let wait = self.shard_sync.listing_failed(now);
        self.settings.status.call_failed(LISTING_FAILED, cause_line(&error), now);
        self.failed_call(LISTING_FAILED, (&error, wait), now);
    }

    fn scan_failed(&mut self, error: ConsumerError, now: Instant, effects: &mut Vec<Effect>) {
        if self.running.is_empty() && !error.kind().may_retry() {
            self.settings.stream_state.refuse(cause_line(&error));
            self.failure = Some(error);
            return self.stop(effects);
        }
        let wait = self.scan_timer.failed(now);
        self.settings.status.call_failed(SCAN_FAILED, cause_line(&error), now);
        self.failed_call(SCAN_FAILED, (&error, wait), now);
    }

    fn failed_call(&mut self, what: &'static str, (error, wait): (&(dyn Error + 'static), Duration), now: Instant) {
        self.settings.status.failed(error, now);
        self.log.failed(what, error, wait, now);
    }

    fn changed(&mut self, change: Change, now: Instant, effects: &mut Vec<Effect>) {
        self.claims.changed(&change, now);
        match change.result {
            ChangeResult::Taken(grant, begun) => {
                self.running.insert(grant.shard().clone());
                effects.push(Effect::Start(grant, begun));
            }
            ChangeResult::Created => self.scan_timer.no_later_than(now),
            ChangeResult::Done | ChangeResult::Lost => {}
            ChangeResult::Failed(error) => {
                self.failed.entry(change.kind).or_insert((error, 0)).1 += 1;
                return;
            }
        }
        self.succeeded.insert(change.kind);
    }

    /// Logs one line for all failures of a kind.
    fn changes_done(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.is_changing = false;
        let failed = std::mem::take(&mut self.failed);
        for kind in std::mem::take(&mut self.succeeded).into_iter().filter(|kind| !failed.contains_key(kind)) {
            self.change_timers.entry(kind).and_modify(|timer| timer.succeeded(now, Duration::ZERO));
        }
        for (kind, (error, count)) in failed {
            let Some(timer) = self.change_timers.get_mut(&kind) else { continue };
            let wait = timer.failed(now);
            tracing::debug!(change = ?kind, count, "changes of leases failed");
            self.failed_call(kind.failure(), (&error, wait), now);
            self.scan_timer.no_later_than(now + wait);
            if matches!(kind, ChangeKind::Create | ChangeKind::Remove) {
                self.shard_sync.request_listing_at(now + wait);
            }
        }
        if std::mem::take(&mut self.was_skipped) {
            self.scan_timer.no_later_than(now);
        }
        if self.is_stopping && !self.has_withdrawn {
            self.withdraw(effects);
        }
    }

    /// Gives up what was claimed and is not held. Once, since a worker that stops must not wait for long.
    fn withdraw(&mut self, effects: &mut Vec<Effect>) {
        self.has_withdrawn = true;
        let changes = self.claims.withdraw_all();
        self.change(changes, effects);
    }

    fn consumer_ended(&mut self, shard: &ShardId, reason: EndReason, now: Instant, effects: &mut Vec<Effect>) {
        self.running.remove(shard);
        tracing::info!(%shard, ?reason, "shard consumer ended");
        match reason {
            EndReason::ShardEnded => {
                self.settings.stream_state.shard_ended(shard);
                self.shard_sync.request_listing();
            }
            EndReason::Unreadable => {
                self.failure.get_or_insert_with(|| ConsumerError::Unreadable { shard: shard.clone() });
                self.stop(effects);
            }
            EndReason::Replaced(replacement) => self.replaced(replacement, effects),
            EndReason::Forced if !self.is_stopping => self.scan_timer.no_later_than(now),
            EndReason::Aborted | EndReason::Forced => {
                self.failure.get_or_insert(ConsumerError::Aborted);
            }
            // The release changed the counter. If the new owner is dead, it looks alive to this worker for one lease
            // duration after the change is seen, so the change is to be seen early.
            EndReason::HandedOff => self.scan_timer.no_later_than(now),
            EndReason::Stopped | EndReason::LeaseLost | EndReason::Failed => {}
        }
    }

    fn replaced(&mut self, Replacement { leased, found }: Replacement, effects: &mut Vec<Effect>) {
        let table = self.settings.lease_table.to_string();
        self.refuse(ConsumerError::StreamReplaced { leased, found, table }, effects);
    }

    /// Nothing is read until an operator has acted.
    fn refuse(&mut self, error: ConsumerError, effects: &mut Vec<Effect>) {
        if matches!(error, ConsumerError::StreamReplaced { .. }) {
            self.settings.stream_state.stream_replaced();
        }
        self.settings.stream_state.refuse(error.to_string());
        self.failure = Some(error);
        self.stop(effects);
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) {
        if self.is_stopping {
            return;
        }
        self.is_stopping = true;
        effects.push(Effect::StopConsumers);
        // A take in flight must complete, so that its lease is released.
        if !self.is_changing {
            self.withdraw(effects);
        }
    }
}

const fn is_not_found(error: &RetrievalError) -> bool {
    matches!(error, RetrievalError::NotFound { .. })
}
