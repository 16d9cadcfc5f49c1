//! Limits the lines about what keeps happening.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Lets one line a minute pass, for what may happen with every record, call or request. The time is an argument.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<(Option<Instant>, u64)>);

impl LogLimit {
    /// `None` where no line is due; else how many were left out since the last one.
    pub fn next(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (logged_at, others) = &mut *state;
        if logged_at.is_some_and(|at| now.saturating_duration_since(at) < LOG_INTERVAL) {
            *others += 1;
            return None;
        }
        *logged_at = Some(now);
        Some(std::mem::take(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_counts_those_that_were_not_written() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        let after = |seconds| limit.next(now + Duration::from_secs(seconds));
        assert_eq!(
            (after(0), after(1), after(59), after(60), after(61), after(120)),
            (Some(0), None, None, Some(2), None, Some(1))
        );
    }
}
