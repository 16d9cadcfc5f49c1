//! What is known of the shards, and the limits kept for them. Pure.

use super::limiter::Limiter;
use super::pending::{Claim, Pending};
use super::settings::{Aggregation, ProducerSettings, RateLimit};
use super::shard_map::ShardMap;
use crate::domain::{RetrievalError, ShardId, ShardListing};
use crate::telemetry::OutputMetrics;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// A reply that contradicts the map asks for a new one, but not more often than this.
const MISMATCH_PAUSE: Duration = Duration::from_secs(10);
/// After a listing that failed; at most the usual interval.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// How often the share of a limit that is in use is told to the metrics.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// What the metrics call the shard of a throttle that nobody can tell.
const UNKNOWN: &str = "unknown";

/// When to list the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// Nobody can.
    Never,
    At(Instant),
    UnderWay,
}

/// The map of the shards and their limits.
#[derive(Debug)]
pub(super) struct Shards {
    map: ShardMap,
    limiter: Limiter,
    metrics: OutputMetrics,
    refresh_every: Duration,
    listing: Listing,
    listed: Option<Instant>,
    failed_before: bool,
    /// Shards whose limit is cut; their share is told until it is whole again.
    slowed: BTreeSet<ShardId>,
    told: Instant,
}

impl Shards {
    pub(super) fn new(settings: &ProducerSettings, metrics: OutputMetrics, can_list: bool, now: Instant) -> Self {
        let limit = settings.rate_limit;
        // With aggregation it is not known yet how many Kinesis records the user records will be; only bytes count.
        let records_per_second = match settings.aggregation {
            Aggregation::None => limit.records_per_second,
            Aggregation::Key | Aggregation::Shard => u32::MAX,
        };
        Self {
            map: ShardMap::empty(),
            limiter: Limiter::new(RateLimit { records_per_second, ..limit }, settings.max_record_size),
            metrics,
            refresh_every: limit.refresh_every,
            listing: if can_list { Listing::At(now) } else { Listing::Never },
            listed: None,
            failed_before: false,
            slowed: BTreeSet::new(),
            told: now,
        }
    }

    /// Where a record with that hash key will go, as far as is known.
    pub(super) fn predict(&self, hash: Option<u128>) -> Option<ShardId> {
        self.map.shard_of(hash?).cloned()
    }

    /// Whether a record with that hash key belongs to that shard for sure.
    pub(super) fn covers(&self, shard: &ShardId, hash: Option<u128>) -> bool {
        let range = self.map.range_of(shard);
        range.zip(hash).is_some_and(|(range, hash)| (range.start..=range.end).contains(&hash))
    }

    /// Joins the line of its shard: when its turn should come, `None` where nothing limits the record.
    ///
    /// # Errors
    /// The wait until its turn, when that is too late.
    pub(super) fn join(
        &mut self,
        shard: Option<&ShardId>,
        bytes: usize,
        now: Instant,
        by: Instant,
    ) -> Result<Option<Instant>, Duration> {
        self.limiter.join(shard, bytes, now, by)
    }

    /// Joins the line of its shard, however long it is.
    fn rejoin(&mut self, shard: Option<&ShardId>, bytes: usize, now: Instant) -> Claim {
        self.limiter.rejoin(shard, bytes, now);
        Claim::InLine
    }

    /// Takes a slot for one attempt: the moment from which it may begin.
    ///
    /// # Errors
    /// The wait until there would be room, when that is too late.
    pub(super) fn pass(&mut self, pending: &Pending, now: Instant) -> Result<Instant, Duration> {
        let shard = pending.shard.as_ref();
        let slot = self.limiter.reserve(shard, pending.size, now, pending.begin_by)?;
        if pending.claim == Claim::InLine {
            self.limiter.leave(shard, pending.size);
        }
        Ok(slot)
    }

    /// An attempt is sent; one that has no slot is charged.
    pub(super) fn sent(&mut self, shard: Option<&ShardId>, bytes: usize, claim: Claim, now: Instant) {
        match claim {
            Claim::Slot(_) => {}
            Claim::InLine => {
                self.limiter.leave(shard, bytes);
                self.limiter.charge(shard, bytes, now);
            }
            Claim::None => self.limiter.charge(shard, bytes, now),
        }
    }

    /// Gives back what a record has that is not sent.
    pub(super) fn leave(&mut self, shard: Option<&ShardId>, bytes: usize, claim: Claim) {
        match claim {
            Claim::Slot(slot) => self.limiter.refund(shard, bytes, slot),
            Claim::InLine => self.limiter.leave(shard, bytes),
            Claim::None => {}
        }
    }

