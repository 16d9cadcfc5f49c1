//! When to list the shards, and which leases to create and remove after a listing. Pure.

use super::cost::log_expected_writes;
use super::lease_scan::LeaseChange;
use super::lineage::{self, LineagePlan, StreamFacts};
use super::settings::ConsumerSettings;
use super::timers::BackoffTimer;
use crate::domain::{HashKeyRange, Lease, ShardId, ShardListing, StreamIdentity};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// In lease durations: shards are listed at least this often (each minute at the default).
const LIST_INTERVAL: u32 = 6;
/// In lease durations: how long the row of an ended shard stays at least.
const REMOVAL_DELAY: u32 = 2;
/// The longest pause after failed listings.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// During a reshard, a listing may not cover the whole hash key space for a few seconds. A first start repeats the listing
/// until it does, for this long at most.
const HOLES_TIMEOUT: Duration = Duration::from_secs(10);
const HOLES_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// One log line names at most this many shards or ranges.
const MAX_NAMED: usize = 10;

/// A listing that was not compared with the leases yet.
#[derive(Debug)]
struct NewListing {
    listing: ShardListing,
    received_at: Instant,
    /// Whether the stream was identified with it.
    is_identified: bool,
}

#[derive(Debug)]
pub(super) struct ShardSync {
    settings: Arc<ConsumerSettings>,
    timer: BackoffTimer,
    is_listing: bool,
    /// A listing is to be made as soon as the timer allows.
    is_requested: bool,
    listed_at: Option<Instant>,
    new_listing: Option<NewListing>,
    /// Rows are missing, so the stream may have been replaced.
    needs_identity: bool,
    /// Since when rows are missing that this input never saw.
    unseen_since: Option<Instant>,
    holes_since: Option<Instant>,
    holes_accepted: bool,
    /// Hash keys that no lease covers, as the last check found them.
    lease_holes: Vec<HashKeyRange>,
    /// A hole was found by two checks in a row, and was not reported yet.
    has_lasting_hole: bool,
    /// Ended shards with a row, and when their end was first seen.
    ended: BTreeMap<ShardId, Instant>,
}

impl ShardSync {
    pub(super) fn new(settings: Arc<ConsumerSettings>) -> Self {
        Self {
            timer: BackoffTimer::new(MAX_PAUSE, settings.seed),
            settings,
            is_listing: false,
            is_requested: true,
            listed_at: None,
            new_listing: None,
            needs_identity: false,
            unseen_since: None,
            holes_since: None,
            holes_accepted: false,
            lease_holes: Vec::new(),
            has_lasting_hole: false,
            ended: BTreeMap::new(),
        }
    }

    /// When the next listing is due; `None` while one is in flight.
    pub(super) fn next_listing(&self, now: Instant) -> Option<Instant> {
        if self.is_listing {
            return None;
        }
        let regular = self.listed_at.map_or(now, |at| at + self.settings.lease_duration * LIST_INTERVAL);
        let due = if self.is_requested { now } else { regular };
        Some(self.timer.until().map_or(due, |until| until.max(due)))
    }

    /// Whether a listing is due now. If so, it counts as in flight from now on.
    pub(super) fn begin_listing(&mut self, now: Instant) -> bool {
        let is_due = self.next_listing(now).is_some_and(|at| now >= at);
        if is_due {
            self.is_listing = true;
            self.is_requested = false;
        }
        is_due
    }

    /// Whether the next listing must also identify the stream.
    pub(super) const fn needs_identity(&self) -> bool {
        self.needs_identity
    }

    pub(super) fn request_listing(&mut self) {
        self.is_requested = true;
    }

    /// Requests a listing at `moment` or later.
    pub(super) fn request_listing_at(&mut self, moment: Instant) {
        self.is_requested = true;
        self.timer.not_before(moment);
    }

