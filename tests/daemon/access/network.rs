//! Ways to AWS: proxies, FIPS, dual stack.

use super::cloud::Cloud;
use super::program::Bench;

const KEYS: [(&str, &str); 2] = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];

fn bench(more: &[(&str, &str)]) -> Bench {
    Bench::new(&KEYS.iter().chain(more).copied().collect::<Vec<_>>())
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used_except_where_it_says_not() {
    // A name that no name service has: only a proxy can serve it.
    const ENDPOINT: &str = "http://kinesis.example:4567";
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Cloud::start().await;
        let proxied =
            bench(&[("endpoint", ENDPOINT)]).with(variable, &proxy.url()).with("NO_PROXY", "kinesis.example:80");
        assert_eq!(proxied.probe().await.0, 0, "{variable}");
        assert!(proxy.calls("DescribeStreamSummary")[0].is_proxied, "{variable}: {:?}", proxy.seen());
    }
    for list in
        ["*", "example", ".example", "*.example", "KINESIS.example:4567", "a.b, kinesis.example", "a.b kinesis.example"]
    {
        let proxy = Cloud::start().await;
        // The name service may be slow to say that there is no such host.
        let items = [("endpoint", ENDPOINT), ("connectTimeout", "300ms")];
        let direct = bench(&items).with("HTTP_PROXY", &proxy.url()).with("NO_PROXY", list);
        let (code, report) = direct.probe().await;
        assert!(unreachable(code, &report).contains("the endpoint could not be reached"), "{report:#}");
        assert!(proxy.seen().is_empty(), "{list}: {:?}", proxy.seen());
    }
}

#[tokio::test]
async fn loopback_is_never_proxied_whichever_way_the_address_came() {
    let cloud = Cloud::start().await;
    let nowhere = "http://127.0.0.1:1";
    let direct = |bench: Bench| bench.with("HTTP_PROXY", nowhere).with("ALL_PROXY", nowhere);
    let hosts = ["127.0.0.1", "localhost", "LocalHost", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"];
    let mut benches: Vec<(String, Bench)> = hosts
        .iter()
        .map(|host| ((*host).to_owned(), bench(&[("endpoint", &format!("http://{host}:{}", cloud.port()))])))
        .collect();
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"] {
        benches.push((variable.to_owned(), bench(&[]).with(variable, &cloud.url())));
    }
    let of_profile = format!("[default]\nendpoint_url = {}\n", cloud.url());
    benches.push(("endpoint_url".to_owned(), bench(&[]).file(".aws/config", &of_profile)));
    let of_services =
        format!("[default]\nservices = local\n[services local]\nkinesis =\n  endpoint_url = {}\n", cloud.url());
    benches.push(("services".to_owned(), bench(&[]).file(".aws/config", &of_services)));
    for (way, bench) in benches {
        let before = cloud.calls("DescribeStreamSummary").len();
        let (code, report) = direct(bench).probe().await;
        assert_eq!(code, 0, "{way}: {report:#}");
        assert!(cloud.calls("DescribeStreamSummary").len() > before, "{way}: {report:#}");
    }
    assert!(cloud.seen().iter().all(|seen| !seen.is_proxied));
}

