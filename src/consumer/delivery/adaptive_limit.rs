//! How many requests the app can take at the same time: additive increase, multiplicative decrease. Pure.
//!
//! The limit falls when the app answers 429 or 503, and when even the fastest requests of a second take much longer than
//! they did before: then requests may wait inside the app. If fewer requests turn out not to be faster, the app has become
//! slower for another reason, and the limit rises back at once. A few slow requests, such as those of one key, change
//! nothing.

use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);
/// Fewer requests than this in a window say nothing about the latency.
const MIN_SAMPLES: u32 = 10;
/// Latency counts as high above three times the lowest seen, plus this.
const LATENCY_MARGIN: Duration = Duration::from_millis(50);
const DECREASE: f64 = 0.7;
/// In an app with a queue the latency falls as much as the requests do. Less than this is no effect.
const EFFECT: f64 = 0.85;

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
    trial: Option<Trial>,
}

/// A decrease because of the latency, whose effect is not known yet.
#[derive(Debug, Clone, Copy)]
struct Trial {
    limit_before: f64,
    latency_before: Duration,
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
            trial: None,
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
        // Requests that began before the last decrease say nothing about the new limit.
        if self.decreased_at.is_some_and(|at| begun <= at) {
            return;
        }
        if is_overload {
            self.trial = None;
            return self.decrease(now);
        }
        let latency = now.saturating_duration_since(begun);
        self.fastest = Some(self.fastest.map_or(latency, |fastest| fastest.min(latency)));
        self.samples += 1;
        if now.saturating_duration_since(self.window_begun) >= WINDOW && self.samples >= MIN_SAMPLES {
            self.end_window(now);
        }
    }

    fn end_window(&mut self, now: Instant) {
        let Some(fastest) = self.fastest else { return };
        let baseline = self.baseline.map_or(fastest, |baseline| baseline.mul_f64(1.01).min(fastest));
        self.baseline = Some(baseline);
        let trial = self.trial.take();
        match trial.filter(|trial| fastest > trial.latency_before.mul_f64(EFFECT)) {
            Some(trial) => {
                self.baseline = Some(fastest);
                self.limit = trial.limit_before;
            }
            None if fastest > baseline * 3 + LATENCY_MARGIN => {
                let trial = Trial { limit_before: self.limit, latency_before: fastest };
                self.decrease(now);
                self.trial = Some(trial);
            }
            None if self.peak >= self.limit() => {
                self.limit = (self.limit + (self.limit * 0.1).max(1.0)).min(self.max as f64);
            }
            None => {}
        }
        self.begin_window(now);
    }

    fn begin_window(&mut self, now: Instant) {
        (self.window_begun, self.fastest, self.samples, self.peak) = (now, None, 0, 0);
    }

    fn decrease(&mut self, now: Instant) {
        // A limit that was not reached cannot be too high by more than what was in flight.
        let reached = self.limit.min(self.peak.max(1) as f64);
        self.limit = (reached * DECREASE).max(1.0);
        self.decreased_at = Some(now);
        self.begin_window(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An app under as much load as the limit allows; `latency` of a number of requests in flight.
    fn seconds(limit: &mut AdaptiveLimit, from: Instant, count: u32, latency: impl Fn(usize) -> Duration) -> Instant {
        let mut now = from;
        for _ in 0..count * 20 {
            limit.started(limit.limit());
            now += Duration::from_millis(50);
            limit.answered(now - latency(limit.limit()), false, now);
        }
        now
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn an_app_that_is_steadily_slow_keeps_the_maximum() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(100, now);
        seconds(&mut limit, now, 60, |_| millis(2_000));
        assert_eq!(limit.limit(), 100);
    }

    #[test]
    fn an_app_in_which_requests_wait_for_each_other_gets_fewer_and_then_more_again() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(100, now);
        let now = seconds(&mut limit, now, 5, |_| millis(20));
        // It handles one request after the other, each in 20 ms.
        let now = seconds(&mut limit, now, 60, |in_flight| millis(20) * u32::try_from(in_flight).unwrap());
        let low = limit.limit();
        assert!((1..10).contains(&low), "{low}");
        seconds(&mut limit, now, 60, |_| millis(20));
        assert_eq!(limit.limit(), 100);
    }

    #[test]
    fn an_app_that_becomes_slow_for_another_reason_keeps_the_maximum() {
        for slow in [200, 900, 5_000, 60_000] {
            let now = Instant::now();
            let mut limit = AdaptiveLimit::new(100, now);
            let now = seconds(&mut limit, now, 5, |_| millis(20));
            let now = seconds(&mut limit, now, 5 + slow / 1_000 * 3, |_| millis(slow.into()));
            assert_eq!(limit.limit(), 100, "{slow} ms");
            let now = seconds(&mut limit, now, 20, |_| millis(20));
            seconds(&mut limit, now, 5 + slow / 1_000 * 3, |_| millis(slow.into()));
            assert_eq!(limit.limit(), 100, "{slow} ms");
        }
    }

    #[test]
    fn overload_answers_keep_the_limit_low_whatever_the_latency() {
        let now = Instant::now();
        let mut limit = AdaptiveLimit::new(100, now);
        let mut now = seconds(&mut limit, now, 5, |_| millis(20));
        for _ in 0..20 {
            now = seconds(&mut limit, now, 1, |_| millis(900));
            limit.answered(now, true, now + millis(10));
            now += millis(20);
        }
        assert!(limit.limit() < 20, "{}", limit.limit());
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
