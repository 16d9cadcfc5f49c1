//! Admission to the queue: counts the accepted records and refuses more than the bounds allow.
//!
//! Callers and the owner task share it, so a refusal costs little and does not wait for the owner.

use super::settings::QueueBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Upper bound of the `Retry-After` of a full queue, in seconds.
const MAX_DRAIN_SECONDS: usize = 60;
const RATE_WINDOW: Duration = Duration::from_millis(500);

/// What kind of request a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Single,
    /// All bulk requests together take at most half of the queue.
    Bulk,
}

#[derive(Debug, Default)]
struct Usage {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl Usage {
    /// Counts a record if it fits. Into an empty queue it fits with any size.
    fn try_acquire(&self, bytes: usize, bounds: QueueBounds) -> bool {
        let records = self.records.fetch_add(1, Ordering::AcqRel);
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = records == 0 || (records < bounds.records && before.saturating_add(bytes) <= bounds.bytes);
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.records.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Counts the records that wait or are in flight.
#[derive(Debug)]
pub(super) struct Admission {
    bounds: QueueBounds,
    all: Usage,
    bulk: Usage,
    /// Records answered per second, as last measured; 0 before that.
    drain_rate: AtomicUsize,
    bulk_waiting: AtomicUsize,
    released: Notify,
    /// Callers that went away since the owner last searched for their records.
    cancelled: AtomicUsize,
    cancel: Notify,
}

impl Admission {
    pub(super) fn new(bounds: QueueBounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            all: Usage::default(),
            bulk: Usage::default(),
            drain_rate: AtomicUsize::new(0),
            bulk_waiting: AtomicUsize::new(0),
            released: Notify::new(),
            cancelled: AtomicUsize::new(0),
            cancel: Notify::new(),
        })
    }

    pub(super) const fn bounds(&self) -> QueueBounds {
        self.bounds
    }

    /// Records that wait or are in flight, and their bytes.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.all.records.load(Ordering::Acquire), self.all.bytes.load(Ordering::Acquire))
    }

    /// A permit for one record, unless the queue is full.
    pub(super) fn try_acquire(self: &Arc<Self>, bytes: usize, share: Share) -> Option<Permit> {
        let half = QueueBounds { records: (self.bounds.records / 2).max(1), bytes: self.bounds.bytes / 2 };
        if share == Share::Bulk && !self.bulk.try_acquire(bytes, half) {
            return None;
        }
        if !self.all.try_acquire(bytes, self.bounds) {
            if share == Share::Bulk {
                self.bulk.release(bytes);
            }
            return None;
        }
        Some(Permit { admission: Arc::clone(self), bytes, share })
    }

    /// Waits for a permit. Cancel-safe.
    pub(super) async fn acquire(self: &Arc<Self>, bytes: usize, share: Share) -> Permit {
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            // Enabled before the check, so that a permit that is released in between is not missed.
            released.as_mut().enable();
            let _waiting = Waiting::new(&self.bulk_waiting);
            if let Some(permit) = self.try_acquire(bytes, share) {
                return permit;
            }
            released.await;
        }
    }

    /// The time in which the queue should be empty at the rate that was last measured.
    pub(super) fn drain_time(&self) -> Duration {
        let (records, rate) = (self.all.records.load(Ordering::Relaxed), self.drain_rate.load(Ordering::Relaxed));
        let seconds = records.checked_div(rate).map_or(1, |seconds| seconds.clamp(1, MAX_DRAIN_SECONDS));
        Duration::from_secs(seconds as u64)
    }

    pub(super) fn set_drain_rate(&self, per_second: usize) {
        self.drain_rate.store(per_second, Ordering::Relaxed);
    }

    /// A caller went away; wakes the owner.
    pub(super) fn cancel(&self) {
        self.cancelled.fetch_add(1, Ordering::Release);
        self.cancel.notify_one();
    }

    /// Waits until a caller went away. Cancel-safe.
    pub(super) async fn cancelled(&self) {
        self.cancel.notified().await;
    }

    /// Callers that went away since the last [`Admission::reaped`].
    pub(super) fn cancelled_count(&self) -> usize {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The owner removed the records of `count` cancelled callers.
    pub(super) fn reaped(&self, count: usize) {
        self.cancelled.fetch_sub(count, Ordering::AcqRel);
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The place of one record in the queue; released when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    bytes: usize,
    share: Share,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.all.release(self.bytes);
        if self.share == Share::Bulk {
            self.admission.bulk.release(self.bytes);
        }
        if self.admission.bulk_waiting.load(Ordering::Acquire) > 0 {
            self.admission.released.notify_waiters();
        }
    }
}

