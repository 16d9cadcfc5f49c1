//! Paths on the app, and percent-encoding for paths and headers.

use crate::domain::ComponentName;
use std::fmt::{self, Write};
use std::sync::Arc;

/// The path to which an input is delivered: `/<name>`, or the component's `route`, with a leading slash and, as in Dapr,
/// without empty, `.` or `..` segments. Unlike in Dapr, a trailing slash stays, because in many frameworks `/orders` and
/// `/orders/` are two routes, and one redirects to the other. A query is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route(Arc<str>);

impl Route {
    /// The path for a component. An empty `route` counts as none.
    #[must_use]
    pub fn new(route: Option<&str>, name: &ComponentName) -> Self {
        Self(clean(route.filter(|text| !text.is_empty()).unwrap_or(name.as_str())).into())
    }

    /// Any path of the app.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        Self(clean(path).into())
    }

    /// The path of the request line: visible ASCII that starts with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn clean(text: &str) -> String {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let mut cleaned = String::from("/");
    escape_path_into(&mut cleaned, &segments.join("/"));
    if path.ends_with('/') && !segments.is_empty() {
        cleaned.push('/');
    }
    if let Some(query) = query {
        cleaned.push('?');
        escape_path_into(&mut cleaned, query);
    }
    cleaned
}

/// Keeps the characters of a path or query and percent escapes; escapes a `%` that does not begin an escape.
fn escape_path_into(target: &mut String, text: &str) {
    for (number, part) in text.split('%').enumerate() {
        if number > 0 {
            let is_escape = part.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
            target.push_str(if is_escape { "%" } else { "%25" });
        }
        escape_into(target, part, |byte| is_plain(byte) || b"/!$&'()*+,;=:@?".contains(&byte));
    }
}

/// Percent-encodes everything except letters, digits and `-._~`, so that any text is valid in a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
            // Plain characters are ASCII, so `at` is where a character begins.
            let (plain, other) = rest.split_at(at);
            let length = other.chars().next().map_or(1, char::len_utf8);
            f.write_str(plain)?;
            let (escaped, after) = other.split_at(length);
            escaped.bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
            rest = after;
        }
        f.write_str(rest)
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn escape_into(target: &mut String, text: &str, keep: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if keep(byte) {
            target.push(char::from(byte));
        } else if write!(target, "%{byte:02X}").is_err() {
            // Writing to a `String` never fails.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: Option<&str>) -> String {
        Route::new(text, &"orders".parse().unwrap()).to_string()
    }

    #[test]
    fn without_a_route_the_name_is_the_path() {
        assert_eq!((route(None), route(Some(""))), ("/orders".to_owned(), "/orders".to_owned()));
    }

    #[test]
    fn routes_are_cleaned() {
        for (given, cleaned) in [
            ("events/new", "/events/new"),
            ("/orders/", "/orders/"),
            ("orders/", "/orders/"),
            ("/a//b/./c/", "/a/b/c/"),
            ("/a//", "/a/"),
            ("/a/.", "/a"),
            ("/a/b/../", "/a/"),
            ("/a/../", "/"),
            ("/a/../../b", "/b"),
            ("/", "/"),
            ("//", "/"),
            ("/100%/50%2", "/100%25/50%252"),
            ("/a%2Fb%2f/%zz%ä", "/a%2Fb%2f/%25zz%25%C3%A4"),
            ("/a%20b/ä c", "/a%20b/%C3%A4%20c"),
            ("/in?kind=a b#c", "/in?kind=a%20b%23c"),
            ("/a\r\nb", "/a%0D%0Ab"),
        ] {
            assert_eq!(route(Some(given)), cleaned);
        }
    }

    #[test]
    fn any_text_becomes_valid_in_a_header() {
        assert_eq!(Escaped("kunde 7/ü\n%").to_string(), "kunde%207%2F%C3%BC%0A%25");
        assert_eq!((Escaped("").to_string(), Escaped("a-b_c.d~").to_string()), (String::new(), "a-b_c.d~".to_owned()));
    }
}
