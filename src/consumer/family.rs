//! When shards are listed, and what follows from a listing for the leases. Pure, as the coordinator that owns it.

use super::cycle::Action;
use super::lineage::{self, Changes, Origin};
use super::pause::Pause;
use super::settings::ConsumerSettings;
use crate::domain::{Lease, ShardId, ShardListing, StreamIdentity};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Shards are listed at least once in this many lease durations (a minute at the default).
const LIST_EACH: u32 = 6;
/// The longest pause after failed listings.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a first start waits for a listing without holes, and how often it looks. A reshard leaves holes for a few
/// seconds at most.
const HOLES_HEAL_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AT_HOLES_EACH: Duration = Duration::from_secs(1);
/// More shards or ranges than this are counted, not named, in one line of the log.
const NAMED: usize = 10;

/// A listing that was not compared with leases yet, and when it came.
#[derive(Debug)]
struct Fresh {
    listing: ShardListing,
    at: Instant,
    /// Whether the stream was identified with it.
    is_identified: bool,
}

#[derive(Debug)]
pub(super) struct Family {
    settings: Arc<ConsumerSettings>,
    listings: Pause,
    is_listing: bool,
    /// A listing is wanted as soon as the pause is over.
    is_wanted: bool,
    listed_at: Option<Instant>,
    fresh: Option<Fresh>,
    /// Rows are gone: the stream may be another one by now.
    is_doubtful: bool,
    /// Since when rows are missing that this input never saw.
    unseen_since: Option<Instant>,
    holes_since: Option<Instant>,
    holes_accepted: bool,
}

impl Family {
    pub(super) fn new(settings: Arc<ConsumerSettings>) -> Self {
        Self {
            listings: Pause::new(LONGEST_PAUSE, settings.seed),
            settings,
            is_listing: false,
            is_wanted: true,
            listed_at: None,
            fresh: None,
            is_doubtful: false,
            unseen_since: None,
            holes_since: None,
            holes_accepted: false,
        }
    }

    /// When the next listing is due; `None` while one is under way.
    pub(super) fn next_listing(&self, now: Instant) -> Option<Instant> {
        if self.is_listing {
            return None;
        }
        let overdue = self.listed_at.map_or(now, |at| at + self.settings.lease_duration * LIST_EACH);
        let wanted = if self.is_wanted { now } else { overdue };
        Some(self.listings.until().map_or(wanted, |until| until.max(wanted)))
    }

    /// Whether a listing is to begin now; it counts as begun then.
    pub(super) fn begin_listing(&mut self, now: Instant) -> bool {
        let begins = self.next_listing(now).is_some_and(|at| now >= at);
        if begins {
            self.is_listing = true;
            self.is_wanted = false;
        }
        begins
    }

