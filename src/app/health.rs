//! Whether the app is healthy, from the results of its checks: pure state.

/// The app counts as unhealthy until its first successful check, as in daprd.
#[derive(Debug)]
pub(super) struct Health {
    /// Failed checks since the last success, at most the threshold.
    failures: u32,
    threshold: u32,
}

/// The check that made the app healthy or unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    ToHealthy,
    ToUnhealthy,
}

impl Health {
    /// `threshold`: failed checks in a row after which a healthy app is unhealthy; 0 counts as 1.
    pub(super) fn new(threshold: u32) -> Self {
        let threshold = threshold.max(1);
        Self { failures: threshold, threshold }
    }

    pub(super) const fn is_healthy(&self) -> bool {
        self.failures < self.threshold
    }

    /// daprd does not forget failures after a success, unless the app was unhealthy; here, as its documentation says, only
    /// failures in a row count.
    pub(super) fn record(&mut self, is_success: bool) -> Option<Transition> {
        let was_healthy = self.is_healthy();
        self.failures = if is_success { 0 } else { self.failures.saturating_add(1).min(self.threshold) };
        match (was_healthy, self.is_healthy()) {
            (false, true) => Some(Transition::ToHealthy),
            (true, false) => Some(Transition::ToUnhealthy),
            (true, true) | (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_success_makes_the_app_healthy() {
        let mut health = Health::new(3);
        assert!(!health.is_healthy());
        assert_eq!(health.record(false), None);
        assert_eq!(health.record(true), Some(Transition::ToHealthy));
        assert_eq!(health.record(true), None);
    }

    #[test]
    fn only_failures_in_a_row_make_the_app_unhealthy() {
        let mut health = Health::new(3);
        health.record(true);
        for result in [false, false, true, false, false] {
            assert_eq!(health.record(result), None);
        }
        assert_eq!(health.record(false), Some(Transition::ToUnhealthy));
        assert_eq!(health.record(false), None);
        assert_eq!(health.record(true), Some(Transition::ToHealthy));
    }

    proptest! {
        #[test]
        fn the_state_follows_from_the_last_results(threshold in 0_u32..5, results: Vec<bool>) {
            let (mut health, mut is_healthy) = (Health::new(threshold), false);
            for (index, result) in results.iter().enumerate() {
                let transition = health.record(*result);
                let failed = results[..=index].iter().rev().take_while(|result| !**result).count();
                let expected = *result || (is_healthy && failed < threshold.max(1) as usize);
                prop_assert_eq!(health.is_healthy(), expected);
                prop_assert_eq!(transition.is_some(), expected != is_healthy);
                is_healthy = expected;
            }
        }
    }
}
