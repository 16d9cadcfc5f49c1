//! Where the app listens, and how a connection to it is opened: TCP, with TLS over it for `https` and `grpcs`.

use super::InvalidAppSettings;
use super::tls;
use crate::domain::BoxError;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Address of the app.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A connection before any HTTP.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    /// Boxed, because it is ten times as large.
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake failed; set --app-protocol to http, h2c or grpc if the app does not use TLS")]
struct HandshakeFailed(#[source] io::Error);

impl Endpoint {
    /// # Errors
    /// When the address is not a host.
    pub(super) fn new(address: &str, port: u16, has_tls: bool) -> Result<Self, InvalidAppSettings> {
        Self::with_alpn(address, port, has_tls, Vec::new())
    }

    /// An address that must speak HTTP/2: servers of gRPC refuse a TLS handshake that does not negotiate it.
    ///
    /// # Errors
    /// When the address is not a host.
    pub(super) fn http2(address: &str, port: u16, has_tls: bool) -> Result<Self, InvalidAppSettings> {
        Self::with_alpn(address, port, has_tls, vec![b"h2".to_vec()])
    }

    fn with_alpn(address: &str, port: u16, has_tls: bool, protocols: Vec<Vec<u8>>) -> Result<Self, InvalidAppSettings> {
        let invalid = || InvalidAppSettings::Address(address.to_owned());
        let host = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let is_host =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
        if !is_host {
            return Err(invalid());
        }
        let tls = if has_tls {
            let mut config = tls::config().map_err(|error| InvalidAppSettings::Tls(error.to_string()))?;
            config.alpn_protocols = protocols;
            let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid())?;
            Some(Tls { connector: TlsConnector::from(Arc::new(config)), name })
        } else {
            None
        };
        Ok(Self { host: host.to_owned(), port, tls })
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// As in a URL.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Cancel-safe.
    pub(super) async fn connect(&self) -> Result<Stream, BoxError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(stream)) };
        let stream = tls.connector.connect(tls.name.clone(), stream).await.map_err(HandshakeFailed)?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, tls } = self;
        f.debug_struct("Endpoint").field("host", host).field("port", port).field("has_tls", &tls.is_some()).finish()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
