//! The limit of open files, which sockets count towards. If inbound connections used all of it, bindd could open none to
//! AWS or the app.

use crate::http::{HttpSettings, MAX_SCRAPERS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for all connections. More is not requested, because the commands that bindd starts inherit the limit, and some
/// of them close every possible descriptor first.
const TARGET: u64 = 65_536;
/// Reserved for outbound connections, files and the metrics page: the limit divided by this, between the two bounds.
const RESERVED_DIVISOR: u64 = 4;
const MIN_RESERVED: u64 = 2 * MAX_SCRAPERS as u64;
const MAX_RESERVED: u64 = 2_048;
/// Inbound connections that are allowed under any limit.
const MIN_CONNECTIONS: usize = 16;

/// Raises the soft limit to the hard limit or [`TARGET`], and returns the limit that applies now; `None` is no limit. The
/// usual soft limit of 1,024 is low only for the sake of programs that use `select`.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let Some(target) = higher_limit(limit) else { return limit.current };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum: limit.maximum }) {
        Ok(()) => {
            tracing::debug!(from = limit.current, to = target, "soft limit of open files was raised");
            Some(target)
        }
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "soft limit of open files could not be raised");
            limit.current
        }
    }
}

/// The new soft limit, if the present one is lower.
fn higher_limit(limit: Rlimit) -> Option<u64> {
    let target = limit.maximum.map_or(TARGET, |maximum| maximum.min(TARGET));
    limit.current.filter(|current| *current < target).map(|_| target)
}

/// How many inbound connections of the HTTP API fit under a limit of open files; gRPC gets a quarter of that in addition,
/// as [`grpc_connections`] says. Logs a warning if that is fewer than the default.
pub(super) fn max_connections(limit: Option<u64>) -> usize {
    let default = HttpSettings::default().max_connections;
    let fitting = fitting(limit, default);
    if fitting < default {
        tracing::warn!(
            max_connections = fitting,
            open_files = limit,
            "connection limit lowered because the hard limit of open files is low; raise the hard limit (nofile)"
        );
    }
    fitting
}

/// How many inbound connections the gRPC API may have beside those of the HTTP API: few, since each carries many requests.
pub(super) fn grpc_connections(http: usize) -> usize {
    (http / 4).max(MIN_CONNECTIONS)
}

fn fitting(limit: Option<u64>, default: usize) -> usize {
    let Some(limit) = limit else { return default };
    let reserved = (limit / RESERVED_DIVISOR).clamp(MIN_RESERVED, MAX_RESERVED);
    let both = usize::try_from(limit.saturating_sub(reserved)).unwrap_or(usize::MAX);
    (both - both / 5).clamp(MIN_CONNECTIONS, default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_reserved_for_outbound_sockets() {
        for (limit, connections) in [
            (Some(0), 16),
            (Some(64), 16),
            (Some(256), 103),
            (Some(1_024), 615),
            (Some(4_096), 2_458),
            (Some(12_280), 8_186),
            (Some(12_288), 8_192),
            (Some(1 << 20), 8_192),
            (Some(u64::MAX), 8_192),
            (None, 8_192),
        ] {
            assert_eq!(fitting(limit, 8_192), connections, "{limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_as_far_as_allowed_and_useful_and_never_lowered() {
        for (current, maximum, expected) in [
            (Some(1_024), Some(4_096), Some(4_096)),
            (Some(1_024), Some(1 << 30), Some(TARGET)),
            (Some(1 << 20), Some(1 << 30), None),
            (Some(1_024), Some(1_024), None),
            (Some(1_024), None, Some(TARGET)),
            (Some(TARGET * 2), None, None),
            (None, None, None),
        ] {
            assert_eq!(higher_limit(Rlimit { current, maximum }), expected, "{current:?} {maximum:?}");
        }
    }
}
