//! Follows redirects as Go's client does.

use super::request::Outgoing;
use super::target;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, LOCATION,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};

/// As in Go.
pub(super) const MAX_REDIRECTS: usize = 10;

/// The request after a redirect; `None` if the response is not one. `secret` is the header with the security token.
///
/// # Errors
/// When the target is no http or https URL.
pub(super) fn next(
    sent: &Outgoing,
    status: StatusCode,
    response: &HeaderMap,
    secret: Option<&HeaderName>,
) -> Result<Option<Outgoing>, String> {
    let keeps_request = match status.as_u16() {
        301..=303 => false,
        307 | 308 => true,
        _ => return Ok(None),
    };
    let Some(location) = response.get(LOCATION).filter(|location| !location.is_empty()) else { return Ok(None) };
    let url = target::resolve(&sent.url, &String::from_utf8_lossy(location.as_bytes()))?;
    let mut request = Outgoing { url, ..sent.clone() };
    if !keeps_request {
        if request.method != Method::HEAD {
            request.method = Method::GET;
        }
        request.body = Bytes::new();
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
            request.headers.remove(name);
        }
    }
    if !may_have_secrets(&sent.url, &request.url) {
        [AUTHORIZATION, COOKIE].into_iter().chain(secret.cloned()).for_each(|name| {
            request.headers.remove(name);
        });
    }
    Ok(Some(request))
}

/// Whether the target is the same host or below it, and not less protected.
fn may_have_secrets(from: &Uri, to: &Uri) -> bool {
    let host = |url: &Uri| url.host().unwrap_or_default().to_ascii_lowercase();
    let (source, target) = (host(from), host(to));
    let is_below = target.strip_suffix(&source).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    is_below && (from.scheme_str() != Some("https") || to.scheme_str() == Some("https"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn sent(method: Method) -> Outgoing {
        let url = "https://shop.example/a".parse().unwrap();
        let names = [AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("x-token")];
        let headers = names.into_iter().map(|name| (name, HeaderValue::from_static("v"))).collect();
        Outgoing { method, url, headers, body: Bytes::from_static(b"data") }
    }

    fn redirected(method: Method, status: u16, location: &str) -> Option<Outgoing> {
        let response = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(location).unwrap())]);
        let secret = HeaderName::from_static("x-token");
        next(&sent(method), StatusCode::from_u16(status).unwrap(), &response, Some(&secret)).unwrap()
    }

    #[test]
    fn the_status_decides_whether_method_and_body_are_kept() {
        for (method, status, expected, body) in [
            (Method::POST, 302, Method::GET, ""),
            (Method::PUT, 303, Method::GET, ""),
            (Method::HEAD, 301, Method::HEAD, ""),
            (Method::POST, 307, Method::POST, "data"),
            (Method::PATCH, 308, Method::PATCH, "data"),
        ] {
            let request = redirected(method.clone(), status, "/b").unwrap();
            assert_eq!((&request.method, request.body.as_ref()), (&expected, body.as_bytes()), "{method} {status}");
            assert_eq!(request.headers.contains_key(CONTENT_TYPE), !body.is_empty());
        }
        assert!(redirected(Method::GET, 304, "/b").is_none());
        assert!(next(&sent(Method::GET), StatusCode::FOUND, &HeaderMap::new(), None).unwrap().is_none());
    }

    #[test]
    fn secrets_are_sent_only_to_the_same_host_or_below_it() {
        for (location, kept) in [
            ("/b", true),
            ("https://SHOP.example:8443/", true),
            ("https://eu.shop.example/", true),
            ("https://example/", false),
            ("https://othershop.example/", false),
            ("http://shop.example/", false),
        ] {
            let request = redirected(Method::GET, 302, location).unwrap();
            let has = |name: &str| request.headers.contains_key(name);
            assert_eq!((has("authorization"), has("x-token")), (kept, kept), "{location}");
        }
    }
}
