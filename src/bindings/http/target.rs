//! URLs: the component's, a path below it, and where a redirect leads.

use http::Uri;

/// Appends `path` as Dapr does, with one `/` between. Characters that a URL cannot have are percent-encoded, and a fragment
/// is left out, as Go does.
pub(super) fn with_path(url: &str, path: Option<&str>) -> Result<Uri, String> {
    let whole = match path {
        Some(path) => format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/')),
        None => url.to_owned(),
    };
    parse(&whole)
}

/// # Errors
/// When it is no http or https URL.
pub(super) fn parse(text: &str) -> Result<Uri, String> {
    let uri: Uri = encoded(text).parse().map_err(|_| "this is not a URL".to_owned())?;
    // `Uri` has no port where it is no number.
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let after_host = authority.rsplit(['@', ']']).next().unwrap_or_default();
    let port = after_host.rsplit_once(':').map_or("", |(_, port)| port);
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Err("its port is not a number up to 65535".to_owned());
    }
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_http && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err("this is not an http or https URL".to_owned())
    }
}

fn encoded(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Resolves the `Location` of a redirect (RFC 3986 section 5).
pub(super) fn resolve(base: &Uri, location: &str) -> Result<Uri, String> {
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if location.contains("://") && !location.starts_with(['/', '?', '.']) {
        return parse(location);
    }
    if let Some(rest) = location.strip_prefix("//") {
        return parse(&format!("{scheme}://{rest}"));
    }
    let (path, query) = location.split_once('?').map_or((location, None), |(path, query)| (path, Some(query)));
    let path = match path {
        "" => base.path().to_owned(),
        absolute if absolute.starts_with('/') => without_dots(absolute),
        relative => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{relative}"))
        }
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    parse(&format!("{scheme}://{authority}{path}{query}"))
}

fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let ends_in_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let slash = if ends_in_folder && !parts.is_empty() { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_appended_with_one_slash() {
        for (url, path, expected) in [
            ("http://a/b", None, "http://a/b"),
            ("http://a/b/", Some("/c?d=e"), "http://a/b/c?d=e"),
            ("http://a", Some("c d/ü#part"), "http://a/c%20d/%C3%BC"),
            // The host cannot be changed by a path.
            ("http://a", Some("@b/c"), "http://a/@b/c"),
            ("http://a", Some("//b"), "http://a/b"),
        ] {
            assert_eq!(with_path(url, path).unwrap().to_string(), expected);
        }
        for url in ["a/b", "ftp://a", "http://", "", "http://a:x"] {
            assert!(with_path(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn locations_are_resolved() {
        let base = parse("https://a:1/b/c?d").unwrap();
        for (location, expected) in [
            ("http://x/y", "http://x/y"),
            ("//x/y", "https://x/y"),
            ("/y?z", "https://a:1/y?z"),
            ("y", "https://a:1/b/y"),
            ("../y/", "https://a:1/y/"),
            ("?z", "https://a:1/b/c?z"),
            ("./../../../y/.", "https://a:1/y/"),
        ] {
            assert_eq!(resolve(&base, location).unwrap().to_string(), expected, "{location}");
        }
        assert!(resolve(&base, "ftp://x").is_err());
    }
}
