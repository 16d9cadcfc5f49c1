//! Opens connections: direct, to a proxy, or through one.

use super::request::basic_authorization;
use super::target;
use crate::aws::{Proxies, ProxyRoute};
use crate::domain::BoxError;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower::Service;

/// Dapr's limit for a connection, and the same again for the handshake of TLS.
const TCP_LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    proxies: Arc<Proxies>,
}

impl Connector {
    pub(super) fn new(tls: ClientConfig, proxies: Arc<Proxies>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(TCP_LIMIT));
        let dialer = Dialer { tcp, proxies: Arc::clone(&proxies) };
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(dialer);
        Self { https, proxies }
    }

    /// The header that a proxy needs with each request which it passes on itself.
    pub(super) fn proxy_authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let proxy = self.proxies.http.as_ref().filter(|_| self.proxies.route(url) == ProxyRoute::HttpProxy)?;
        basic_authorization(&target::parse(&proxy.url).ok()?)
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = self.https.call(url);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("not connected within {CONNECT_LIMIT:?}").into()),
            }
        })
    }
}

/// Opens the TCP connection.
#[derive(Debug, Clone)]
struct Dialer {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Service<Uri> for Dialer {
    type Response = Stream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Stream, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (mut tcp, proxies) = (self.tcp.clone(), Arc::clone(&self.proxies));
        Box::pin(async move {
            let (io, is_proxied) = match proxies.route(&url) {
                ProxyRoute::Direct => (tcp.call(url).await?, false),
                ProxyRoute::HttpProxy => (tcp.call(proxy_url(proxies.http.as_ref())?).await?, true),
                ProxyRoute::HttpsProxy => {
                    let proxy = proxy_url(proxies.https.as_ref())?;
                    let authorization = basic_authorization(&proxy);
                    let tunnel = Tunnel::new(proxy, tcp);
                    let mut tunnel = match authorization {
                        Some(authorization) => tunnel.with_auth(authorization),
                        None => tunnel,
                    };
                    (tunnel.call(url).await?, false)
                }
            };
            Ok(Stream { io, is_proxied })
        })
    }
}

/// The value is not shown: it may hold a password.
fn proxy_url(proxy: Option<&crate::aws::Proxy>) -> Result<Uri, BoxError> {
    let variable = proxy.map_or("the proxy", |proxy| proxy.variable);
    let url = proxy.and_then(|proxy| target::parse(&proxy.url).ok()).filter(|url| url.scheme_str() == Some("http"));
    url.ok_or_else(|| format!("{variable} is not the URL of an http proxy, such as `http://proxy.example:3128`").into())
}

/// A connection, and whether it leads to a proxy that needs whole URLs.
#[derive(Debug)]
pub(super) struct Stream {
    io: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.inner().connected().proxy(self.is_proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
