use super::*;
use proptest::prelude::*;

struct Variables(Vec<(&'static str, String)>);

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

fn proxies(variables: &[(&'static str, &str)]) -> Proxies {
    Proxies::from_environment(&Variables(variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()))
}

fn route(no_proxy: &str, url: &str) -> Route {
    let proxies = proxies(&[("ALL_PROXY", "http://proxy:3128"), ("NO_PROXY", no_proxy)]);
    proxies.route(&url.parse().unwrap())
}

#[test]
fn this_machine_and_its_link_are_never_behind_a_proxy() {
    for host in [
        "localhost",
        "localhost.",
        "LOCALHOST:4566",
        "kinesis.localhost:4566",
        "localhost.localstack.cloud:4566",
        "kinesis.eu-central-1.localhost.localstack.cloud:4566",
        "127.0.0.1:4566",
        "127.8.8.8",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]:4566",
        "[::]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fe80::1]",
    ] {
        for scheme in ["http", "https"] {
            assert_eq!(route("", &format!("{scheme}://{host}/")), Route::Direct, "{scheme}://{host}");
        }
    }
}

#[test]
fn every_other_host_is_behind_the_proxy() {
    for host in [
        "kinesis.eu-central-1.amazonaws.com",
        "localhost.example",
        "notlocalhost",
        "localstack.cloud",
        "128.0.0.1",
        "10.0.0.1",
        "[fd00:ec2::1]",
        "127.0.0.1.nip.io",
        "256.1",
    ] {
        assert_eq!(route("", &format!("https://{host}/")), Route::HttpsProxy, "{host}");
        assert_eq!(route("", &format!("http://{host}/")), Route::HttpProxy, "{host}");
    }
}

#[test]
fn no_proxy_is_read_as_curl_and_go_read_it() {
    let aws = "https://kinesis.eu-central-1.amazonaws.com/";
    for (list, url, is_direct) in [
        ("*", aws, true),
        ("*", "http://10.1.2.3:8000", true),
        ("amazonaws.com", aws, true),
        (".amazonaws.com", aws, true),
        ("*.amazonaws.com", aws, true),
        ("AmazonAWS.com", aws, true),
        ("amazonaws.com.", aws, true),
        ("a.example, amazonaws.com", aws, true),
        ("a.example amazonaws.com", aws, true),
        ("a.example,,amazonaws.com,", aws, true),
        ("aws.com", aws, false),
        ("kinesis", aws, false),
        ("example", aws, false),
        ("com", aws, true),
        ("kinesis.eu-central-1.amazonaws.com", aws, true),
        ("kinesis.eu-central-1.amazonaws.com:443", aws, true),
        ("amazonaws.com:8443", aws, false),
        ("amazonaws.com:8443", "https://kinesis.amazonaws.com:8443", true),
        ("emulator:4566", "http://emulator:4566", true),
        ("emulator:80", "http://emulator", true),
        ("10.0.0.0/8", "http://10.1.2.3:8000", true),
        ("10.0.0.0/8", "http://11.1.2.3:8000", false),
        ("10.0.0.0/33", "http://10.1.2.3:8000", false),
        ("0.0.0.0/0", "http://11.1.2.3", true),
        ("10.1.2.3", "http://10.1.2.3:8000", true),
        ("10.1.2.3:8000", "http://10.1.2.3:8000", true),
        ("10.1.2.3:8001", "http://10.1.2.3:8000", false),
        ("10.1.2.30", "http://10.1.2.3:8000", false),
        ("10.1.2.3", "http://[::ffff:10.1.2.3]", true),
        ("2001:db8::1", "http://[2001:db8::1]:8000", true),
        ("[2001:db8::1]", "http://[2001:db8::1]:8000", true),
        ("[2001:db8::1]:8000", "http://[2001:db8::1]:8000", true),
        ("[2001:db8::1]:8001", "http://[2001:db8::1]:8000", false),
        ("2001:db8::/32", "http://[2001:db8:7::1]", true),
        ("2001:db8::/32", "http://10.1.2.3", false),
        ("", aws, false),
        (" , ", aws, false),
        (".", aws, false),
    ] {
        assert_eq!(route(list, url) == Route::Direct, is_direct, "NO_PROXY={list:?} {url}");
    }
}

#[test]
fn upper_case_variables_win_unless_they_are_empty() {
    let found = proxies(&[("HTTP_PROXY", ""), ("http_proxy", "lower:1"), ("HTTPS_PROXY", "https://upper:2 ")]);
    assert_eq!(found.http, Some(Proxy { variable: "http_proxy", url: "http://lower:1".to_owned() }));
    assert_eq!(found.https, Some(Proxy { variable: "HTTPS_PROXY", url: "https://upper:2".to_owned() }));
    let all = proxies(&[("all_proxy", "http://all:3"), ("HTTP_PROXY", "http://own:4"), ("no_proxy", "example")]);
    assert_eq!(all.https.as_ref().unwrap().variable, "all_proxy");
    assert_eq!(all.http.as_ref().unwrap().url, "http://own:4");
    assert_eq!(all.route(&"https://a.example".parse().unwrap()), Route::Direct);
    assert!(proxies(&[("NO_PROXY", "example")]).is_empty());
    let only_http = proxies(&[("HTTP_PROXY", "http://own:4")]);
    assert_eq!(only_http.route(&"https://a.example".parse().unwrap()), Route::Direct);
}

#[test]
fn a_password_in_a_proxy_is_not_printed() {
    let found = proxies(&[("HTTPS_PROXY", "http://user:topsecret@proxy:3128")]);
    assert!(!format!("{found:?}").contains("topsecret"));
}

proptest! {
    #[test]
    fn any_list_can_be_read(list in ".{0,60}", host in "[a-z0-9.]{1,20}") {
        if let Ok(url) = format!("http://{host}/").parse::<Uri>() {
            let proxies = proxies(&[("HTTP_PROXY", "http://proxy:3128"), ("NO_PROXY", &list)]);
            let everything = list.split([',', ' ']).any(|entry| entry == "*");
            prop_assert!(!everything || proxies.route(&url) == Route::Direct);
        }
    }

    #[test]
    fn a_legacy_spelling_is_the_address_that_it_spells(bits: u32) {
        let address = Ipv4Addr::from(bits);
        let [a, b, c, d] = address.octets();
        let (low, lower) = (bits & 0x00ff_ffff, bits & 0xffff);
        for text in [format!("{bits}"), format!("{bits:#x}"), format!("{a}.{low}"), format!("{a}.{b}.{lower}"),
                     format!("{a:#x}.{b}.0{c:o}.{d}")] {
            prop_assert_eq!(legacy_address(&text), Some(address), "{}", text);
        }
    }
}
