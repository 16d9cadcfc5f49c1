//! The public interface to the app: wait until it is up, deliver, probe.

use super::answer;
use super::connection::{IncompleteBody, InvalidResponse};
use super::decompress::{Decompressor, Payloads};
use super::media_type;
use super::pool::{Pool, SendError};
use super::{AppSettings, InvalidAppSettings, Route};
use crate::domain::{DeliveryError, Stop};
use crate::telemetry::{HttpExchange, HttpTraffic, Tracer};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use secrecy::ExposeSecret;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long one attempt to connect may take, and the pause after it; daprd's values.
const DIAL_LIMIT: Duration = Duration::from_millis(500);
const DIAL_PAUSE: Duration = Duration::from_millis(100);

/// How often idle connections are checked.
const REAP_INTERVAL: Duration = Duration::from_secs(5);

/// One line is logged for this many attempts.
const DIALS_PER_LOG: u64 = 100;

const API_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");

/// The channel to the application. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct AppChannel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    decompressor: Decompressor,
    host: String,
    port: u16,
    headers: HeaderMap,
    event_timeout: Duration,
    probe_timeout: Duration,
    traffic: HttpTraffic,
    tracer: Tracer,
}

/// A request with events.
#[derive(Debug)]
pub(super) struct Delivery<'p> {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The records in the body; the app may quote them.
    pub(super) payloads: &'p Payloads<'p>,
    /// How much of the body of a success is read; `None` if its status alone decides.
    pub(super) max_reply: Option<usize>,
}

/// How long a call may take, and the option that sets it.
#[derive(Debug, Clone, Copy)]
struct Limit {
    time: Duration,
    option: &'static str,
}

impl AppChannel {
    /// A channel that connects when it is first used.
    ///
    /// # Errors
    /// When the address is not a host, or the token does not fit into a header.
    pub fn new(settings: &AppSettings) -> Result<Self, InvalidAppSettings> {
        let headers = common_headers(settings)?;
        let host = bare_host(&settings.address).to_owned();
        let pool = Pool::new(host.clone(), settings.port, settings.max_connections);
        Ok(Self(Arc::new(Inner {
            pool,
            decompressor: Decompressor::default(),
            host,
            port: settings.port,
            headers,
            event_timeout: settings.event_timeout,
            probe_timeout: settings.probe_timeout,
            traffic: settings.traffic.clone(),
            tracer: settings.tracer.clone(),
        })))
    }

    /// Waits without a limit until the app's port accepts a connection. False when stopped before that. Logs exactly the
    /// lines of daprd, because scripts wait for them.
    pub async fn wait_until_up(&self, stop: &Stop) -> bool {
        let port = self.0.port;
        tracing::info!(
            "application protocol: http. waiting on port {port}.  This will block until the app is listening on that port."
        );
        tokio::select! {
            // Biased: a stop outranks an app that comes up at the same time.
            biased;
            () = stop.finishing() => false,
            () = self.dial_until_up() => {
                tracing::info!("application discovered on port {port}");
                true
            }
        }
    }

    /// Closes the idle connections; the last step of a shutdown.
    pub fn close_idle(&self) {
        self.0.pool.close_idle();
    }

    /// Every few seconds, closes idle connections that the app has closed or that are too old. Runs until dropped. Nothing
    /// else polls a connection between two requests.
    pub async fn reap_idle(&self) -> Infallible {
        loop {
            tokio::time::sleep(REAP_INTERVAL).await;
            self.0.pool.reap();
        }
    }

    #[cfg(test)]
    pub(super) fn reap_now(&self) -> usize {
        self.0.pool.reap()
    }

    pub(super) fn tracer(&self) -> &Tracer {
        &self.0.tracer
    }

    pub(super) fn decompressor(&self) -> &Decompressor {
        &self.0.decompressor
    }

    /// Returns the body of the response if it was to be read.
    pub(super) async fn post(&self, route: &Route, delivery: Delivery<'_>) -> Result<Vec<u8>, DeliveryError> {
        let limit = Limit { time: self.0.event_timeout, option: "--app-timeout" };
        self.call(Method::POST, route, delivery, limit).await
    }

