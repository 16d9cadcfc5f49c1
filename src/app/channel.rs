//! The public interface to the app: deliver, probe.

use super::answer;
use super::connection::{IncompleteBody, InvalidResponse};
use super::decompress::{Decompressor, Payloads};
use super::endpoint::Endpoint;
use super::exchange::{Call, SendError};
use super::http2_pool::Http2Pool;
use super::media_type;
use super::pool::Pool;
use super::transport::Transport;
use super::{AppPort, AppSettings, HttpProtocol, InvalidAppSettings, Route};
use crate::domain::DeliveryError;
use crate::telemetry::{HttpExchange, HttpTraffic, Tracer};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use secrecy::ExposeSecret;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often idle connections are checked.
const REAP_INTERVAL: Duration = Duration::from_secs(5);

/// Sets the time limit of requests that ask the app something before the first event.
const PROBE_OPTION: &str = "--app-binding-options-timeout";
/// Where apps with actors say how.
const APP_CONFIG: &str = "/dapr/config";

const APP_ID: HeaderName = HeaderName::from_static("dapr-app-id");
const API_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");

/// The channel to the application. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct AppChannel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    endpoint: Arc<Endpoint>,
    protocol: HttpProtocol,
    decompressor: Decompressor,
    headers: HeaderMap,
    event_timeout: Duration,
    probe_timeout: Duration,
    has_go_headers: bool,
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
    /// Whether it counts for `--app-max-concurrency`, as all calls but health checks do.
    takes_slot: bool,
}

impl Limit {
    const fn call(self, max_reply: Option<usize>) -> Call {
        Call { limit: self.time, max_reply, takes_slot: self.takes_slot }
    }
}

impl AppChannel {
    /// A channel that connects when it is first used.
    ///
    /// # Errors
    /// When the address is not a host, or the token does not fit into a header.
    pub fn new(settings: &AppSettings) -> Result<Self, InvalidAppSettings> {
        let endpoint = Endpoint::new(&settings.address, settings.port, settings.protocol == HttpProtocol::Https)?;
        let endpoint = Arc::new(endpoint);
        let invalid = || InvalidAppSettings::Address(settings.address.clone());
        let authority = endpoint.authority().parse::<Authority>().map_err(|_| invalid())?;
        let headers = common_headers(settings, &authority)?;
        let transport = match settings.protocol {
            HttpProtocol::Http | HttpProtocol::Https => {
                Transport::Http1(Pool::new(Arc::clone(&endpoint), settings.max_connections))
            }
            HttpProtocol::H2c => {
                Transport::Http2(Http2Pool::new(Arc::clone(&endpoint), authority, settings.max_connections))
            }
        };
        Ok(Self(Arc::new(Inner {
            transport,
            endpoint,
            protocol: settings.protocol,
            decompressor: Decompressor::default(),
            headers,
            event_timeout: settings.event_timeout,
            probe_timeout: settings.probe_timeout,
            has_go_headers: settings.has_go_headers,
            traffic: settings.traffic.clone(),
            tracer: settings.tracer.clone(),
        })))
    }

    /// The port, to wait until the app is up.
    #[must_use]
    pub fn port(&self) -> AppPort {
        AppPort::at(Arc::clone(&self.0.endpoint), self.0.protocol.as_str())
    }

    /// Closes the idle connections and joins what drives shared ones; the last step of a shutdown.
    pub async fn close(&self) {
        self.0.transport.close().await;
    }

    /// Every few seconds, closes idle connections that the app has closed or that are too old. Runs until dropped. Nothing
    /// else polls a connection between two requests.
    pub async fn reap_idle(&self) -> Infallible {
        loop {
            tokio::time::sleep(REAP_INTERVAL).await;
            self.0.transport.reap();
        }
    }

    #[cfg(test)]
    pub(super) fn reap_now(&self) -> usize {
        self.0.transport.reap()
    }

    pub(super) fn traffic(&self) -> &HttpTraffic {
        &self.0.traffic
    }

    pub(super) fn tracer(&self) -> &Tracer {
        &self.0.tracer
    }

    /// See [`AppSettings::has_go_headers`].
    pub(super) fn has_go_headers(&self) -> bool {
        self.0.has_go_headers
    }

    pub(super) fn decompressor(&self) -> &Decompressor {
        &self.0.decompressor
    }

    /// Returns the body of the response if it was to be read.
    pub(super) async fn post(&self, route: &Route, delivery: Delivery<'_>) -> Result<Vec<u8>, DeliveryError> {
        let limit = Limit { time: self.0.event_timeout, option: "--app-timeout", takes_slot: true };
        self.call(Method::POST, route, delivery, limit).await
    }