    pub(super) fn listed(&mut self, listing: ShardListing, is_identified: bool, now: Instant) {
        self.is_listing = false;
        self.timer.succeeded(now, Duration::ZERO);
        if self.listed_at.is_none() {
            log_expected_writes(&listing, &self.settings);
        }
        self.listed_at = Some(now);
        self.new_listing = Some(NewListing { listing, received_at: now, is_identified });
    }

    /// Begins a pause after a failed listing, and returns it.
    pub(super) fn listing_failed(&mut self, now: Instant) -> Duration {
        self.is_listing = false;
        self.is_requested = true;
        self.timer.failed(now)
    }

    /// The leases to create and to remove, for leases that were just scanned and that belong to the stream.
    pub(super) fn changes(&mut self, leases: &[Lease], stream: &StreamIdentity, now: Instant) -> Vec<LeaseChange> {
        let settings = Arc::clone(&self.settings);
        let state = &settings.stream_state;
        let missing = state.missing_from(leases);
        let new_listing = self.new_listing.take();
        let new_listing =
            new_listing.filter(|new| now.saturating_duration_since(new.received_at) <= self.settings.lease_duration);
        let Some(NewListing { listing, received_at, is_identified }) = new_listing else {
            let has_new_end = self.record_ended(leases, now);
            self.needs_identity = !missing.is_empty();
            // A listing that is in flight is recent enough.
            self.is_requested |= !self.is_listing && (leases.is_empty() || has_new_end || self.needs_identity);
            return Vec::new();
        };
        if !missing.is_empty() && !is_identified {
            self.needs_identity = true;
            self.is_requested = true;
            return Vec::new();
        }
        self.needs_identity = false;
        self.record_ended(leases, now);
        state.retain_listed(&listing);
        let latest = state.latest_start(listing.listed_at, received_at);
        if leases.is_empty() && missing.is_empty() && !self.is_complete(&listing, now) {
            return Vec::new();
        }
        self.check_cover(leases, &listing, now);
        let initial = self.settings.initial_position;
        let facts = StreamFacts { initial, latest, stream: stream.clone(), missing };
        let mut plan = lineage::plan(leases, &listing, &facts);
        self.delay_unseen(&mut plan, &facts, now);
        self.delay_removals(&mut plan, now);
        // Missing leases that are not restored: their shards ended, and another worker removed the rows.
        let ended = facts.missing.iter().map(|lease| &lease.shard).filter(|shard| !plan.lost.contains(shard));
        ended.for_each(|shard| self.settings.stream_state.shard_ended(shard));
        self.lease_changes(plan, leases.is_empty())
    }

    /// Whether two checks in a row found hash keys that no lease covers; true once for each such hole. The leases that are
    /// missing there are among the changes.
    pub(super) const fn take_hole_found(&mut self) -> bool {
        std::mem::replace(&mut self.has_lasting_hole, false)
    }

    /// One check alone proves nothing: other workers may be creating the leases.
    fn check_cover(&mut self, leases: &[Lease], listing: &ShardListing, now: Instant) {
        let holes = if leases.is_empty() { Vec::new() } else { lineage::lease_holes(leases, listing) };
        let lasting: Vec<&HashKeyRange> = holes.iter().filter(|hole| self.lease_holes.contains(hole)).collect();
        if !lasting.is_empty() {
            let named: Vec<String> =
                lasting.iter().take(MAX_NAMED).map(|hole| format!("{} to {}", hole.start, hole.end)).collect();
            let table = &self.settings.lease_table;
            tracing::warn!(%table, holes = ?named, count = lasting.len(), "no lease covers some hash keys");
            self.has_lasting_hole = true;
        } else if !holes.is_empty() {
            self.request_listing_at(now + self.settings.lease_duration / 2);
        }
        self.lease_holes = holes;
    }

