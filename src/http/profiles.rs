//! Profiles of the process, on their own port, at the paths of Go's `net/http/pprof`
//! (<https://pkg.go.dev/net/http/pprof>).

use super::admission::{Access, ConnectInfo};
use super::connection::{ConnectionSettings, Protocol, Respond};
use super::error::ApiError;
use super::listen::Listeners;
use super::read_body::UnreadBody;
use super::server::{Drained, serve_with};
use super::state::HttpSettings;
use crate::domain::Stop;
use crate::profiling::{self, CpuError};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{StatusCode, Uri};
use std::sync::Arc;
use std::time::Duration;

/// How long a profile may still be written after a stop, unless the time limit of the whole shutdown is shorter.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const MAX_CONNECTIONS: usize = 16;
/// Go's value.
const DEFAULT_SECONDS: u64 = 30;
const MAX_SECONDS: u64 = 300;
const TEXT: &str = "text/plain; charset=utf-8";
const OTHER_PROFILES: &str = "no such profile: bindd serves /debug/pprof/profile (CPU), /debug/pprof/heap and \
     /debug/pprof/cmdline; the other profiles of Go are about its runtime";
const INDEX: &str = "<!DOCTYPE html>\n<html><head><title>/debug/pprof/</title></head><body>\n\
     <h1>Profiles of bindd</h1>\n<ul>\n\
     <li><a href=\"profile?seconds=30\">profile</a>: CPU time, recorded for this many seconds (at most 300)</li>\n\
     <li><a href=\"heap\">heap</a>: live and allocated memory since the start, from samples</li>\n\
     <li><a href=\"cmdline\">cmdline</a>: the command line, its arguments separated by NUL</li>\n</ul>\n\
     <p>Read the first two with <code>go tool pprof</code>.</p>\n</body></html>\n";

/// Serves the profiles until `stop`, which also ends a recording. Web pages and host names are refused as by the API; as
/// in daprd, no token is needed.
pub async fn serve_profiles(listeners: Listeners, access: Access, stop: Stop) -> Drained {
    let max_header_bytes = HttpSettings::default().max_header_bytes;
    let settings = ConnectionSettings { max_header_bytes, max_connections: MAX_CONNECTIONS, protocol: Protocol::Http };
    let service = Profiles { access: Arc::new(access), stop: stop.clone() };
    serve_with(listeners, service, settings, stop, DRAIN_LIMIT).await
}

#[derive(Debug, Clone)]
struct Profiles {
    access: Arc<Access>,
    stop: Stop,
}

impl Respond for Profiles {
    async fn respond(&self, request: Request, info: ConnectInfo) -> Response {
        let (head, body) = request.into_parts();
        if let Err(refusal) = self.access.check(&head, info, false) {
            let message = refusal.message();
            tracing::debug!(reason = message, "request for a profile was refused");
            return ApiError::Forbidden(message.as_str().into()).into_response();
        }
        let unread = UnreadBody::new(&head, body);
        let mut response = match Wanted::of(&head.uri) {
            Ok(wanted) => self.answer(wanted).await,
            Err(refusal) => refusal.into_response(),
        };
        unread.skip(&mut response).await;
        response
    }
}

impl Profiles {
    async fn answer(&self, wanted: Wanted) -> Response {
        match wanted {
            Wanted::Index => ([(CONTENT_TYPE, "text/html; charset=utf-8"), NO_SNIFF], INDEX).into_response(),
            Wanted::Cmdline => ([(CONTENT_TYPE, TEXT), NO_SNIFF], command_line()).into_response(),
            Wanted::Cpu(time) => match self.cpu(time).await {
                Ok(profile) => file("profile", profile),
                Err(error) => failed(&error),
            },
            Wanted::Heap => match profiling::heap().await {
                Ok(profile) => file("heap", profile),
                Err(error) => failed(&error),
            },
        }
    }

    /// Dropped when the client goes, which ends the recording.
    async fn cpu(&self, time: Duration) -> Result<Vec<u8>, CpuError> {
        let recording = profiling::start_cpu().await?;
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.finishing() => {}
        }
        recording.finish().await
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Index,
    Cmdline,
    Cpu(Duration),
    Heap,
}

/// Why a request is refused, as text for the client.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str);

