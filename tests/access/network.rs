//! Ways to AWS: proxies, FIPS, dual stack.

use crate::cloud::Cloud;
use crate::program::Bench;

const KEYS: [(&str, &str); 2] = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];

fn bench(more: &[(&str, &str)]) -> Bench {
    Bench::new(&KEYS.iter().chain(more).copied().collect::<Vec<_>>())
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used_except_where_it_says_not() {
    let (proxy, cloud) = (Cloud::start().await, Cloud::start().await);
    // Not a loopback address by its looks, yet it leads to this machine and needs no name service.
    let endpoint = format!("http://0.0.0.0:{}", cloud.port());
    let proxied = bench(&[("endpoint", &endpoint)]).with("HTTP_PROXY", &proxy.url());
    assert_eq!(proxied.probe().await.0, 0);
    assert!(proxy.calls("DescribeStreamSummary")[0].is_proxied, "{:?}", proxy.seen());
    assert!(cloud.seen().is_empty());
    let direct = bench(&[("endpoint", &endpoint)]).with("HTTP_PROXY", &proxy.url()).with("NO_PROXY", "0.0.0.0");
    assert_eq!(direct.probe().await.0, 0);
    assert!(!cloud.calls("DescribeStreamSummary")[0].is_proxied);
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
        let asked = proxy.asked();
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
    assert!(proxy.asked().iter().all(|asked| asked == "sts.cn-north-1.amazonaws.com.cn:443"), "{:?}", proxy.asked());
    assert!(!proxy.asked().is_empty() && cloud.seen().is_empty());
}

mod tunnels {
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

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

        pub(super) fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }
    }
}
