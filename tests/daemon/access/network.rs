//! Proxies, FIPS and dual-stack endpoints.

use super::fake_aws::FakeAws;
use super::program::Program;

const KEYS: [(&str, &str); 2] = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];

fn program(more: &[(&str, &str)]) -> Program {
    Program::new(&KEYS.iter().chain(more).copied().collect::<Vec<_>>())
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used_except_for_no_proxy() {
    // A host name that does not resolve: only a proxy can reach it.
    const ENDPOINT: &str = "http://kinesis.example:4567";
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = FakeAws::start().await;
        let proxied =
            program(&[("endpoint", ENDPOINT)]).with(variable, &proxy.url()).with("NO_PROXY", "kinesis.example:80");
        assert_eq!(proxied.probe().await.0, 0, "{variable}");
        assert!(proxy.calls("DescribeStreamSummary")[0].is_proxied, "{variable}: {:?}", proxy.seen());
    }
    for list in
        ["*", "example", ".example", "*.example", "KINESIS.example:4567", "a.b, kinesis.example", "a.b kinesis.example"]
    {
        let proxy = FakeAws::start().await;
        // DNS may be slow to report that there is no such host.
        let items = [("endpoint", ENDPOINT), ("connectTimeout", "300ms")];
        let direct = program(&items).with("HTTP_PROXY", &proxy.url()).with("NO_PROXY", list);
        let (code, report) = direct.probe().await;
        assert!(unreachable(code, &report).contains("the endpoint could not be reached"), "{report:#}");
        assert!(proxy.seen().is_empty(), "{list}: {:?}", proxy.seen());
    }
}

#[tokio::test]
async fn loopback_is_never_proxied_wherever_the_endpoint_is_set() {
    let fake_aws = FakeAws::start().await;
    let nowhere = "http://127.0.0.1:1";
    let direct = |program: Program| program.with("HTTP_PROXY", nowhere).with("ALL_PROXY", nowhere);
    let hosts = ["127.0.0.1", "localhost", "LocalHost", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"];
    let mut programs: Vec<(String, Program)> = hosts
        .iter()
        .map(|host| ((*host).to_owned(), program(&[("endpoint", &format!("http://{host}:{}", fake_aws.port()))])))
        .collect();
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"] {
        programs.push((variable.to_owned(), program(&[]).with(variable, &fake_aws.url())));
    }
    let of_profile = format!("[default]\nendpoint_url = {}\n", fake_aws.url());
    programs.push(("endpoint_url".to_owned(), program(&[]).file(".aws/config", &of_profile)));
    let of_services =
        format!("[default]\nservices = local\n[services local]\nkinesis =\n  endpoint_url = {}\n", fake_aws.url());
    programs.push(("services".to_owned(), program(&[]).file(".aws/config", &of_services)));
    for (source, program) in programs {
        let before = fake_aws.calls("DescribeStreamSummary").len();
        let (code, report) = direct(program).probe().await;
        assert_eq!(code, 0, "{source}: {report:#}");
        assert!(fake_aws.calls("DescribeStreamSummary").len() > before, "{source}: {report:#}");
    }
    assert!(fake_aws.seen().iter().all(|seen| !seen.is_proxied));
}