    pub(super) async fn options(&self, route: &Route) -> Result<(), DeliveryError> {
        let limit = Limit { time: self.0.probe_timeout, option: PROBE_OPTION, takes_slot: true };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type::JSON)]);
        self.ask(Method::OPTIONS, route, headers, limit).await
    }

    /// Sends a `GET` that does not wait for a slot, and of which only the status counts.
    pub(super) async fn get_health(&self, route: &Route, timeout: Duration) -> Result<(), DeliveryError> {
        let limit = Limit { time: timeout, option: "--app-health-probe-timeout", takes_slot: false };
        self.ask(Method::GET, route, HeaderMap::new(), limit).await
    }

    /// Asks the app for its configuration, as daprd does. What it answers concerns actors, so it is not read.
    ///
    /// # Errors
    /// When the app did not answer with success.
    pub async fn get_config(&self, app_id: &str) -> Result<(), DeliveryError> {
        let limit = Limit { time: self.0.probe_timeout, option: PROBE_OPTION, takes_slot: true };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type::JSON)]);
        headers.extend(HeaderValue::from_str(app_id).ok().map(|id| (APP_ID, id)));
        self.ask(Method::GET, &Route::of_path(APP_CONFIG), headers, limit).await
    }

    /// A request without a body, of which only the status counts. It is sent again if the app closed an idle connection at
    /// that moment, because it changes nothing.
    async fn ask(&self, method: Method, route: &Route, headers: HeaderMap, limit: Limit) -> Result<(), DeliveryError> {
        let payloads = Payloads::unchanged(&[]);
        let delivery = |headers| Delivery { headers, body: Bytes::new(), payloads: &payloads, max_reply: None };
        match self.call(method.clone(), route, delivery(headers.clone()), limit).await {
            Err(DeliveryError::Unanswered { was_idle: true, .. }) => {
                self.call(method, route, delivery(headers), limit).await.map(drop)
            }
            result => result.map(drop),
        }
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
        // A body that is read must not be compressed.
        if self.0.has_go_headers && max_reply.is_none() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let request = request(method.clone(), route, headers, body.clone())
            .map_err(|error| DeliveryError::Unreachable { address: self.authority(), source: error.into() })?;
        let target = || format!("{method} {route}");
        let begun = Instant::now();
        let result = self.0.transport.send(request, limit.call(max_reply)).await;
        let reply = result.as_ref().ok();
        // A health check is counted where it is made.
        if limit.takes_slot {
            self.0.traffic.called(&HttpExchange {
                method: method.as_str(),
                path: route.as_str(),
                status: reply.map(|reply| reply.head.status.as_u16()),
                request_bytes: body.len() as u64,
                response_bytes: reply.map_or(0, |reply| reply.body.len() as u64),
                took: begun.elapsed(),
            });
        }
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
            SendError::Invalid { response, source } => DeliveryError::NotHttp {
                address: self.authority(),
                expected: self.0.transport.protocol(),
                finding: answer::describe(response, sent),
                source,
            },
            SendError::Body(body) => {
                let problem = match body {
                    IncompleteBody::TooLong => "it is longer than may be read".to_owned(),
                    IncompleteBody::Ended(error) => format!("the connection ended within it: {error}"),
                };
                DeliveryError::InvalidReply { target, problem }
            }
        }
    }

    fn authority(&self) -> String {
        self.0.endpoint.authority()
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

fn request(method: Method, route: &Route, headers: HeaderMap, body: Bytes) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = route.as_str().parse::<Uri>()?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The headers of every call.
fn common_headers(settings: &AppSettings, authority: &Authority) -> Result<HeaderMap, InvalidAppSettings> {
    let agent = match (settings.has_go_headers, settings.protocol) {
        (false, _) => concat!("bindd/", env!("CARGO_PKG_VERSION")),
        (true, HttpProtocol::Http | HttpProtocol::Https) => "Go-http-client/1.1",
        (true, HttpProtocol::H2c) => "Go-http-client/2.0",
    };
    let mut headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(agent))]);
    let host = HeaderValue::from_str(authority.as_str());
    headers.insert(HOST, host.map_err(|_| InvalidAppSettings::Address(settings.address.clone()))?);
    if let Some(token) = &settings.api_token {
        let mut token = HeaderValue::from_str(token.expose_secret()).map_err(|_| InvalidAppSettings::Token)?;
        token.set_sensitive(true);
        headers.insert(API_TOKEN, token);
    }
    Ok(headers)
}