    /// Where a record that is not in a call belongs by the map as it is now, and its claim there: it joins the line,
    /// however long that is, unless it has a slot there.
    pub(super) fn settle(&mut self, pending: &Pending, now: Instant) -> (Option<ShardId>, Claim) {
        let shard = self.predict(pending.hash);
        let claim = match pending.claim {
            Claim::Slot(slot) if shard == pending.shard => Claim::Slot(slot),
            // A slot of the other shard is not given back: it would be too much where it is a child of this one.
            Claim::Slot(_) | Claim::InLine | Claim::None => self.rejoin(shard.as_ref(), pending.size, now),
        };
        (shard, claim)
    }

    /// Records of that shard were throttled; `None` where nobody can tell of which. One that the map does not have is
    /// counted as unknown, since its series would never end.
    pub(super) fn throttled(&mut self, shard: Option<&ShardId>, now: Instant) {
        self.limiter.throttled(shard, now);
        let Some(shard) = shard.filter(|shard| self.map.range_of(shard).is_some()) else {
            return self.metrics.throttled(UNKNOWN);
        };
        self.metrics.throttled(shard.as_str());
        self.metrics.set_limiter_factor(shard.as_str(), self.limiter.factor(Some(shard), now));
        self.slowed.insert(shard.clone());
    }

    /// A record was stored there; if it was expected elsewhere, the map is out of date.
    pub(super) fn landed(&mut self, predicted: Option<&ShardId>, actual: &ShardId, now: Instant) {
        let is_mismatch = predicted.is_some_and(|predicted| predicted != actual);
        if let Listing::At(planned) = self.listing
            && is_mismatch
        {
            let soonest = self.listed.map_or(now, |listed| (listed + MISMATCH_PAUSE).max(now));
            self.listing = Listing::At(planned.min(soonest));
        }
    }

    /// Whether the shards are to be listed now. Who asks must do it, and tell by [`Shards::listed`].
    pub(super) fn begin_listing(&mut self, now: Instant) -> bool {
        let is_due = matches!(self.listing, Listing::At(at) if at <= now);
        if is_due {
            (self.listing, self.listed) = (Listing::UnderWay, Some(now));
        }
        is_due
    }

    /// The shards were listed; true if the map is another one now. Then nobody is in a line any more, and each record is
    /// to be settled anew.
    pub(super) fn listed(&mut self, result: Result<ShardListing, RetrievalError>, now: Instant) -> bool {
        match result {
            Ok(listing) => {
                self.listing = Listing::At(now + self.refresh_every);
                self.failed_before = false;
                self.follow(ShardMap::from_listing(&listing.shards))
            }
            Err(error) => {
                self.listing = Listing::At(now + self.refresh_every.min(RETRY_PAUSE));
                if !std::mem::replace(&mut self.failed_before, true) {
                    let kind = error.kind().word();
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(kind, error, "shards could not be listed, limits go on with what is known");
                }
                false
            }
        }
    }

    /// When the next of its own work is due; the shards are listed only while there are records.
    pub(super) fn wake_at(&self, records: usize) -> Option<Instant> {
        let listing = match self.listing {
            Listing::At(at) => Some(at).filter(|_| records > 0),
            Listing::Never | Listing::UnderWay => None,
        };
        let telling = (!self.slowed.is_empty()).then(|| self.told + TOLD_EVERY);
        listing.into_iter().chain(telling).min()
    }

    /// Tells the metrics how far limits have recovered.
    pub(super) fn tell(&mut self, now: Instant) {
        if self.slowed.is_empty() || now < self.told + TOLD_EVERY {
            return;
        }
        self.told = now;
        let (limiter, metrics) = (&self.limiter, &self.metrics);
        self.slowed.retain(|shard| {
            let factor = limiter.factor(Some(shard), now);
            metrics.set_limiter_factor(shard.as_str(), factor);
            factor < 1.0
        });
    }

    fn follow(&mut self, map: ShardMap) -> bool {
        // A stream always has open shards; a listing without any tells nothing.
        if map == self.map || map.is_empty() {
            return false;
        }
        self.map = map;
        self.limiter.clear_lines();
        for gone in self.limiter.set_shards(&self.map) {
            self.slowed.remove(&gone);
            self.metrics.forget_shard(gone.as_str());
        }
        true
    }
}
