//! How many requests the app can take at the same time: additive increase, multiplicative decrease. Pure.
//!
//! The limit falls when the app answers 429 or 503, and when even the fastest requests of a second take much longer than
//! they did before: then requests wait inside the app. A few slow requests, such as those of one key, change nothing.

use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);
/// Fewer requests than this in a window say nothing about the latency.
const MIN_SAMPLES: u32 = 10;
/// Latency counts as high above three times the lowest seen, plus this.
const LATENCY_MARGIN: Duration = Duration::from_millis(50);
const DECREASE: f64 = 0.7;

#[derive(Debug)]
pub(super) struct AdaptiveLimit {
    max: usize,
    limit: f64,
    /// The latency without a queue. It rises by 1 % a window, since an app may have become slower for other reasons.
    baseline: Option<Duration>,
    window_begun: Instant,
    fastest: Option<Duration>,
    samples: u32,
    /// The most requests in flight in this window.
    peak: usize,
    decreased_at: Option<Instant>,
}

impl AdaptiveLimit {
    /// Begins at `max`, which is at least 1.
    pub(super) fn new(max: usize, now: Instant) -> Self {
        let max = max.max(1);
        Self {
            max,
            limit: max as f64,
            baseline: None,
            window_begun: now,
            fastest: None,
            samples: 0,
            peak: 0,
            decreased_at: None,
        }
    }

    /// From 1 to the maximum.
    pub(super) fn limit(&self) -> usize {
        (self.limit as usize).clamp(1, self.max)
    }

    /// A request began; so many are in flight now.
    pub(super) fn started(&mut self, in_flight: usize) {
        self.peak = self.peak.max(in_flight);
    }

    /// A request that began at `begun` was answered. `is_overload`: with 429 or 503.
    pub(super) fn answered(&mut self, begun: Instant, is_overload: bool, now: Instant) {
        if is_overload {
            // Requests that began before the last decrease say nothing about the new limit.
            if self.decreased_at.is_none_or(|at| begun > at) {
                self.decrease(now);
            }
            return;
        }
        let latency = now.saturating_duration_since(begun);
        self.fastest = Some(self.fastest.map_or(latency, |fastest| fastest.min(latency)));
        self.samples += 1;
        if now.saturating_duration_since(self.window_begun) >= WINDOW && self.samples >= MIN_SAMPLES {
            self.end_window(now);
        }
    }

    fn end_window(&mut self, now: Instant) {
        let Some(fastest) = self.fastest.take() else { return };
        let baseline = self.baseline.map_or(fastest, |baseline| baseline.mul_f64(1.01).min(fastest));
        self.baseline = Some(baseline);
        if fastest > baseline * 3 + LATENCY_MARGIN {
            self.decrease(now);
        } else if self.peak >= self.limit() {
            self.limit = (self.limit + (self.limit * 0.1).max(1.0)).min(self.max as f64);
        }
        (self.window_begun, self.samples, self.peak) = (now, 0, 0);
    }

    fn decrease(&mut self, now: Instant) {
        // A limit that was not reached cannot be too high by more than what was in flight.
        let reached = self.limit.min(self.peak.max(1) as f64);
        self.limit = (reached * DECREASE).max(1.0);
        self.decreased_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(limit: &mut AdaptiveLimit, from: Instant, count: u32, latency: Duration) -> Instant {
        let mut now = from;
        for _ in 0..count * 20 {
            limit.started(limit.limit());
            now += Duration::from_millis(50);
            limit.answered(now - latency, false, now);
        }
        now
    }

    #[test]
    fn an_app_that_is_steadily_slow_keeps_the_maximum() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(100, now);
        seconds(&mut limit, now, 60, Duration::from_secs(2));
        assert_eq!(limit.limit(), 100);
    }

    #[test]
    fn an_app_whose_requests_all_become_slow_gets_fewer_and_then_more_again() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(100, now);
        let now = seconds(&mut limit, now, 5, Duration::from_millis(20));
        let now = seconds(&mut limit, now, 5, Duration::from_millis(900));
        let low = limit.limit();
        assert!(low < 30, "{low}");
        seconds(&mut limit, now, 60, Duration::from_millis(20));
        assert_eq!(limit.limit(), 100);
    }

    #[test]
    fn overload_answers_lower_the_limit_once_a_round_trip_and_never_below_one() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(100, now);
        limit.started(100);
        for _ in 0..100 {
            limit.answered(now, true, now + Duration::from_millis(10));
        }
        assert_eq!(limit.limit(), 70);
        for step in 1..100 {
            let begun = now + Duration::from_secs(step);
            limit.answered(begun, true, begun + Duration::from_millis(10));
        }
        assert_eq!(limit.limit(), 1);
    }

    #[test]
    fn a_few_slow_requests_change_nothing() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(10, now);
        let mut at = now;
        for index in 0..1_000_u32 {
            at += Duration::from_millis(20);
            limit.started(10);
            let latency = if index.is_multiple_of(2) { 5 } else { 5_000 };
            limit.answered(at - Duration::from_millis(latency), false, at);
        }
        assert_eq!(limit.limit(), 10);
    }
}
