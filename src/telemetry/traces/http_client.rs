//! Requests to a collector, over HTTP and as unary gRPC calls.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

/// Collectors answer with a few bytes.
const MAX_RESPONSE: usize = 64 << 10;

/// Where spans are sent.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// Why spans were not accepted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct SendError(pub(super) String);

impl Endpoint {
    /// # Errors
    /// When the URL or a header cannot be used.
    pub(super) fn new(
        url: &str,
        headers: &[(String, SecretString)],
        timeout: Duration,
        is_grpc: bool,
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("trace endpoint `{}` is not a URL: {error}", shown(url)))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
            let url = shown(url);
            return Err(format!("trace endpoint `{url}` is not a URL that begins with http:// or https://"));
        }
        let mut map = HeaderMap::from_iter([(
            USER_AGENT,
            HeaderValue::from_static(concat!("bindd/", env!("CARGO_PKG_VERSION"))),
        )]);
        for (name, value) in headers {
            let header = HeaderName::try_from(name.as_str()).ok();
            let mut text = HeaderValue::try_from(value.expose_secret()).ok();
            text.iter_mut().for_each(|text| text.set_sensitive(true));
            let (header, text) =
                header.zip(text).ok_or_else(|| format!("trace header `{name}` is not a valid header"))?;
            map.insert(header, text);
        }
        let client = Client::builder(TokioExecutor::new()).http2_only(is_grpc).build(connector(&uri, is_grpc)?);
        Ok(Self { client, uri, headers: map, timeout })
    }

    /// # Errors
    /// When there was no response in time, or one that is no 2xx.
    pub(super) async fn post(&self, content_type: &'static str, body: Bytes) -> Result<(), SendError> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let exchange = async {
            let response = self.send(headers, body).await?;
            let status = response.status();
            // Read, so that the connection can be used again.
            drop(Limited::new(response.into_body(), MAX_RESPONSE).collect().await);
            if status.is_success() { Ok(()) } else { Err(self.failed(&format!("it answered {status}"))) }
        };
        self.in_time(exchange).await
    }

    /// Makes a unary gRPC call.
    ///
    /// # Errors
    /// When there was no response in time, or one with a status other than 0.
    pub(super) async fn call(&self, message: &[u8]) -> Result<(), SendError> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let mut body = BytesMut::with_capacity(message.len() + 5);
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).map_err(|_| self.failed("the batch is too large"))?);
        body.put_slice(message);
        let exchange = async {
            let response = self.send(headers, body.freeze()).await?;
            let (head, body) = response.into_parts();
            let collected = Limited::new(body, MAX_RESPONSE).collect().await;
            let trailers = collected.map_err(|error| self.failed(&error.to_string()))?.trailers().cloned();
            let text = |name: &str| {
                let value =
                    trailers.as_ref().and_then(|trailers| trailers.get(name)).or_else(|| head.headers.get(name));
                value.and_then(|value| value.to_str().ok()).map(str::to_owned)
            };
            match text("grpc-status").as_deref() {
                Some("0") => Ok(()),
                Some(code) => {
                    let message = text("grpc-message").unwrap_or_default();
                    Err(self.failed(&format!("it answered with the gRPC status {code} {message}")))
                }
                None => Err(self.failed(&format!("it answered {} and is no gRPC server", head.status))),
            }
        };
        self.in_time(exchange).await
    }

    async fn send(&self, headers: HeaderMap, body: Bytes) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            self.failed(&format!("{error}{cause}"))
        })
    }

    async fn in_time(&self, exchange: impl Future<Output = Result<(), SendError>>) -> Result<(), SendError> {
        let limit = self.timeout;
        let result = tokio::time::timeout(limit, exchange).await;
        result.unwrap_or_else(|_| Err(self.failed(&format!("it did not answer within {limit:?}"))))
    }

    /// Without user, path and query, which may hold a secret.
    fn failed(&self, problem: &str) -> SendError {
        let port = self.uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        SendError(format!("{}{port}: {problem}", self.uri.host().unwrap_or_default()))
    }
}

/// Without what may be a user and a password.
fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    }
}

/// Roots are read only for `https`, as they take memory.
fn connector(uri: &Uri, is_grpc: bool) -> Result<HttpsConnector<HttpConnector>, String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if uri.scheme_str() == Some("https") {
        builder
            .with_provider_and_native_roots(provider)
            .map_err(|error| format!("certificate authorities for trace endpoints cannot be read: {error}"))?
    } else {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    let builder = builder.https_or_http();
    Ok(if is_grpc { builder.enable_http2().build() } else { builder.enable_http1().build() })
}