impl Wanted {
    /// As Go, any method, and the default for a number of seconds that is not positive.
    fn of(uri: &Uri) -> Result<Self, Refusal> {
        let query = uri.query().unwrap_or_default();
        let field = |name| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        match uri.path() {
            "/debug/pprof" | "/debug/pprof/" => Ok(Self::Index),
            "/debug/pprof/cmdline" => Ok(Self::Cmdline),
            "/debug/pprof/profile" => {
                let seconds = field("seconds").and_then(|(_, seconds)| seconds.parse().ok());
                let seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_SECONDS);
                if seconds > MAX_SECONDS {
                    return Err(Refusal(StatusCode::BAD_REQUEST, "seconds is at most 300: take several profiles"));
                }
                Ok(Self::Cpu(Duration::from_secs(seconds)))
            }
            "/debug/pprof/heap" if field("debug").is_some_and(|(_, level)| level != "0") => Err(Refusal(
                StatusCode::BAD_REQUEST,
                "the profile has no text form: leave out debug, and read it with go tool pprof",
            )),
            "/debug/pprof/heap" if field("seconds").is_some() => Err(Refusal(
                StatusCode::BAD_REQUEST,
                "the profile is since the start of the process: leave out seconds, and compare two profiles with go tool \
                 pprof -base",
            )),
            "/debug/pprof/heap" => Ok(Self::Heap),
            _ => Err(Refusal(StatusCode::NOT_FOUND, OTHER_PROFILES)),
        }
    }
}

const NO_SNIFF: (http::HeaderName, &str) = (X_CONTENT_TYPE_OPTIONS, "nosniff");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        text(self.0, self.1)
    }
}

/// Go's status.
fn failed(error: &dyn std::error::Error) -> Response {
    tracing::warn!(%error, "profile was not made");
    text(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// With `X-Go-Pprof`, `go tool pprof` prints the text.
fn text(status: StatusCode, text: impl std::fmt::Display) -> Response {
    (status, [(CONTENT_TYPE, TEXT), NO_SNIFF, (http::HeaderName::from_static("x-go-pprof"), "1")], format!("{text}\n"))
        .into_response()
}

fn file(name: &str, profile: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(CONTENT_TYPE, "application/octet-stream"), NO_SNIFF], [(CONTENT_DISPOSITION, disposition)], profile)
        .into_response()
}

/// As Go writes it.
fn command_line() -> String {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join("\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(target: &str) -> Result<Wanted, u16> {
        Wanted::of(&target.parse().unwrap()).map_err(|refusal| refusal.0.as_u16())
    }

    #[test]
    fn paths_are_those_of_go() {
        for path in ["/debug/pprof", "/debug/pprof/", "http://127.0.0.1:7777/debug/pprof/"] {
            assert_eq!(wanted(path), Ok(Wanted::Index), "{path}");
        }
        assert_eq!(wanted("/debug/pprof/cmdline"), Ok(Wanted::Cmdline));
        assert_eq!(wanted("/debug/pprof/heap?gc=1&debug=0"), Ok(Wanted::Heap));
        for path in ["/debug/pprof/heap?debug=1", "/debug/pprof/heap?seconds=5"] {
            assert_eq!(wanted(path), Err(400), "{path}");
        }
        for path in ["/", "/debug/pprof/goroutine", "/debug/pprof/trace?seconds=1", "/debug/pprof/profile/", "/debug"] {
            assert_eq!(wanted(path), Err(404), "{path}");
        }
    }

    #[test]
    fn the_time_of_a_profile_is_bounded() {
        let cpu = |seconds| Ok(Wanted::Cpu(Duration::from_secs(seconds)));
        for (query, expected) in [
            ("", cpu(30)),
            ("?seconds=1", cpu(1)),
            ("?debug=1&seconds=300", cpu(300)),
            ("?seconds=301", Err(400)),
            ("?seconds=18446744073709551615", Err(400)),
            ("?seconds=0", cpu(30)),
            ("?seconds=-1", cpu(30)),
            ("?seconds=many", cpu(30)),
            ("?seconds", cpu(30)),
            ("?second=5", cpu(30)),
        ] {
            assert_eq!(wanted(&format!("/debug/pprof/profile{query}")), expected, "{query}");
        }
    }
}
