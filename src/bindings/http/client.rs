//! Sends a request, follows redirects, and reads the response within limits.

use super::connector::Connector;
use super::redirect::{self, MAX_REDIRECTS};
use super::request::Outgoing;
use super::spec::TlsSpec;
use super::trust;
use crate::aws::Proxies;
use crate::domain::{BindingError, BodyMemory, BodyMemoryFull, BoxError, FailureKind, Outcome, ReservedMemory};
use crate::manifest::ProcessEnvironment;
use bytes::{Bytes, BytesMut};
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderName, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::Service as _;

/// As in Go.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// Memory that is allocated at once for a `Content-Length`, before the bytes have arrived.
const MAX_INITIAL_CAPACITY: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Client {
    pool: Pool<Connector, Full<Bytes>>,
    connector: Connector,
    /// Requests at the same time.
    slots: Semaphore,
    /// For the bodies of responses, until the app has read them.
    memory: BodyMemory,
    max_response: usize,
    /// The header with the security token.
    secret: Option<HeaderName>,
}

/// The limits of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_connections: usize,
    pub(super) max_response: usize,
}

impl Client {
    /// Reads certificates, and the proxies of the environment.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub(super) async fn load(tls: TlsSpec, limits: Limits, secret: Option<HeaderName>) -> Result<Self, BindingError> {
        let loading = tokio::task::spawn_blocking(move || trust::config(&tls)).await;
        let tls = loading.map_err(|error| {
            BindingError::new(FailureKind::Permanent, "the certificates could not be loaded").with_source(error)
        })??;
        let proxies = Arc::new(Proxies::from_environment(&ProcessEnvironment));
        Ok(Self::new(tls, proxies, limits, secret))
    }

    fn new(tls: ClientConfig, proxies: Arc<Proxies>, limits: Limits, secret: Option<HeaderName>) -> Self {
        let connector = Connector::new(tls, proxies);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(limits.max_connections)
            .build(connector.clone());
        Self {
            pool,
            connector,
            slots: Semaphore::new(limits.max_connections),
            memory: BodyMemory::new(None),
            max_response: limits.max_response,
            secret,
        }
    }

    /// The same client, whose responses count as a part of this memory.
    pub(super) fn with_memory(self, memory: &BodyMemory) -> Self {
        Self { memory: memory.clone(), ..self }
    }

    /// Opens a connection and sends nothing.
    ///
    /// # Errors
    /// `Transient` when there is none.
    pub(super) async fn probe(&self, url: &Uri) -> Result<(), BindingError> {
        let mut connector = self.connector.clone();
        let ready = std::future::poll_fn(|context| connector.poll_ready(context)).await;
        ready.map_err(|error| unreachable_host(url, error))?;
        connector.call(url.clone()).await.map(drop).map_err(|error| unreachable_host(url, error))
    }

    /// The response after redirects, with its body. The memory of the body is an extension.
    ///
    /// # Errors
    /// With `Outcome::Unknown` where the server may have carried out the request.
    pub(super) async fn send(&self, mut request: Outgoing) -> Result<Response<Bytes>, BindingError> {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await.ok();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_once(&request).await?;
            let next = redirect::next(&request, response.status(), response.headers(), self.secret.as_ref());
            match next.map_err(|problem| bad_redirect(&problem))? {
                Some(next) => request = next,
                None => return self.read(&request.url, response).await,
            }
        }
        Err(bad_redirect(&format!("it has led to others {MAX_REDIRECTS} times")))
    }

    async fn send_once(&self, request: &Outgoing) -> Result<Response<Incoming>, BindingError> {
        let mut call = Request::new(Full::new(request.body.clone()));
        *call.method_mut() = request.method.clone();
        *call.uri_mut() = without_user(&request.url);
        *call.headers_mut() = request.headers.clone();
        if let Some(authorization) = self.connector.proxy_authorization(&request.url) {
            call.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        self.pool.request(call).await.map_err(|error| {
            if error.is_connect() {
                return unreachable_host(&request.url, error.into());
            }
            let text = format!("{} closed the connection before it had answered", host(&request.url));
            BindingError::new(FailureKind::Transient, text).with_outcome(Outcome::Unknown).with_source(error)
        })
    }

    async fn read(&self, url: &Uri, response: Response<Incoming>) -> Result<Response<Bytes>, BindingError> {
        let (mut head, mut body) = response.into_parts();
        let failed = |kind, text: String| {
            let text = format!("{} answered {}, but {text}", host(url), head.status);
            BindingError::new(kind, text).with_outcome(Outcome::Unknown)
        };
        let limit = self.max_response;
        let too_large = || {
            let text = format!("its body has more than {limit} bytes; raise `maxResponseBodySize`");
            failed(FailureKind::Permanent, text)
        };
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > limit {
            return Err(too_large());
        }
        let mut memory = self.memory.reservation();
        let full = |full: BodyMemoryFull| failed(FailureKind::Unavailable, full.to_string());
        memory.grow(declared).map_err(full)?;
        let mut data = BytesMut::with_capacity(declared.min(MAX_INITIAL_CAPACITY));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                failed(FailureKind::Transient, "its body ended early".to_owned()).with_source(error)
            })?;
            let Ok(part) = frame.into_data() else { continue };
            let length = data.len() + part.len();
            if length > limit {
                return Err(too_large());
            }
            if length > data.capacity() {
                // The buffer doubles, so what it takes is counted, not what is in it.
                let most = if length > declared { limit } else { declared };
                let capacity = (2 * data.capacity()).clamp(length, most);
                memory.grow_to(capacity).map_err(full)?;
                data.reserve(capacity - data.len());
            }
            data.extend_from_slice(&part);
        }
        head.extensions.insert(ReservedMemory::from(memory));
        Ok(Response::from_parts(head, data.freeze()))
    }
}

fn unreachable_host(url: &Uri, source: BoxError) -> BindingError {
    let text = format!("{} could not be reached, nothing was sent; look at `url`, network and proxies", host(url));
    BindingError::new(FailureKind::Transient, text).with_source(source)
}

fn bad_redirect(problem: &str) -> BindingError {
    let text = format!("the redirect cannot be followed: {problem}");
    BindingError::new(FailureKind::Permanent, text).with_outcome(Outcome::Unknown)
}

/// Without path and password, which may be secrets.
fn host(url: &Uri) -> String {
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme_str().unwrap_or("http"), url.host().unwrap_or_default())
}

/// User and password are sent as a header.
fn without_user(url: &Uri) -> Uri {
    let Some((_, authority)) = url.authority().and_then(|authority| authority.as_str().rsplit_once('@')) else {
        return url.clone();
    };
    let mut parts = url.clone().into_parts();
    parts.authority = authority.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

#[cfg(test)]
#[path = "tests/sockets.rs"]
mod tests;
