//! Reads the responses of the app: pure functions from the head and the first bytes to waits and texts for the log.

use super::connection::{InvalidResponse, MAX_EXCERPT};
use http::header::{CONTENT_ENCODING, DATE, LOCATION, RETRY_AFTER};
use http::response::Parts;
use http::{HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// A longer `Retry-After` is reduced to this, because the app may recover earlier.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Text that has this many successive bytes in common with the record counts as a quote of it.
const MIN_QUOTE: usize = 8;
const LARGE_RECORD: usize = 64 << 10;

/// The same for `Location`.
const MAX_LOCATION: usize = 200;

/// A response of the app: its head and, of a refusal, the first bytes of its body. Of a success whose body is read, all.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) head: Parts,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// `Retry-After` as a wait, capped. A date is relative to the `Date` of the response, so that the clocks need not agree.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        #[expect(clippy::disallowed_methods, reason = "without `Date`, a date is relative to the local clock")]
        retry_after(&self.head.headers, SystemTime::now)
    }

    /// The target of a redirect and what to do about it, as one line.
    pub(super) fn location(&self, route: &str, authority: &str) -> Option<String> {
        let location = self.head.headers.get(LOCATION).filter(|_| self.head.status.is_redirection())?;
        let location = String::from_utf8_lossy(location.as_bytes());
        let shown = one_line(&location, MAX_LOCATION);
        Some(match suggested_route(&location, route, authority) {
            Some(path) => format!("{shown}; redirects are not followed, set `route` to {path} if records belong there"),
            None => format!("{shown}; redirects are not followed"),
        })
    }

    /// The start of the body as one line, up to the place where it quotes what was `sent`. `None` if it is not text.
    pub(super) fn excerpt(&self, sent: &[&[u8]]) -> Option<String> {
        if self.is_plain() { excerpt(&self.body, sent) } else { None }
    }

    /// Whether the body has no content coding.
    pub(super) fn is_plain(&self) -> bool {
        self.head.headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity")
    }
}

/// Describes what the peer sent instead of a response. Its first line is shown if it is text, up to the place where it
/// quotes what was `sent`. An echo of the whole request is not shown, because its headers contain the API token.
pub(super) fn describe(response: InvalidResponse, sent: &[&[u8]]) -> String {
    let prefix = match response {
        InvalidResponse::Known(text) => return text,
        InvalidResponse::Unknown(prefix) => prefix,
    };
    if prefix.starts_with(b"POST ") || prefix.starts_with(b"OPTIONS ") {
        return "it repeats the request".to_owned();
    }
    let end = prefix.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(prefix.len());
    match excerpt(prefix.get(..end).unwrap_or_default(), sent) {
        Some(line) => format!("it begins with `{line}`"),
        None => "it is not text, or repeats the record".to_owned(),
    }
}

fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = seconds(text).or_else(|| {
        let at = httpdate::parse_http_date(text).ok()?;
        let sent = headers.get(DATE).and_then(date).unwrap_or_else(now);
        // A date in the past is no wait at all.
        Some(at.duration_since(sent).unwrap_or_default())
    })?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Seconds, also with a fraction, which HTTP does not allow but some frameworks send.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_number)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RETRY_AFTER))
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

/// The path of a `Location` on the app itself, if it differs from the route. One with a query is not suggested.
fn suggested_route<'a>(location: &'a str, route: &str, authority: &str) -> Option<&'a str> {
    let path = match location.split_at_checked("http://".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            let (host, path) = rest.split_at(rest.find('/')?);
            host.eq_ignore_ascii_case(authority).then_some(path)?
        }
        _ => location,
    };
    let is_path = path.starts_with('/') && !path.starts_with("//") && path.len() <= MAX_LOCATION;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    (is_path && is_plain && path != route).then_some(path)
}

fn excerpt(answer: &[u8], sent: &[&[u8]]) -> Option<String> {
    let answer = answer.get(..MAX_EXCERPT).unwrap_or(answer);
    let unquoted = answer.get(..quoted_from(answer, sent)).unwrap_or(answer);
    let text = match str::from_utf8(unquoted) {
        Ok(text) => text,
        // The last character may be incomplete.
        Err(error) if error.error_len().is_none() => str::from_utf8(unquoted.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let end = if unquoted.len() < answer.len() { "…" } else { "" };
    let line = one_line(text, MAX_EXCERPT);
    (!line.is_empty() && !text.contains('\0')).then(|| line + end)
}

/// Where `answer` starts to quote what was `sent`, else its length. Logs must not show records, but frameworks often quote
/// what they refuse.
fn quoted_from(answer: &[u8], sent: &[&[u8]]) -> usize {
    // The windows of the answer with their first places, by the size of the windows.
    let mut by_size: HashMap<usize, HashMap<&[u8], usize>> = HashMap::new();
    // In much data, every eighth place is enough to find quotes of twice the size, and takes less time.
    let is_large = sent.iter().map(|part| part.len()).sum::<usize>() > LARGE_RECORD;
    let mut first = answer.len();
    for part in sent {
        let size = MIN_QUOTE.min(part.len());
        if size < 2 {
            continue;
        }
        let places = by_size.entry(size).or_insert_with(|| {
            let mut places = HashMap::new();
            for (place, window) in answer.windows(size).enumerate() {
                places.entry(window).or_insert(place);
            }
            places
        });
        let step = if is_large { size } else { 1 };
        let quotes = part.windows(size).step_by(step).filter_map(|window| places.get(window)).copied();
        first = first.min(quotes.min().unwrap_or(first));
    }
    first
}

/// The text as one line of about `max` bytes: runs of white space become one space, other control characters are escaped.
fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars().take(max.saturating_sub(line.len())) {
            match c {
                '"' | '\'' | '\\' => line.push(c),
                _ => line.extend(c.escape_debug()),
            }
        }
        if line.len() >= max {
            break;
        }
    }
    line
}

#[cfg(test)]
#[path = "tests/answer.rs"]
mod tests;
