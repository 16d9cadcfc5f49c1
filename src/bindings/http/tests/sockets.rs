//! TLS, proxies and redirects over sockets.

use super::*;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use rcgen::CertifiedKey;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Identity = CertifiedKey<rcgen::KeyPair>;

/// Answers one request for each connection.
struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    /// Where a proxy opens its tunnels to.
    behind: Option<SocketAddr>,
    requests: Mutex<Vec<String>>,
    /// Status lines, with further header lines.
    answers: Mutex<VecDeque<String>>,
}

impl Server {
    async fn start(tls: Option<ServerConfig>, answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let answers = Mutex::new(answers.iter().map(|answer| (*answer).to_owned()).collect());
        Self { listener, tls, behind: None, requests: Mutex::default(), answers }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    async fn run(&self) {
        loop {
            let (stream, _) = self.listener.accept().await.unwrap();
            match &self.tls {
                None => self.answer(stream).await,
                // A handshake that fails is the client's to report.
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => self.answer(stream).await,
                    Err(_) => continue,
                },
            }
        }
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = Vec::new();
        let head_end = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let is_complete = |bytes: &[u8]| {
            let Some(end) = head_end(bytes) else { return false };
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            bytes.len() >= end + 4 + length.unwrap_or(0)
        };
        while !is_complete(&bytes) {
            if stream.read_buf(&mut bytes).await.unwrap_or_default() == 0 {
                return;
            }
        }
        let request = String::from_utf8(bytes).unwrap();
        let is_tunnel = request.starts_with("CONNECT ");
        self.requests.lock().unwrap().push(request);
        if let Some(behind) = self.behind.filter(|_| is_tunnel) {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut target = TcpStream::connect(behind).await.unwrap();
            copy_bidirectional(&mut stream, &mut target).await.map(drop).unwrap_or_default();
            return;
        }
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or_else(|| "200 OK".to_owned());
        let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap_or_default();
    }
}

fn identity(name: &str) -> Identity {
    rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap()
}

/// `client`: whose certificate it requires.
fn server_config(own: &Identity, client: Option<&Identity>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    builder.with_single_cert(vec![own.cert.der().clone()], key.into()).unwrap()
}

