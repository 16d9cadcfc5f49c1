//! A small HTTP server with scripted answers, with or without TLS.

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The requests, each as head and body, and the answers that are left; the last one is repeated.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
}

pub(super) struct Server {
    pub(super) url: String,
    /// PEM text, with TLS.
    pub(super) authority: String,
    pub(super) script: Script,
}

impl Server {
    pub(super) async fn start(is_tls: bool, answers: &[(u16, &str)]) -> (Self, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.der().clone()], key.into())
            .unwrap();
        let script = Script::default();
        *script.answers.lock().unwrap() = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let (acceptor, serving) = (TlsAcceptor::from(Arc::new(tls)), script.clone());
        let task = tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if is_tls {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serving.answer(stream).await;
                    }
                } else {
                    serving.answer(stream).await;
                }
            }
        });
        let scheme = if is_tls { "https" } else { "http" };
        (Self { url: format!("{scheme}://{address}"), authority: identity.cert.pem(), script }, task)
    }
}

impl Script {
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_lowercase();
                let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                    self.requests.lock().unwrap().push(text);
                    break;
                }
            }
            let mut part = [0; 4_096];
            match stream.read(&mut part).await {
                Ok(count) if count > 0 => bytes.extend_from_slice(&part[..count]),
                Ok(_) | Err(_) => return,
            }
        }
        let (status, body) = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().cloned().unwrap() }
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let reply = Bytes::from(head + &body);
        // A client that hung up is no failure of the test.
        stream.write_all(&reply).await.unwrap_or_default();
        stream.shutdown().await.unwrap_or_default();
    }
}
