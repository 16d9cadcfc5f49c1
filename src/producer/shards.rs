//! What is known of the shards: the map, when to list them again, and the limit of each. Pure.

use super::limiter::Limiter;
use super::settings::{Aggregation, ProducerSettings, RateLimit};
use super::shard_map::ShardMap;
use super::shard_view::ShardView;
use super::token_bucket::Factor;
use super::types::Listing;
use crate::domain::ShardId;
use crate::telemetry::OutputMetrics;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The minimum time between listings that are caused by replies that contradict the map.
const MISMATCH_PAUSE: Duration = Duration::from_secs(10);
/// After a listing that failed; at most the usual interval.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// How often the factor of a slowed shard is written to the metrics.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The shard label of a throttle whose shard is not known.
const UNKNOWN: &str = "unknown";

/// When to list the shards next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    /// The shards may not be listed.
    Never,
    At(Instant),
    InProgress,
}

#[derive(Debug)]
pub(super) struct Shards {
    pub(super) limiter: Limiter,
    map: Arc<ShardMap>,
    view: ShardView,
    metrics: OutputMetrics,
    refresh_every: Duration,
    refresh: Refresh,
    listed: Option<Instant>,
    failed_before: bool,
    /// Shards whose factor is below 1.
    slowed: BTreeSet<ShardId>,
    reported: Instant,
}

impl Shards {
    pub(super) fn new(settings: &ProducerSettings, metrics: OutputMetrics, can_list: bool, now: Instant) -> Self {
        let limit = settings.rate_limit;
        // With aggregation it is not known yet how many Kinesis records the user records will be; only bytes count.
        let records_per_second = match settings.aggregation {
            Aggregation::None => limit.records_per_second,
            Aggregation::Key | Aggregation::Shard | Aggregation::Joined(_) => u32::MAX,
        };
        let limit = RateLimit { records_per_second, ..limit };
        Self {
            limiter: Limiter::new(limit, settings.max_record_size, now),
            map: Arc::default(),
            view: ShardView::new(limit),
            metrics,
            refresh_every: limit.refresh_every,
            refresh: if can_list { Refresh::At(now) } else { Refresh::Never },
            listed: None,
            failed_before: false,
            slowed: BTreeSet::new(),
            reported: now,
        }
    }

    /// What others may know of the shards.
    pub(super) fn view(&self) -> ShardView {
        self.view.clone()
    }

    /// The shard of a hash key by the last listing.
    pub(super) fn predict(&self, hash: Option<u128>) -> Option<ShardId> {
        self.map.shard_of(hash?).cloned()
    }

    /// Whether a record with that hash key certainly belongs to that shard.
    pub(super) fn covers(&self, shard: &ShardId, hash: Option<u128>) -> bool {
        let range = self.map.range_of(shard);
        range.zip(hash).is_some_and(|(range, hash)| (range.start..=range.end).contains(&hash))
    }

    /// Records of that shard were throttled; `None` where the shard is not known. A shard that the map does not have is
    /// counted as unknown, since its time series would never be removed.
    pub(super) fn throttled(&mut self, shard: Option<&ShardId>, now: Instant) {
        self.limiter.throttled(shard, now);
        let shard = shard.filter(|shard| self.map.range_of(shard).is_some());
        let factor = self.limiter.factor(shard).unwrap_or(Factor::new(now));
        self.view.throttled(shard, factor);
        let Some(shard) = shard else { return self.metrics.throttled(UNKNOWN) };
        self.metrics.throttled(shard.as_str());
        self.metrics.set_limiter_factor(shard.as_str(), factor.at(now));
        self.slowed.insert(shard.clone());
    }

    /// A record was stored in the `actual` shard. If another was predicted, the map is out of date.
    pub(super) fn observed_shard(&mut self, predicted: Option<&ShardId>, actual: &ShardId, now: Instant) {
        let is_mismatch = predicted.is_some_and(|predicted| predicted != actual);
        if let Refresh::At(planned) = self.refresh
            && is_mismatch
        {
            let soonest = self.listed.map_or(now, |listed| (listed + MISMATCH_PAUSE).max(now));
            self.refresh = Refresh::At(planned.min(soonest));
        }
    }

    /// Whether the shards are to be listed now. The caller must then list them and call [`Shards::update`].
    pub(super) fn begin_listing(&mut self, now: Instant) -> bool {
        let is_due = matches!(self.refresh, Refresh::At(at) if at <= now);
        if is_due {
            (self.refresh, self.listed) = (Refresh::InProgress, Some(now));
        }
        is_due
    }

    /// Applies the result of a listing. True if the map changed: then the queues for tokens are empty, and the caller must
    /// assign each record to its shard again.
    pub(super) fn update(&mut self, result: Listing, now: Instant) -> bool {
        match result {
            Ok(listing) => {
                self.refresh = Refresh::At(now + self.refresh_every);
                self.failed_before = false;
                self.view.listed(now);
                self.set_map(ShardMap::from_listing(&listing.shards), now)
            }
            Err(error) => {
                self.refresh = Refresh::At(now + self.refresh_every.min(RETRY_PAUSE));
                if !std::mem::replace(&mut self.failed_before, true) {
                    let kind = error.kind().as_str();
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(kind, error, "listing shards failed; rate limits use the last known shards");
                }
                false
            }
        }
    }

    /// When to look again: for a listing, only while there are records, or to report a factor.
    pub(super) fn wake_at(&self, has_records: bool) -> Option<Instant> {
        let listing = match self.refresh {
            Refresh::At(at) => Some(at).filter(|_| has_records),
            Refresh::Never | Refresh::InProgress => None,
        };
        let report = (!self.slowed.is_empty()).then(|| self.reported + REPORT_INTERVAL);
        listing.into_iter().chain(report).min()
    }

    /// Writes to the metrics how far slowed shards have recovered.
    pub(super) fn report_factors(&mut self, now: Instant) {
        if self.slowed.is_empty() || now < self.reported + REPORT_INTERVAL {
            return;
        }
        self.reported = now;
        let (limiter, metrics) = (&self.limiter, &self.metrics);
        self.slowed.retain(|shard| {
            let factor = limiter.factor(Some(shard)).map_or(1.0, |factor| factor.at(now));
            metrics.set_limiter_factor(shard.as_str(), factor);
            factor < 1.0
        });
    }

    fn set_map(&mut self, map: ShardMap, now: Instant) -> bool {
        // A stream always has open shards, so a listing without any is not used.
        if map == *self.map || map.is_empty() {
            return false;
        }
        self.map = Arc::new(map);
        self.view.set_map(&self.map);
        self.limiter.clear_queued();
        for gone in self.limiter.set_shards(&self.map, now) {
            self.slowed.remove(&gone);
            self.metrics.forget_shard(gone.as_str());
        }
        true
    }
}

/// The series of shards end with the producer: the stream of a later one may have other shards.
impl Drop for Shards {
    fn drop(&mut self) {
        self.map.shards().for_each(|shard| self.metrics.forget_shard(shard.as_str()));
    }
}

#[cfg(test)]
#[path = "tests/shards.rs"]
mod tests;