    /// Rows that this input never saw may be missing only because another worker is about to create them on its first
    /// start. They are created once they have been missing for half a lease duration.
    fn delay_unseen(&mut self, plan: &mut LineagePlan, facts: &StreamFacts, now: Instant) {
        let was_seen = |shard: &ShardId| facts.missing.iter().any(|lease| lease.shard == *shard);
        let unseen: Vec<ShardId> = plan.lost.iter().filter(|shard| !was_seen(shard)).cloned().collect();
        if unseen.is_empty() {
            self.unseen_since = None;
            return;
        }
        let create_at = *self.unseen_since.get_or_insert(now) + self.settings.lease_duration / 2;
        if now < create_at {
            plan.create.retain(|new| !unseen.contains(&new.shard));
            plan.lost.retain(|shard| !unseen.contains(shard));
            self.request_listing_at(create_at);
        }
    }

    /// Records which shards have ended. Returns whether there is one that had not ended, or was not known, before: its
    /// children may have to be created. Those that ended earlier need no listing before the next regular one.
    fn record_ended(&mut self, leases: &[Lease], now: Instant) -> bool {
        let ended = leases.iter().filter(|lease| lease.checkpoint.is_ended()).map(|lease| &lease.shard);
        let ended: BTreeMap<ShardId, Instant> =
            ended.map(|shard| (shard.clone(), self.ended.get(shard).copied().unwrap_or(now))).collect();
        let has_new = ended.keys().any(|shard| !self.ended.contains_key(shard));
        self.ended = ended;
        has_new
    }

    /// Another worker may still act on a scan that is older than the end of a shard, and create the lease again once its
    /// row is gone. No worker acts on a scan that is older than a lease duration.
    fn delay_removals(&self, plan: &mut LineagePlan, now: Instant) {
        let delay = self.settings.lease_duration * REMOVAL_DELAY;
        plan.remove.retain(|lease| self.ended.get(&lease.shard).is_some_and(|since| now >= *since + delay));
    }

    fn lease_changes(&self, plan: LineagePlan, is_first: bool) -> Vec<LeaseChange> {
        if !plan.lost.is_empty() {
            let lost = plan.create.iter().filter(|new| plan.lost.contains(&new.shard));
            let starts: Vec<String> = lost
                .take(MAX_NAMED)
                .map(|new| match new.start_at {
                    Some(moment) => format!("{} {:?} at {moment}", new.shard, new.checkpoint),
                    None => format!("{} {:?}", new.shard, new.checkpoint),
                })
                .collect();
            let shards: Vec<&str> = plan.lost.iter().take(MAX_NAMED).map(ShardId::as_str).collect();
            tracing::warn!(
                table = %self.settings.lease_table,
                shards = %shards.join(" "),
                count = plan.lost.len(),
                ?starts,
                "missing lease rows will be created again; records may be redelivered"
            );
        }
        let create = match plan.create {
            none if none.is_empty() => None,
            first if is_first => Some(LeaseChange::CreateFirst(first)),
            more => Some(LeaseChange::Create(more)),
        };
        create.into_iter().chain(plan.remove.into_iter().map(LeaseChange::Remove)).collect()
    }

    /// Whether a first start may use this listing: it covers the whole hash key space, or the time to wait for that is
    /// over.
    fn is_complete(&mut self, listing: &ShardListing, now: Instant) -> bool {
        let holes = lineage::holes(listing);
        if holes.is_empty() || self.holes_accepted {
            return true;
        }
        let is_new = self.holes_since.is_none();
        let since = *self.holes_since.get_or_insert(now);
        self.holes_accepted = now.saturating_duration_since(since) >= HOLES_TIMEOUT;
        let named: Vec<String> =
            holes.iter().take(MAX_NAMED).map(|hole| format!("{} to {}", hole.start, hole.end)).collect();
        let (count, shards) = (holes.len(), listing.shards.len());
        if self.holes_accepted {
            tracing::warn!(holes = ?named, count, shards, "incomplete shard listing accepted");
        } else if is_new {
            tracing::warn!(
                holes = ?named, count, shards, timeout = ?HOLES_TIMEOUT,
                "listed shards do not cover all hash keys; listing will be repeated"
            );
        }
        if !self.holes_accepted {
            self.request_listing_at(now + HOLES_POLL_INTERVAL);
        }
        self.holes_accepted
    }
}
