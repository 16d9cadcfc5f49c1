//! The channel over TLS (`--app-protocol https`).

use super::super::HttpProtocol;
use super::{AppChannel, AppSettings, deliver, read_request, settings};
use crate::domain::{DeliveryError, Stop, cause_line};
use crate::tasks::Supervisor;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

struct App {
    port: u16,
    /// The number of the connection, the first line and the body of each request.
    seen: UnboundedReceiver<(usize, String, Vec<u8>)>,
    _tasks: Supervisor<()>,
}

/// An app with a self-signed certificate, for a name that is not its address.
async fn app(versions: &[&'static rustls::SupportedProtocolVersion]) -> App {
    let identity = rcgen::generate_simple_self_signed(vec!["another.example".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![identity.cert.der().clone()], key.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen_by, seen) = unbounded_channel();
    let mut tasks = Supervisor::new();
    tasks.spawn("app", async move {
        let mut connections = Supervisor::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, seen_by) = (acceptor.clone(), seen_by.clone());
            connections.spawn("connection", async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while let Some((head, body)) = read_request(&mut stream).await {
                    seen_by.send((number, head.lines().next().unwrap().to_owned(), body)).unwrap();
                    stream.write_all(ANSWER).await.unwrap();
                }
            });
        }
    });
    App { port, seen, _tasks: tasks }
}

fn channel(port: u16) -> AppChannel {
    AppChannel::new(&AppSettings { protocol: HttpProtocol::Https, ..settings(port) }).unwrap()
}

#[tokio::test]
async fn events_are_delivered_over_one_connection_whatever_the_certificate() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut app = app(&[version]).await;
        let channel = channel(app.port);
        for data in ["a", "b"] {
            deliver(&channel, data).await.unwrap();
            let expected = (0, "POST /orders HTTP/1.1".to_owned(), data.as_bytes().to_vec());
            assert_eq!(app.seen.recv().await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn the_app_is_up_once_it_completes_a_handshake() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = channel(silent.local_addr().unwrap().port()).port();
    let stop = Stop::new();
    let waiting = tokio::time::timeout(Duration::from_millis(150), port.wait_until_up(&stop)).await;
    assert!(waiting.is_err(), "a port that accepts is not enough");
    let app = app(rustls::ALL_VERSIONS).await;
    assert!(channel(app.port).port().wait_until_up(&stop).await);
}

#[tokio::test]
async fn an_app_without_tls_is_described() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = channel(listener.local_addr().unwrap().port());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(deliver(&channel, "a"), serve);
    let error = answer.unwrap_err();
    assert!(matches!(error, DeliveryError::Unreachable { .. }), "{error:?}");
    assert!(cause_line(&error).contains("set --app-protocol to http"), "{}", cause_line(&error));
}
