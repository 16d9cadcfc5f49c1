//! How many files, and so sockets, the process may have open. Where connections of callers took all of them, bindd could
//! open none to AWS, the lease table or the app.

use crate::http::{HttpSettings, MAX_SCRAPERS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for all connections. More is not requested, even where the hard limit is a billion: commands that bindd starts
/// inherit the limit, and some close every possible descriptor first.
const ENOUGH: u64 = 65_536;
/// Files that are kept for ourselves and the metrics page: one part in so many, within bounds.
const KEPT_PART: u64 = 4;
const MIN_KEPT: u64 = 2 * MAX_SCRAPERS as u64;
const MAX_KEPT: u64 = 2_048;
/// Fewer connections than this are of no use.
const MIN_CONNECTIONS: usize = 16;

/// Raises the soft limit as far as the hard one and our need allow, and returns the limit that holds now; `None` is no
/// limit. The usual soft limit of 1,024 is meant for programs that use `select`.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = wanted(limit) else { return limit.current };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
        Ok(()) => {
            tracing::debug!(from = limit.current, to = wanted, "soft limit of open files was raised");
            Some(wanted)
        }
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "soft limit of open files could not be raised");
            limit.current
        }
    }
}

/// What the soft limit should be, if it is less.
fn wanted(limit: Rlimit) -> Option<u64> {
    let wanted = limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    limit.current.filter(|current| *current < wanted).map(|_| wanted)
}

/// How many connections of callers fit under a limit of open files; logs when that is fewer than usual.
pub(super) fn max_connections(limit: Option<u64>) -> usize {
    let usual = HttpSettings::default().max_connections;
    let fitting = fitting(limit, usual);
    if fitting < usual {
        tracing::warn!(
            max_connections = fitting,
            open_files = limit,
            "fewer connections are served because the hard limit of open files (nofile) is low: raise it for more"
        );
    }
    fitting
}

fn fitting(limit: Option<u64>, usual: usize) -> usize {
    let Some(limit) = limit else { return usual };
    let kept = (limit / KEPT_PART).clamp(MIN_KEPT, MAX_KEPT);
    usize::try_from(limit.saturating_sub(kept)).unwrap_or(usize::MAX).clamp(MIN_CONNECTIONS, usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_our_own_sockets() {
        for (limit, connections) in [
            (Some(0), 16),
            (Some(64), 16),
            (Some(256), 128),
            (Some(1_024), 768),
            (Some(4_096), 3_072),
            (Some(10_239), 8_191),
            (Some(10_240), 8_192),
            (Some(1 << 20), 8_192),
            (Some(u64::MAX), 8_192),
            (None, 8_192),
        ] {
            assert_eq!(fitting(limit, 8_192), connections, "{limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_goes_up_as_far_as_allowed_and_useful_and_never_down() {
        for (current, maximum, expected) in [
            (Some(1_024), Some(4_096), Some(4_096)),
            (Some(1_024), Some(1 << 30), Some(ENOUGH)),
            (Some(1 << 20), Some(1 << 30), None),
            (Some(1_024), Some(1_024), None),
            (Some(1_024), None, Some(ENOUGH)),
            (Some(ENOUGH * 2), None, None),
            (None, None, None),
        ] {
            assert_eq!(wanted(Rlimit { current, maximum }), expected, "{current:?} {maximum:?}");
        }
    }
}