#[tokio::test]
async fn sts_and_leases_on_loopback_are_not_proxied_either() {
    let (proxy, cloud, leases) = (Cloud::start().await, Cloud::start().await, Cloud::start().await);
    let (url, lease_url) = (cloud.url(), leases.url());
    let items = [
        ("endpoint", "http://kinesis.example:4567"),
        ("stsEndpoint", url.as_str()),
        ("leaseEndpoint", lease_url.as_str()),
        ("assumeRoleArn", "arn:aws:iam::123456789012:role/writer"),
        ("direction", "input"),
    ];
    let (code, report) = bench(&items).with("HTTP_PROXY", &proxy.url()).probe().await;
    assert_eq!(code, 0, "{report:#}");
    assert!(
        proxy.seen().iter().all(|seen| seen.is_proxied) && !proxy.calls("ListShards").is_empty(),
        "{:?}",
        proxy.seen()
    );
    assert!(!cloud.calls("AssumeRole").is_empty() && cloud.seen().iter().all(|seen| !seen.is_proxied));
    assert!(!leases.calls("DescribeTable").is_empty() && leases.seen().iter().all(|seen| !seen.is_proxied));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named() {
    let proxied = bench(&[("endpoint", "http://kinesis.example:4567")]);
    let (code, report) = proxied.with("ALL_PROXY", "socks5://user:topsecret@127.0.0.1:1").probe().await;
    let text = report.to_string();
    assert!(code == 1 && text.contains("ALL_PROXY is not the URL of an http or https proxy"), "{text}");
    assert!(!text.contains("topsecret"), "{text}");
    let refusing = tunnels::Refusing::start().await;
    let (_, report) = bench(&[]).with("HTTPS_PROXY", &refusing.url()).probe().await;
    assert!(report.to_string().contains("the proxy did not let the call through"), "{report:#}");
}

/// The first hint of a report, whose component could not be reached.
fn unreachable(code: i32, report: &serde_json::Value) -> String {
    let finding = &report["access"][0]["findings"][0];
    assert_eq!((code, finding["result"].as_str()), (1, Some("unreachable")), "{report:#}");
    finding["hint"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_with_its_cause_and_what_to_do() {
    let (cloud, stranger) = (Cloud::start().await, tunnels::stranger().await);
    let plain = format!("https://127.0.0.1:{}", cloud.port());
    for (endpoint, cause, remedy) in [
        ("http://127.0.0.1:1", "refused", "nothing listens there"),
        (stranger.as_str(), "UnknownIssuer", "`caBundle`"),
        (plain.as_str(), "InvalidContentType", "`http` or `https`"),
    ] {
        let (code, report) = bench(&[("endpoint", endpoint)]).probe().await;
        let hint = unreachable(code, &report);
        assert!(hint.contains(cause) && hint.contains(remedy), "{endpoint}: {hint}");
    }
}

/// Over HTTPS a proxy is asked for a tunnel, and so tells the name that would be called, without any name service.
#[tokio::test]
async fn hosts_follow_region_fips_and_dual_stack_and_https_goes_through_its_proxy() {
    for (items, host) in [
        (&[][..], "kinesis.eu-central-1.amazonaws.com:443"),
        (&[("useFips", "true")], "kinesis-fips.eu-central-1.amazonaws.com:443"),
        (&[("useDualStack", "true")], "kinesis.eu-central-1.api.aws:443"),
        (&[("useFips", "true"), ("useDualStack", "true")], "kinesis-fips.eu-central-1.api.aws:443"),
        (&[("region", "cn-north-1")], "kinesis.cn-north-1.amazonaws.com.cn:443"),
    ] {
        let proxy = tunnels::Refusing::start().await;
        let (code, report) = bench(items).with("HTTPS_PROXY", &proxy.url()).probe().await;
        let asked = proxy.finishing();
        assert!(
            code == 1 && asked.iter().all(|asked| asked == host) && !asked.is_empty(),
            "{host}: {asked:?}\n{report:#}"
        );
    }
}

#[tokio::test]
async fn sts_follows_the_region_and_not_the_endpoint() {
    let (proxy, cloud) = (tunnels::Refusing::start().await, Cloud::start().await);
    let items = [("endpoint", cloud.url()), ("assumeRoleArn", "arn:aws-cn:iam::123456789012:role/writer".to_owned())];
    let items: Vec<_> = items.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let items: Vec<_> = items.into_iter().chain([("region", "cn-north-1")]).collect();
    let (code, report) = bench(&items).with("HTTPS_PROXY", &proxy.url()).probe().await;
    assert_eq!(code, 1, "{report:#}");
    assert!(
        proxy.finishing().iter().all(|asked| asked == "sts.cn-north-1.amazonaws.com.cn:443"),
        "{:?}",
        proxy.finishing()
    );
    assert!(!proxy.finishing().is_empty() && cloud.seen().is_empty());
}

mod tunnels {
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

    /// A proxy that opens no tunnel, but remembers where to.
    pub(super) struct Refusing {
        port: u16,
        asked: Arc<Mutex<Vec<String>>>,
        server: JoinHandle<()>,
    }

    impl Drop for Refusing {
        fn drop(&mut self) {
            self.server.abort();
        }
    }

    /// The URL of a server with a certificate that no one knows.
    pub(super) async fn stranger() -> String {
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let chain = vec![identity.cert.der().clone()];
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key.into()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a test's own server; ends with its runtime")]
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            while let Ok((socket, _)) = listener.accept().await {
                // The client breaks the handshake off.
                drop(acceptor.accept(socket).await);
            }
        });
        url
    }

    impl Refusing {
        pub(super) async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let asked = Arc::new(Mutex::new(Vec::new()));
            let told = Arc::clone(&asked);
            #[expect(clippy::disallowed_methods, reason = "a test's own server; aborted with it")]
            let server = tokio::spawn(async move {
                while let Ok((mut socket, _)) = listener.accept().await {
                    let mut head = vec![0; 4096];
                    let length = socket.read(&mut head).await.unwrap_or_default();
                    let text = String::from_utf8_lossy(&head[..length]).into_owned();
                    let mut words = text.split_whitespace();
                    if words.next() == Some("CONNECT") {
                        told.lock().unwrap().extend(words.next().map(str::to_owned));
                    }
                    drop(socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await);
                }
            });
            Self { port, asked, server }
        }

        pub(super) fn url(&self) -> String {
            format!("http://127.0.0.1:{}", self.port)
        }

        pub(super) fn finishing(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }
    }
}
