//! The audit lines about requests to manage components whose token is missing or wrong. They never show the token, nor the
//! path, which anyone may choose.

use super::admission::ConnectInfo;
use super::endpoint::{Endpoint, ROUTES};
use super::state::TOKEN_HEADER;
use crate::telemetry::LogLimit;
use http::request::Parts;
use tokio::time::Instant;

/// The target of the lines about changes too.
const TARGET: &str = "audit";

/// At most one line a minute about requests of each kind, so that a flood of one hides neither the other nor the log.
#[derive(Debug, Default)]
pub(super) struct TokenLog {
    missing: LogLimit,
    wrong: LogLimit,
}

impl TokenLog {
    /// A request was refused for its token.
    pub(super) fn refused(&self, endpoint: Endpoint, head: &Parts, info: ConnectInfo) {
        let is_missing = !head.headers.contains_key(TOKEN_HEADER);
        let (token, limit) = if is_missing { ("missing", &self.missing) } else { ("wrong", &self.wrong) };
        let Some(more) = limit.next(Instant::now()) else { return };
        let peer = info.peer().map_or_else(|| "unix socket".to_owned(), |peer| peer.to_string());
        let route = ROUTES.iter().find(|route| route.endpoint == endpoint).map_or("", |route| route.path);
        let method = head.method.as_str();
        tracing::warn!(
            target: TARGET, method, route, peer, token, more, outcome = "ERR_UNAUTHORIZED",
            "request to manage components was refused for its token"
        );
    }
}
