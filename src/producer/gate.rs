//! The door of the queue: counts what is inside, refuses beyond the bounds. Shared by callers and the owner, because a
//! refusal must cost nothing and must not wait for the owner.

use super::settings::QueueBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Nobody is told to stay away longer than this.
const LONGEST_DRAIN: usize = 60;

/// Who asks for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// One record of one request.
    Single,
    /// One of many of a bulk; all bulks together take at most half of the room.
    Bulk,
}

#[derive(Debug, Default)]
struct Inside {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl Inside {
    /// Counts a record if it fits. A record larger than the whole room may come alone.
    fn enter(&self, bytes: usize, bounds: QueueBounds) -> bool {
        let records = self.records.fetch_add(1, Ordering::AcqRel);
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = records == 0 || (records < bounds.records && before.saturating_add(bytes) <= bounds.bytes);
        if !fits {
            self.leave(bytes);
        }
        fits
    }

    fn leave(&self, bytes: usize) {
        self.records.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Counts what waits or is under way.
#[derive(Debug)]
pub(super) struct Gate {
    bounds: QueueBounds,
    all: Inside,
    bulks: Inside,
    /// Records answered in a second, of late; 0 while nobody knows.
    pace: AtomicUsize,
    bulks_waiting: AtomicUsize,
    room: Notify,
    /// Callers that went away since the owner looked last.
    cancelled: AtomicUsize,
    /// Tells the owner that callers went away.
    pub(super) gone: Notify,
}

impl Gate {
    pub(super) fn new(bounds: QueueBounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            all: Inside::default(),
            bulks: Inside::default(),
            pace: AtomicUsize::new(0),
            bulks_waiting: AtomicUsize::new(0),
            room: Notify::new(),
            cancelled: AtomicUsize::new(0),
            gone: Notify::new(),
        })
    }

    pub(super) const fn bounds(&self) -> QueueBounds {
        self.bounds
    }

    /// Room for a record, or `None`.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize, share: Share) -> Option<Permit> {
        let half = QueueBounds { records: (self.bounds.records / 2).max(1), bytes: self.bounds.bytes / 2 };
        if share == Share::Bulk && !self.bulks.enter(bytes, half) {
            return None;
        }
        if !self.all.enter(bytes, self.bounds) {
            if share == Share::Bulk {
                self.bulks.leave(bytes);
            }
            return None;
        }
        Some(Permit { gate: Arc::clone(self), bytes, share })
    }

    /// Waits until there is room. Cancel-safe.
    pub(super) async fn wait(self: &Arc<Self>, bytes: usize, share: Share) -> Permit {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Enabled before the look, so that no room that appears in between goes unseen.
            room.as_mut().enable();
            let _waiting = Waiting::new(&self.bulks_waiting);
            if let Some(permit) = self.enter(bytes, share) {
                return permit;
            }
            room.await;
        }
    }

    /// How long the queue needs to be empty, by what is known of its pace.
    pub(super) fn drain(&self) -> Duration {
        let (records, pace) = (self.all.records.load(Ordering::Relaxed), self.pace.load(Ordering::Relaxed));
        let seconds = records.checked_div(pace).map_or(1, |seconds| seconds.clamp(1, LONGEST_DRAIN));
        Duration::from_secs(seconds as u64)
    }

    /// Records and bytes inside.
    pub(super) fn inside(&self) -> (usize, usize) {
        (self.all.records.load(Ordering::Relaxed), self.all.bytes.load(Ordering::Relaxed))
    }

    /// The owner tells its pace, in records a second.
    pub(super) fn set_pace(&self, pace: usize) {
        self.pace.store(pace, Ordering::Relaxed);
    }

    /// A caller went away.
    pub(super) fn cancel(&self) {
        self.cancelled.fetch_add(1, Ordering::Release);
        self.gone.notify_one();
    }

    /// How many callers went away since [`Gate::swept`].
    pub(super) fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The owner looked for those that went away.
    pub(super) fn swept(&self, seen: usize) {
        self.cancelled.fetch_sub(seen, Ordering::AcqRel);
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

/// Room that one record takes; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    bytes: usize,
    share: Share,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.all.leave(self.bytes);
        if self.share == Share::Bulk {
            self.gate.bulks.leave(self.bytes);
        }
        if self.gate.bulks_waiting.load(Ordering::Acquire) > 0 {
            self.gate.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: QueueBounds = QueueBounds { bytes: 100, records: 4 };

    #[test]
    fn room_ends_by_records_and_by_bytes_and_comes_back() {
        let gate = Gate::new(BOUNDS);
        let large = gate.enter(90, Share::Single).unwrap();
        assert!(gate.enter(11, Share::Single).is_none());
        let small: Vec<_> = (0..3).map(|_| gate.enter(1, Share::Single).unwrap()).collect();
        assert!(gate.enter(1, Share::Single).is_none());
        assert_eq!(gate.inside(), (4, 93));
        drop((large, small));
        assert_eq!(gate.inside(), (0, 0));
    }

    #[test]
    fn bulks_leave_half_of_the_room_to_others() {
        let gate = Gate::new(BOUNDS);
        let _first = gate.enter(1, Share::Bulk).unwrap();
        let _second = gate.enter(1, Share::Bulk).unwrap();
        assert!(gate.enter(1, Share::Bulk).is_none());
        assert!(gate.enter(1, Share::Single).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bulk_waits_until_there_is_room() {
        let gate = Gate::new(QueueBounds { bytes: 100, records: 1 });
        let first = gate.enter(1, Share::Bulk).unwrap();
        let mut waiting = std::pin::pin!(gate.wait(1, Share::Bulk));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(first);
        assert!(futures_util::poll!(waiting.as_mut()).is_ready());
    }

    #[test]
    fn the_time_to_drain_follows_the_pace() {
        let gate = Gate::new(QueueBounds { bytes: 100, records: 50 });
        assert_eq!(gate.drain(), Duration::from_secs(1));
        let _inside: Vec<_> = (0..30).map(|_| gate.enter(1, Share::Single).unwrap()).collect();
        gate.set_pace(10);
        assert_eq!(gate.drain(), Duration::from_secs(3));
    }
}