#[tokio::test]
async fn sts_and_leases_on_loopback_are_not_proxied_either() {
    let (proxy, fake_aws, leases) = (FakeAws::start().await, FakeAws::start().await, FakeAws::start().await);
    let (url, lease_url) = (fake_aws.url(), leases.url());
    let items = [
        ("endpoint", "http://kinesis.example:4567"),
        ("stsEndpoint", url.as_str()),
        ("leaseEndpoint", lease_url.as_str()),
        ("assumeRoleArn", "arn:aws:iam::123456789012:role/writer"),
        ("direction", "input"),
    ];
    let (code, report) = program(&items).with("HTTP_PROXY", &proxy.url()).probe().await;
    assert_eq!(code, 0, "{report:#}");
    assert!(
        proxy.seen().iter().all(|seen| seen.is_proxied) && !proxy.calls("ListShards").is_empty(),
        "{:?}",
        proxy.seen()
    );
    assert!(!fake_aws.calls("AssumeRole").is_empty() && fake_aws.seen().iter().all(|seen| !seen.is_proxied));
    assert!(!leases.calls("DescribeTable").is_empty() && leases.seen().iter().all(|seen| !seen.is_proxied));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named() {
    let proxied = program(&[("endpoint", "http://kinesis.example:4567")]);
    let (code, report) = proxied.with("ALL_PROXY", "socks5://user:topsecret@127.0.0.1:1").probe().await;
    let text = report.to_string();
    assert!(code == 1 && text.contains("ALL_PROXY is not the URL of an http or https proxy"), "{text}");
    assert!(!text.contains("topsecret"), "{text}");
    let rejecting = tunnels::RejectingProxy::start().await;
    let (_, report) = program(&[]).with("HTTPS_PROXY", &rejecting.url()).probe().await;
    assert!(report.to_string().contains("the proxy did not let the call through"), "{report:#}");
}

/// The first hint of a report, whose component could not be reached.
fn unreachable(code: i32, report: &serde_json::Value) -> String {
    let finding = &report["access"][0]["findings"][0];
    assert_eq!((code, finding["result"].as_str()), (1, Some("unreachable")), "{report:#}");
    finding["hint"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_unreachable_endpoint_is_reported_with_cause_and_remedy() {
    let (fake_aws, untrusted) = (FakeAws::start().await, tunnels::untrusted_server().await);
    let plain = format!("https://127.0.0.1:{}", fake_aws.port());
    for (endpoint, cause, remedy) in [
        ("http://127.0.0.1:1", "refused", "nothing listens there"),
        (untrusted.as_str(), "UnknownIssuer", "`caBundle`"),
        (plain.as_str(), "InvalidContentType", "`http` or `https`"),
    ] {
        let (code, report) = program(&[("endpoint", endpoint)]).probe().await;
        let hint = unreachable(code, &report);
        assert!(hint.contains(cause) && hint.contains(remedy), "{endpoint}: {hint}");
    }
}

/// A proxy for HTTPS gets the host name in its CONNECT request, so the test needs no DNS.
#[tokio::test]
async fn hosts_follow_region_fips_and_dual_stack_and_https_goes_through_its_proxy() {
    for (items, host) in [
        (&[][..], "kinesis.eu-central-1.amazonaws.com:443"),
        (&[("useFips", "true")], "kinesis-fips.eu-central-1.amazonaws.com:443"),
        (&[("useDualStack", "true")], "kinesis.eu-central-1.api.aws:443"),
        (&[("useFips", "true"), ("useDualStack", "true")], "kinesis-fips.eu-central-1.api.aws:443"),
        (&[("region", "cn-north-1")], "kinesis.cn-north-1.amazonaws.com.cn:443"),
    ] {
        let proxy = tunnels::RejectingProxy::start().await;
        let (code, report) = program(items).with("HTTPS_PROXY", &proxy.url()).probe().await;
        let targets = proxy.targets();
        assert!(
            code == 1 && targets.iter().all(|target| target == host) && !targets.is_empty(),
            "{host}: {targets:?}\n{report:#}"
        );
    }
}

#[tokio::test]
async fn sts_follows_the_region_and_not_the_endpoint() {
    let (proxy, fake_aws) = (tunnels::RejectingProxy::start().await, FakeAws::start().await);
    let items =
        [("endpoint", fake_aws.url()), ("assumeRoleArn", "arn:aws-cn:iam::123456789012:role/writer".to_owned())];
    let items: Vec<_> = items.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let items: Vec<_> = items.into_iter().chain([("region", "cn-north-1")]).collect();
    let (code, report) = program(&items).with("HTTPS_PROXY", &proxy.url()).probe().await;
    assert_eq!(code, 1, "{report:#}");
    assert!(
        proxy.targets().iter().all(|target| target == "sts.cn-north-1.amazonaws.com.cn:443"),
        "{:?}",
        proxy.targets()
    );
    assert!(!proxy.targets().is_empty() && fake_aws.seen().is_empty());
}

mod tunnels {
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

    /// A proxy that rejects every CONNECT request and records its target.
    pub(super) struct RejectingProxy {
        port: u16,
        targets: Arc<Mutex<Vec<String>>>,
        server: JoinHandle<()>,
    }

    impl Drop for RejectingProxy {
        fn drop(&mut self) {
            self.server.abort();
        }
    }

    /// The URL of a server with a self-signed certificate.
    pub(super) async fn untrusted_server() -> String {
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let chain = vec![identity.cert.der().clone()];
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key.into()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a server of this test; ends with its runtime")]
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            while let Ok((socket, _)) = listener.accept().await {
                // The client aborts the handshake.
                drop(acceptor.accept(socket).await);
            }
        });
        url
    }

    impl RejectingProxy {
        pub(super) async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let targets = Arc::new(Mutex::new(Vec::new()));
            let recorded = Arc::clone(&targets);
            #[expect(clippy::disallowed_methods, reason = "a server of this test; aborted with it")]
            let server = tokio::spawn(async move {
                while let Ok((mut socket, _)) = listener.accept().await {
                    let mut head = vec![0; 4096];
                    let length = socket.read(&mut head).await.unwrap_or_default();
                    let text = String::from_utf8_lossy(&head[..length]).into_owned();
                    let mut words = text.split_whitespace();
                    if words.next() == Some("CONNECT") {
                        recorded.lock().unwrap().extend(words.next().map(str::to_owned));
                    }
                    drop(socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await);
                }
            });
            Self { port, targets, server }
        }

        pub(super) fn url(&self) -> String {
            format!("http://127.0.0.1:{}", self.port)
        }

        pub(super) fn targets(&self) -> Vec<String> {
            self.targets.lock().unwrap().clone()
        }
    }
}
