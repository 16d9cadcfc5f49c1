//! Reads the responses of the app: pure functions from the head and the first bytes to waits and texts for the log.

use super::connection::{InvalidResponse, MAX_EXCERPT};
use http::header::{CONTENT_ENCODING, DATE, LOCATION, RETRY_AFTER};
use http::response::Parts;
use http::{HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// A longer `Retry-After` is reduced to this, because the app may recover earlier.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Text that has this many successive bytes in common with the record, or with its Base64, counts as a quote of it. Letters
/// are compared without case.
pub(super) const MIN_QUOTE: usize = 8;
const LARGE_RECORD: usize = 64 << 10;
/// If more was sent, no text is shown: to look for quotes would take too long.
const MAX_COMPARED: usize = 1 << 20;

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
    ///
    /// Its query is not shown, nor what follows a quote of what was `sent`.
    pub(super) fn location(&self, route: &str, authority: &str, sent: &[&[u8]]) -> Option<String> {
        let location = self.head.headers.get(LOCATION).filter(|_| self.head.status.is_redirection())?;
        let location = String::from_utf8_lossy(location.as_bytes());
        let shown = shown_location(&location, sent);
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
        InvalidResponse::Head(text) | InvalidResponse::Known(text) => return text,
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

fn shown_location(location: &str, sent: &[&[u8]]) -> String {
    let path = location.find(['?', '#']).map_or(location, |end| &location[..end]);
    let quoted = quoted_from(path.as_bytes(), sent);
    let shown = path.get(..quoted).unwrap_or_default();
    let end = if shown.len() < location.len() { "…" } else { "" };
    one_line(shown, MAX_LOCATION) + end
}

/// The start of a text as one line, up to the place where it quotes what was `sent`. `None` if it is not text.
pub(super) fn excerpt(answer: &[u8], sent: &[&[u8]]) -> Option<String> {
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
    let size: usize = sent.iter().map(|part| part.len()).sum();
    if size > MAX_COMPARED {
        return 0;
    }
    let answer = answer.to_ascii_lowercase();
    // In much data, every eighth place is enough to find quotes of twice the size, and takes less time.
    let step = if size > LARGE_RECORD { MIN_QUOTE } else { 1 };
    let mut places = Windows::new(&answer);
    let mut first = answer.len();
    for part in sent {
        // As much of the Base64 as an excerpt can show.
        let encoded = base64_simd::STANDARD.encode_to_string(part.get(..MAX_EXCERPT).unwrap_or(part));
        for form in [part.to_ascii_lowercase(), encoded.to_ascii_lowercase().into_bytes()] {
            first = first.min(places.first_of(&form, step).unwrap_or(first));
        }
    }
    first
}

/// The windows of a text with their first places, by the size of the windows.
struct Windows<'t> {
    text: &'t [u8],
    by_size: HashMap<usize, HashMap<&'t [u8], usize>>,
}

impl<'t> Windows<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, by_size: HashMap::new() }
    }

    /// The first place of the text where a window of `part` occurs, of which each `step`th is looked up. A part of one byte
    /// occurs nowhere.
    fn first_of(&mut self, part: &[u8], step: usize) -> Option<usize> {
        let size = MIN_QUOTE.min(part.len());
        if size < 2 {
            return None;
        }
        let text = self.text;
        let places = self.by_size.entry(size).or_insert_with(|| {
            let mut places = HashMap::new();
            for (place, window) in text.windows(size).enumerate() {
                places.entry(window).or_insert(place);
            }
            places
        });
        part.windows(size).step_by(step).filter_map(|window| places.get(window)).copied().min()
    }
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