    /// Whether the next listing should also identify the stream.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    pub(super) fn want_listing(&mut self) {
        self.is_wanted = true;
    }

    /// Wants a listing, but not before `moment`.
    pub(super) fn want_listing_at(&mut self, moment: Instant) {
        self.is_wanted = true;
        self.listings.not_before(moment);
    }

    pub(super) fn listed(&mut self, listing: ShardListing, is_identified: bool, now: Instant) {
        self.is_listing = false;
        self.listings.worked(now, Duration::ZERO);
        self.listed_at = Some(now);
        self.fresh = Some(Fresh { listing, at: now, is_identified });
    }

    /// Gives the pause that begins.
    pub(super) fn listing_failed(&mut self, now: Instant) -> Duration {
        self.is_listing = false;
        self.is_wanted = true;
        self.listings.failed(now)
    }

    /// What to create and to remove, for leases that were just scanned and that belong to the stream.
    pub(super) fn actions(&mut self, leases: &[Lease], stream: &StreamIdentity, now: Instant) -> Vec<Action> {
        let missing = self.settings.history.missing_from(leases);
        let fresh = self.fresh.take();
        let fresh = fresh.filter(|fresh| now.saturating_duration_since(fresh.at) <= self.settings.lease_duration);
        let Some(Fresh { listing, at, is_identified }) = fresh else {
            let has_ended = leases.iter().any(|lease| lease.checkpoint.is_ended());
            self.is_doubtful = !missing.is_empty();
            // One that is under way will do.
            self.is_wanted |= !self.is_listing && (leases.is_empty() || has_ended || self.is_doubtful);
            return Vec::new();
        };
        if !missing.is_empty() && !is_identified {
            self.is_doubtful = true;
            self.is_wanted = true;
            return Vec::new();
        }
        self.is_doubtful = false;
        self.settings.history.listed(&listing);
        let latest = self.settings.history.latest_start(listing.listed_at, at);
        if leases.is_empty() && missing.is_empty() && !self.is_complete(&listing, now) {
            return Vec::new();
        }
        let origin = Origin { initial: self.settings.initial_position, latest, stream: stream.clone(), missing };
        let mut changes = lineage::changes(leases, &listing, &origin);
        self.hold_back_hasty(&mut changes, &origin, now);
        // The others have ended, and another worker removed their rows.
        let gone = origin.missing.iter().map(|lease| &lease.shard).filter(|shard| !changes.lost.contains(shard));
        gone.for_each(|shard| self.settings.history.ended(shard));
        self.changed(changes, leases.is_empty())
    }

    /// Rows that this input never saw may be missing only because another worker is about to create them on its first
    /// start. They are created once they were missing for half a lease duration.
    fn hold_back_hasty(&mut self, changes: &mut Changes, origin: &Origin, now: Instant) {
        let was_seen = |shard: &ShardId| origin.missing.iter().any(|lease| lease.shard == *shard);
        let unseen: Vec<ShardId> = changes.lost.iter().filter(|shard| !was_seen(shard)).cloned().collect();
        if unseen.is_empty() {
            self.unseen_since = None;
            return;
        }
        let ripe_at = *self.unseen_since.get_or_insert(now) + self.settings.lease_duration / 2;
        if now < ripe_at {
            changes.create.retain(|new| !unseen.contains(&new.shard));
            changes.lost.retain(|shard| !unseen.contains(shard));
            self.want_listing_at(ripe_at);
        }
    }

    fn changed(&self, changes: Changes, is_first: bool) -> Vec<Action> {
        if !changes.lost.is_empty() {
            let lost = changes.create.iter().filter(|new| changes.lost.contains(&new.shard));
            let starts: Vec<String> = lost
                .take(NAMED)
                .map(|new| match new.start_at {
                    Some(moment) => format!("{} {:?} at {moment}", new.shard, new.checkpoint),
                    None => format!("{} {:?}", new.shard, new.checkpoint),
                })
                .collect();
            tracing::warn!(
                table = %self.settings.lease_table,
                shards = %names(&changes.lost),
                count = changes.lost.len(),
                ?starts,
                "lease rows were missing in the lease table; they are created again and records may be redelivered"
            );
        }
        let create = match changes.create {
            none if none.is_empty() => None,
            first if is_first => Some(Action::CreateFirst(first)),
            more => Some(Action::Create(more)),
        };
        create.into_iter().chain(changes.remove.into_iter().map(Action::Remove)).collect()
    }

    /// Whether a first start may go by this listing: it covers all hash keys, or has not done so for long enough.
    fn is_complete(&mut self, listing: &ShardListing, now: Instant) -> bool {
        let holes = lineage::holes(listing);
        if holes.is_empty() || self.holes_accepted {
            return true;
        }
        let is_new = self.holes_since.is_none();
        let since = *self.holes_since.get_or_insert(now);
        self.holes_accepted = now.saturating_duration_since(since) >= HOLES_HEAL_WITHIN;
        let named: Vec<String> =
            holes.iter().take(NAMED).map(|hole| format!("{} to {}", hole.start, hole.end)).collect();
        let (count, shards) = (holes.len(), listing.shards.len());
        if self.holes_accepted {
            tracing::warn!(holes = ?named, count, shards, "listed shards still do not cover all hash keys; reading those that are listed");
        } else if is_new {
            tracing::warn!(
                holes = ?named, count, shards, repeat_for = ?HOLES_HEAL_WITHIN,
                "listed shards do not cover all hash keys; the listing is repeated"
            );
        }
        if !self.holes_accepted {
            self.want_listing_at(now + LOOK_AT_HOLES_EACH);
        }
        self.holes_accepted
    }
}

fn names(shards: &[ShardId]) -> String {
    let named: Vec<&str> = shards.iter().take(NAMED).map(ShardId::as_str).collect();
    named.join(" ")
}
