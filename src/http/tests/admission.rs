use super::*;
use http::Request;

const LOOPBACK: ConnectInfo = ConnectInfo { is_local_loopback: true, is_peer_loopback: true, peer: None };
const NETWORK: ConnectInfo = ConnectInfo { is_local_loopback: false, is_peer_loopback: false, peer: None };

fn access(origins: &str, hosts: &str) -> Access {
    let (origins, hosts) = (AllowedOrigins::parse(origins).unwrap(), AllowedHosts::parse(hosts).unwrap());
    Access { is_open: false, origins, hosts }
}

fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(target);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

/// Whether a loopback socket accepts this `Host`.
fn accepts_host(access: &Access, host: &str) -> bool {
    access.check(&head("/", &[("host", host)]), LOOPBACK, false).is_ok()
}

#[test]
fn loopback_sockets_accept_only_loopback_names() {
    let default = Access::default();
    for host in [
        "localhost",
        "LocalHost:3500",
        "localhost.",
        "localhost.:80",
        "localhost:",
        "app.localhost:3500",
        "127.0.0.1",
        "127.0.0.1:3500",
        "127.255.3.4:1",
        "[::1]",
        "[::1]:3500",
        "[0:0:0:0:0:0:0:1]:80",
        "[::ffff:127.0.0.1]:3500",
    ] {
        assert!(accepts_host(&default, host), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:3500",
        "localhost.evil.example",
        "evillocalhost",
        ".localhost",
        "localhost..",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "evil.example, localhost",
        "128.0.0.1",
        "10.0.0.5:3500",
        "0.0.0.0:3500",
        "127.1",
        "2130706433",
        "[::]:3500",
        "[::1",
        "::1",
        "[::1]evil.example",
        "[fe80::1]",
        "localhost:port",
        ":3500",
        "løcalhost",
    ] {
        assert!(!accepts_host(&default, host), "{host}");
        let refused = head("/", &[("host", host)]);
        assert_eq!(default.check(&refused, NETWORK, false), Ok(()), "{host}: other sockets are not checked");
        assert!(default.check(&refused, LOOPBACK, true).is_err(), "health routes are checked too");
    }
}

#[test]
fn a_listed_host_is_accepted_and_so_is_its_port_if_it_names_one() {
    let listed = access("", "host.docker.internal, Sidecar.Local:3500,");
    for (host, is_accepted) in [
        ("host.docker.internal", true),
        ("HOST.docker.internal.:3500", true),
        ("sidecar.local:3500", true),
        ("sidecar.local:80", false),
        ("sidecar.local", false),
        ("other.docker.internal", false),
    ] {
        assert_eq!(accepts_host(&listed, host), is_accepted, "{host}");
    }
    assert!(accepts_host(&access("", "*"), "evil.example"));
    for wrong in ["http://a", "*.a", "a b", "a/b", "::1", "a:b"] {
        assert!(AllowedHosts::parse(wrong).unwrap_err().contains("host.docker.internal"), "{wrong}");
    }
}

#[test]
fn every_host_name_of_a_request_is_checked_and_only_http_1_0_may_omit_it() {
    let default = Access::default();
    let check = |head: &Parts| default.check(head, LOOPBACK, false).is_ok();
    assert!(check(&head("http://localhost:3500/x", &[])), "an absolute target, or :authority of HTTP/2");
    assert!(!check(&head("http://evil.example/x", &[])));
    assert!(!check(&head("http://evil.example/x", &[("host", "localhost")])));
    assert!(!check(&head("http://localhost/x", &[("host", "evil.example")])));
    assert!(!check(&head("/", &[("host", "localhost"), ("host", "evil.example")])));
    let mut after_empty = head("/", &[("host", ""), ("host", "evil.example")]);
    after_empty.version = Version::HTTP_10;
    assert!(!check(&after_empty));
    for none in [&[][..], &[("host", "")]] {
        let mut nameless = head("/", none);
        assert!(!check(&nameless));
        nameless.version = Version::HTTP_10;
        assert!(check(&nameless));
    }
}

/// Whether a request with these headers is accepted.
fn accepts(access: &Access, headers: &[(&str, &str)]) -> bool {
    access.check(&head("/", headers), NETWORK, false).is_ok()
}

#[test]
fn pages_are_refused_unless_their_origin_is_listed() {
    let default = Access::default();
    let listed = access("https://Shop.example, http://localhost:80/,http://*.dev.example:8080,http://127.0.0.1:*", "");
    for (origin, is_listed) in [
        ("https://shop.example", true),
        ("https://SHOP.example:443", true),
        ("https://shop.example:8443", false),
        ("http://shop.example", false),
        ("https://shop.example.evil.example", false),
        ("http://localhost", true),
        ("http://localhost:80", true),
        ("http://localhost:443", false),
        ("http://a.b.dev.example:8080", true),
        ("http://.dev.example:8080", true),
        ("http://dev.example:8080", false),
        ("http://127.0.0.1:5173", true),
        ("null", false),
        ("", false),
        ("https://", false),
        ("shop.example", false),
        ("https://shop.example/", false),
    ] {
        assert!(!accepts(&default, &[("origin", origin)]), "{origin}");
        assert_eq!(accepts(&listed, &[("origin", origin)]), is_listed, "{origin}");
        assert!(accepts(&access("*", ""), &[("origin", origin), ("sec-fetch-site", "cross-site")]), "{origin}");
        let health = head("/", &[("origin", origin), ("sec-fetch-site", "cross-site")]);
        assert_eq!(default.check(&health, NETWORK, true), Ok(()));
    }
    let both = [("origin", "https://shop.example"), ("origin", "https://evil.example")];
    assert!(!accepts(&listed, &both) && !accepts(&listed, &[both[1], both[0]]), "each must be listed");
    for wrong in
        ["localhost:8080", "shop.example", "null", "https://shop.example/path", "https://a@b", "://x", "https://"]
            .into_iter()
            .chain(["https://*.shop.example:*", "*://*.shop.example"])
    {
        assert!(AllowedOrigins::parse(wrong).unwrap_err().contains("https://shop.example"), "{wrong}");
    }
}

#[test]
fn without_an_origin_sec_fetch_site_decides() {
    let listed = access("https://shop.example", "");
    for (site, is_accepted) in [
        ("none", true),
        ("same-origin", true),
        ("Same-Origin", true),
        ("same-site", false),
        ("cross-site", false),
        ("CROSS-SITE", false),
        ("", false),
        ("something-new", false),
    ] {
        assert_eq!(accepts(&Access::default(), &[("sec-fetch-site", site)]), is_accepted, "{site}");
        assert_eq!(accepts(&listed, &[("sec-fetch-site", site)]), is_accepted, "{site}");
        let from_shop = [("origin", "https://shop.example"), ("sec-fetch-site", site)];
        assert!(accepts(&listed, &from_shop), "{site}: the origin is known and allowed");
        let from_elsewhere = [("origin", "https://evil.example"), ("sec-fetch-site", site)];
        assert!(!accepts(&listed, &from_elsewhere), "{site}");
    }
    assert!(accepts(&Access::default(), &[]), "a program");
}

#[test]
fn refusals_say_what_to_set_and_escape_the_header() {
    for (headers, expected) in [
        (&[("host", "evil.example")][..], r#"Host "evil.example""#),
        (&[("host", "evil.example")], "--allowed-hosts"),
        (&[("host", "localhost"), ("origin", "a:\tb")], r#"origin "a:\tb""#),
        (&[("host", "localhost"), ("origin", "http://a")], "list this origin in --allowed-origins"),
        (&[("host", "localhost"), ("origin", "null")], "cannot be listed in --allowed-origins"),
        (&[("host", "localhost"), ("sec-fetch-site", "cross-site")], "--allowed-origins"),
        (&[], "no Host"),
    ] {
        let head = head("/", headers);
        let message = Access::default().check(&head, LOOPBACK, false).unwrap_err().message();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn mapped_loopback_addresses_are_loopback_and_unknown_addresses_get_the_stricter_checks() {
    for (address, is_loopback) in [
        ("127.0.0.1:1", true),
        ("127.8.0.1:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("[::ffff:10.0.0.1]:1", false),
        ("10.0.0.1:1", false),
        ("0.0.0.0:1", false),
    ] {
        let address = Some(address.parse().unwrap());
        let expected = ConnectInfo { is_local_loopback: is_loopback, is_peer_loopback: is_loopback, peer: address };
        assert_eq!(ConnectInfo::new(address, address), expected, "{address:?}");
    }
    let unknown = ConnectInfo { is_local_loopback: true, is_peer_loopback: false, peer: None };
    assert_eq!(ConnectInfo::new(None, None), unknown);
}