/// Measures how many records are answered per second.
#[derive(Debug)]
pub(super) struct DrainRate {
    since: Instant,
    answered: u64,
    per_second: f64,
}

impl DrainRate {
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, answered: 0, per_second: 0.0 }
    }

    pub(super) const fn record_answer(&mut self) {
        self.answered += 1;
    }

    /// The rate, if a window has just ended: the mean of this window and the rate before.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of half a second are positive and far below 2⁵³"
    )]
    pub(super) fn measure(&mut self, now: Instant) -> Option<usize> {
        let passed = now.saturating_duration_since(self.since);
        if passed < RATE_WINDOW {
            return None;
        }
        let latest = self.answered as f64 / passed.as_secs_f64();
        self.per_second = if self.per_second > 0.0 { f64::midpoint(self.per_second, latest) } else { latest };
        (self.since, self.answered) = (now, 0);
        Some(self.per_second as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: QueueBounds = QueueBounds { bytes: 100, records: 4 };

    #[test]
    fn the_queue_is_bounded_by_records_and_by_bytes_and_permits_come_back() {
        let admission = Admission::new(BOUNDS);
        let large = admission.try_acquire(90, Share::Single).unwrap();
        assert!(admission.try_acquire(11, Share::Single).is_none());
        let small: Vec<_> = (0..3).map(|_| admission.try_acquire(1, Share::Single).unwrap()).collect();
        assert!(admission.try_acquire(1, Share::Single).is_none());
        assert_eq!(admission.usage(), (4, 93));
        drop((large, small));
        assert_eq!(admission.usage(), (0, 0));
    }

    #[test]
    fn bulk_requests_leave_half_of_the_queue_to_others() {
        let admission = Admission::new(BOUNDS);
        let _first = admission.try_acquire(1, Share::Bulk).unwrap();
        let _second = admission.try_acquire(1, Share::Bulk).unwrap();
        assert!(admission.try_acquire(1, Share::Bulk).is_none());
        assert!(admission.try_acquire(1, Share::Single).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bulk_request_waits_for_a_permit() {
        let admission = Admission::new(QueueBounds { bytes: 100, records: 1 });
        let first = admission.try_acquire(1, Share::Bulk).unwrap();
        let mut waiting = std::pin::pin!(admission.acquire(1, Share::Bulk));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(first);
        assert!(futures_util::poll!(waiting.as_mut()).is_ready());
    }

    #[test]
    fn the_drain_time_follows_the_drain_rate() {
        let admission = Admission::new(QueueBounds { bytes: 100, records: 50 });
        assert_eq!(admission.drain_time(), Duration::from_secs(1));
        let _permits: Vec<_> = (0..30).map(|_| admission.try_acquire(1, Share::Single).unwrap()).collect();
        admission.set_drain_rate(10);
        assert_eq!(admission.drain_time(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_rate_follows_the_latest_answers() {
        let begun = Instant::now();
        let mut rate = DrainRate::new(begun);
        (0..500).for_each(|_| rate.record_answer());
        assert_eq!(rate.measure(begun + RATE_WINDOW / 2), None);
        assert_eq!(rate.measure(begun + RATE_WINDOW), Some(1_000));
        assert_eq!(rate.measure(begun + 2 * RATE_WINDOW), Some(500));
    }
}