fn client(tls: &TlsSpec, proxies: &[(&'static str, String)]) -> Client {
    let environment: HashMap<&str, &str> = proxies.iter().map(|(name, url)| (*name, url.as_str())).collect();
    let proxies = Arc::new(Proxies::from_environment(&environment));
    let limits = Limits { max_connections: 2, max_response: 1_000 };
    Client::new(trust::config(tls).unwrap(), proxies, limits, Some(HeaderName::from_static("x-token")))
}

fn trusting(identity: &Identity) -> TlsSpec {
    TlsSpec { root_ca: Some(identity.cert.pem().into()), ..TlsSpec::default() }
}

fn post(url: &str) -> Outgoing {
    let names = [AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("x-token")];
    let headers: HeaderMap = names.into_iter().map(|name| (name, HeaderValue::from_static("v"))).collect();
    Outgoing { method: Method::POST, url: url.parse().unwrap(), headers, body: Bytes::from_static(b"data") }
}

/// Sends a request while the servers run.
async fn send(client: &Client, url: &str, servers: &[&Server]) -> Result<Response<Bytes>, BindingError> {
    let running = futures_util::future::join_all(servers.iter().map(|server| server.run()));
    tokio::select! {
        result = client.send(post(url)) => result,
        _ = running => panic!("servers run forever"),
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_own_authority_only() {
    let own = identity("127.0.0.1");
    let server = Server::start(Some(server_config(&own, None)), &[]).await;
    let url = format!("https://{}/a", server.address());
    let response = send(&client(&trusting(&own), &[]), &url, &[&server]).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(server.requests()[0].ends_with("\r\n\r\ndata"));
    for tls in [TlsSpec::default(), trusting(&identity("127.0.0.1"))] {
        let error = send(&client(&tls, &[]), &url, &[&server]).await.unwrap_err();
        assert!(error.to_string().contains("nothing was sent"), "{error}");
        assert_eq!((error.outcome(), server.requests().len()), (Outcome::NotDone, 0));
    }
    let other = identity("shop.example");
    let server = Server::start(Some(server_config(&other, None)), &[]).await;
    let url = format!("https://{}/a", server.address());
    let error = send(&client(&trusting(&other), &[]), &url, &[&server]).await.unwrap_err();
    assert!(error.to_string().contains("nothing was sent"), "the certificate is of another host: {error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_requires_one() {
    let (own, user) = (identity("127.0.0.1"), identity("shop"));
    let server = Server::start(Some(server_config(&own, Some(&user))), &[]).await;
    let url = format!("https://{}/a", server.address());
    let tls = TlsSpec {
        client_cert: Some(user.cert.pem().into()),
        client_key: Some(user.signing_key.serialize_pem().into()),
        ..trusting(&own)
    };
    assert_eq!(send(&client(&tls, &[]), &url, &[&server]).await.unwrap().status(), 200);
    let error = send(&client(&trusting(&own), &[]), &url, &[&server]).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (FailureKind::Transient, 1), "{error}");
}

#[tokio::test]
async fn a_proxy_gets_whole_urls_and_its_password() {
    let proxy = Server::start(None, &[]).await;
    let variable = ("HTTP_PROXY", format!("http://user:pass%21@{}", proxy.address()));
    let client = client(&TlsSpec::default(), &[variable]);
    assert_eq!(send(&client, "http://shop.example/a?b", &[&proxy]).await.unwrap().status(), 200);
    let request = proxy.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("post http://shop.example/a?b http/1.1\r\n"), "{request}");
    // user:pass!
    assert!(request.contains("proxy-authorization: basic dxnlcjpwyxnziq==\r\n"), "{request}");
}

#[tokio::test]
async fn tls_goes_through_a_tunnel_whose_proxy_sees_no_request() {
    let own = identity("shop.example");
    let server = Server::start(Some(server_config(&own, None)), &[]).await;
    let mut proxy = Server::start(None, &[]).await;
    proxy.behind = Some(server.address());
    let variable = ("HTTPS_PROXY", format!("http://user:pass%21@{}", proxy.address()));
    let client = client(&trusting(&own), &[variable]);
    assert_eq!(send(&client, "https://shop.example/a", &[&server, &proxy]).await.unwrap().status(), 200);
    let tunnel = proxy.requests().remove(0);
    assert!(tunnel.starts_with("CONNECT shop.example:443 HTTP/1.1\r\n"), "{tunnel}");
    assert!(tunnel.contains("Basic dXNlcjpwYXNzIQ==") && !tunnel.contains("x-token"), "{tunnel}");
    let request = server.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("post /a http/1.1\r\n") && !request.contains("proxy-authorization"), "{request}");
}

#[tokio::test]
async fn redirects_are_followed_and_secrets_stay_with_their_host() {
    let answers = ["307 X\r\nlocation: /b", "302 X\r\nlocation: c", "200 OK"];
    let server = Server::start(None, &answers).await;
    let client = client(&TlsSpec::default(), &[]);
    send(&client, &format!("http://{}/a", server.address()), &[&server]).await.unwrap();
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(lines, ["POST /a HTTP/1.1", "POST /b HTTP/1.1", "GET /c HTTP/1.1"]);
    assert!(requests[1].ends_with("\r\n\r\ndata") && requests[2].ends_with("\r\n\r\n"), "{requests:?}");
    assert!(requests.iter().all(|request| request.contains("x-token: v")), "{requests:?}");
    let other = Server::start(None, &["200 OK"]).await;
    let location = format!("307 X\r\nlocation: http://localhost:{}/x", other.address().port());
    let server = Server::start(None, &[&location]).await;
    send(&client, &format!("http://{}/a", server.address()), &[&server, &other]).await.unwrap();
    let request = other.requests().remove(0);
    assert!(request.starts_with("POST /x") && request.ends_with("\r\n\r\ndata"), "{request}");
    assert!(!request.contains("x-token") && !request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn redirects_without_an_end_and_to_other_schemes_are_errors() {
    let endless = ["302 X\r\nlocation: /a"; 20];
    for (answers, made) in [(&endless[..], MAX_REDIRECTS + 1), (&["302 X\r\nlocation: file:///etc/passwd"][..], 1)] {
        let server = Server::start(None, answers).await;
        let url = format!("http://{}/a", server.address());
        let error = send(&client(&TlsSpec::default(), &[]), &url, &[&server]).await.unwrap_err();
        assert!(error.to_string().contains("redirect cannot be followed"), "{error}");
        assert_eq!((error.outcome(), server.requests().len()), (Outcome::Unknown, made));
    }
}