    pub(super) async fn options(&self, route: &Route) -> Result<(), DeliveryError> {
        let limit = Limit { time: self.0.probe_timeout, option: "--app-binding-options-timeout" };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type::JSON)]);
        let delivery = Delivery { headers, body: Bytes::new(), payloads: &Payloads::unchanged(&[]), max_reply: None };
        self.call(Method::OPTIONS, route, delivery, limit).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        route: &Route,
        delivery: Delivery<'_>,
        limit: Limit,
    ) -> Result<Vec<u8>, DeliveryError> {
        let Delivery { mut headers, body, payloads, max_reply } = delivery;
        headers.extend(self.0.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let request = request(method.clone(), route, headers, body.clone())
            .map_err(|error| DeliveryError::Unreachable { address: self.authority(), source: error.into() })?;
        let target = || format!("{method} {route}");
        let begun = Instant::now();
        let result = self.0.pool.send(request, limit.time, max_reply).await;
        let reply = result.as_ref().ok();
        self.0.traffic.called(&HttpExchange {
            method: method.as_str(),
            path: route.as_str(),
            status: reply.map(|reply| reply.head.status.as_u16()),
            request_bytes: body.len() as u64,
            response_bytes: reply.map_or(0, |reply| reply.body.len() as u64),
            took: begun.elapsed(),
        });
        match result {
            Ok(reply) if reply.head.status.is_success() => {
                if max_reply.is_some() && !reply.is_plain() {
                    let problem = "it is compressed, which bindd does not ask for".to_owned();
                    return Err(DeliveryError::InvalidReply { target: target(), problem });
                }
                Ok(reply.body)
            }
            Ok(reply) => Err(DeliveryError::Refused {
                status: reply.head.status.as_u16(),
                target: target(),
                retry_after: reply.retry_after(),
                location: reply.location(route.as_str(), &self.authority(), &sent(&body, payloads)),
                excerpt: reply.excerpt(&sent(&body, payloads)),
            }),
            Err(error) => Err(self.delivery_error(error, target(), limit, &sent(&body, payloads))),
        }
    }

    fn delivery_error(&self, error: SendError, target: String, limit: Limit, sent: &[&[u8]]) -> DeliveryError {
        match error {
            SendError::TimedOut => DeliveryError::TimedOut { target, limit: limit.time, option: limit.option },
            SendError::Unreachable(source) => DeliveryError::Unreachable { address: self.authority(), source },
            SendError::Ended { source, was_idle } => DeliveryError::Unanswered { target, was_idle, source },
            SendError::Invalid { response: InvalidResponse::Head(finding), source } => {
                DeliveryError::InvalidHead { target, finding, source }
            }
            SendError::Invalid { response, source } => {
                DeliveryError::NotHttp { address: self.authority(), finding: answer::describe(response, sent), source }
            }
            SendError::Body(body) => {
                let problem = match body {
                    IncompleteBody::TooLong => "it is longer than an entry for each event needs".to_owned(),
                    IncompleteBody::Ended(error) => format!("the connection ended within it: {error}"),
                };
                DeliveryError::InvalidReply { target, problem }
            }
        }
    }

    fn authority(&self) -> String {
        authority(&self.0.host, self.0.port)
    }

    async fn dial_until_up(&self) {
        let mut dials = 0_u64;
        while let Err(error) = self.dial().await {
            dials += 1;
            if dials.is_multiple_of(DIALS_PER_LOG) {
                tracing::info!("waiting for application to listen on port {}", self.0.port);
                if dials == DIALS_PER_LOG {
                    let address = self.authority();
                    tracing::warn!(
                        %error,
                        "nothing listens on {address} yet, so no input is read; start the app, or correct --app-port and \
                         --app-channel-address"
                    );
                }
            }
            tokio::time::sleep(DIAL_PAUSE).await;
        }
    }

    async fn dial(&self) -> io::Result<()> {
        let dial = TcpStream::connect((self.0.host.as_str(), self.0.port));
        tokio::time::timeout(DIAL_LIMIT, dial).await??;
        Ok(())
    }
}

/// What the app may quote: the body, and the records where they are not the body itself.
fn sent<'s>(body: &'s Bytes, payloads: &'s Payloads<'_>) -> Vec<&'s [u8]> {
    let records = payloads.iter().map(|(_, data)| data.as_ref());
    let is_other = |record: &&[u8]| record.as_ptr() != body.as_ptr();
    // A short key may be in a text by chance.
    let keys = payloads.iter().map(|(event, _)| event.origin.partition_key.as_bytes());
    let keys = keys.filter(|key| key.len() >= answer::MIN_QUOTE);
    [body.as_ref()].into_iter().chain(records.filter(is_other)).chain(keys).collect()
}

fn request(
    method: Method,
    route: &Route,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = route.as_str().parse::<Uri>()?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The headers of every call.
fn common_headers(settings: &AppSettings) -> Result<HeaderMap, InvalidAppSettings> {
    let host = bare_host(&settings.address);
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let authority = HeaderValue::try_from(authority(host, settings.port)).ok().filter(|_| is_host);
    let agent = HeaderValue::from_static(concat!("bindd/", env!("CARGO_PKG_VERSION")));
    let mut headers = HeaderMap::from_iter([(USER_AGENT, agent)]);
    headers.insert(HOST, authority.ok_or_else(|| InvalidAppSettings::Address(settings.address.clone()))?);
    if let Some(token) = &settings.api_token {
        let mut token = HeaderValue::from_str(token.expose_secret()).map_err(|_| InvalidAppSettings::Token)?;
        token.set_sensitive(true);
        headers.insert(API_TOKEN, token);
    }
    Ok(headers)
}

/// The host without the brackets of an IPv6 address.
fn bare_host(address: &str) -> &str {
    address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
