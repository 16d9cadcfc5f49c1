//! The fields of a file that say how long and how often an output tries; the same for all kinds.

use crate::manifest::Reader;
use crate::resilience::Backoff;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long and how often an output tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trying {
    /// `requestTimeout`: bound of one invocation with all that it waits for and all its retries. Default 10 s, at most
    /// `maxRequestTimeout`.
    pub request_timeout: Duration,
    /// `maxRequestTimeout`: the most that a request may ask for by its `timeout`. Default 1 min, or `requestTimeout` if that
    /// is longer.
    pub max_request_timeout: Duration,
    /// `attemptTimeout`: bound of one call of the service. Default 5 s.
    pub attempt_timeout: Duration,
    /// `maxRetries`: 0 is none; `None`, in the file -1 and the default, is no bound but the time.
    pub max_retries: Option<u32>,
    /// `backoffInitialInterval` and `backoffMaxInterval`, which is 2 s or the first wait if that is longer.
    pub backoff: Backoff,
    /// `backoffMaxElapsedTime`: no repetition begins later; `None`, in the file 0 and the default, is no bound but the
    /// deadline.
    pub max_elapsed: Option<Duration>,
}

/// Reads the fields; what is wrong is left with the reader. `first_wait` is the kind's default for
/// `backoffInitialInterval`, at most 2 s.
pub(super) fn read(reader: &mut Reader<'_>, first_wait: Duration) -> Trying {
    let (asked, most) = (time(reader, "requestTimeout"), time(reader, "maxRequestTimeout"));
    if let (Some(asked), Some(most)) = (asked, most)
        && asked > most
    {
        reader.notice("requestTimeout", &format!("it is above `maxRequestTimeout`, so the smaller counts, {most:?}"));
    }
    let request_timeout = asked.unwrap_or(DEFAULT_REQUEST_TIMEOUT).min(most.unwrap_or(HOUR));
    let attempt_timeout = time(reader, "attemptTimeout");
    if attempt_timeout.is_some_and(|attempt| attempt > request_timeout) {
        let text = format!("it is above `requestTimeout`, so the smaller counts, {request_timeout:?}");
        reader.notice("attemptTimeout", &text);
    }
    let max_elapsed = reader.duration("backoffMaxElapsedTime", Duration::ZERO..=HOUR);
    Trying {
        request_timeout,
        max_request_timeout: most.unwrap_or_else(|| request_timeout.max(DEFAULT_MAX_REQUEST_TIMEOUT)),
        attempt_timeout: attempt_timeout.unwrap_or(DEFAULT_ATTEMPT_TIMEOUT),
        max_retries: reader.parsed("maxRetries", retries).flatten(),
        backoff: read_backoff(reader, first_wait),
        max_elapsed: max_elapsed.filter(|time| !time.is_zero()),
    }
}

fn time(reader: &mut Reader<'_>, name: &'static str) -> Option<Duration> {
    reader.duration(name, MILLISECOND..=HOUR)
}

fn retries(text: &str) -> Result<Option<u32>, (String, String)> {
    let remedy = || "write how often an attempt may be repeated: 0 for never, -1 for no limit".to_owned();
    match text.trim() {
        "-1" => Ok(None),
        count => count.parse().map(Some).map_err(|_| ("this is not a number of retries".to_owned(), remedy())),
    }
}

/// A longer first wait alone raises the default of the longest; two numbers that contradict each other are a fault.
fn read_backoff(reader: &mut Reader<'_>, first_wait: Duration) -> Backoff {
    let first = time(reader, "backoffInitialInterval").unwrap_or(first_wait);
    let cap = time(reader, "backoffMaxInterval").unwrap_or_else(|| DEFAULT_LONGEST_WAIT.max(first));
    Backoff::try_new(first, cap).unwrap_or_else(|_| {
        let remedy = "raise it, or lower `backoffInitialInterval`";
        reader.fault("backoffMaxInterval", "it is below `backoffInitialInterval`", remedy);
        Backoff::millis(50, 2_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_retry_and_retries_without_limit_have_a_number_each() {
        for (text, most) in [("-1", None), ("0", Some(0)), (" 7 ", Some(7))] {
            assert_eq!(retries(text).unwrap(), most, "{text}");
        }
        for bad in ["-2", "", "often", "1.5"] {
            assert!(retries(bad).unwrap_err().1.contains("-1 for no limit"), "{bad}");
        }
    }
}
