//! The connection to the app, and single calls over it.

use super::super::decompress::Decompressor;
use super::super::endpoint::Endpoint;
use super::super::socket::{SharedTraffic, Socket};
use super::super::{AppPort, AppSettings, InvalidAppSettings};
use super::failure::{self, Target};
use crate::domain::{BoxError, DeliveryError};
use crate::protocol::runtime::app_callback_client::AppCallbackClient;
use crate::protocol::runtime::app_callback_health_check_client::AppCallbackHealthCheckClient;
use crate::protocol::runtime::{BindingEventRequest, BindingEventResponse};
use crate::telemetry::{GrpcExchange, GrpcTraffic, SpanContext, Tracer};
use http::Uri;
use hyper_util::rt::TokioIo;
use prost::Message;
use secrecy::ExposeSecret;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::metadata::{Ascii, BinaryMetadataValue, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tower::service_fn;

/// How long opening a connection may take; the value of gRPC. An app that is starting may be slow to accept or to
/// complete a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The metadata with the token of the app.
const API_TOKEN: &str = "dapr-api-token";
pub(super) const TRACEPARENT: &str = "traceparent";
/// The binary form of `traceparent`, which the SDKs of Dapr read.
const TRACE_BINARY: &str = "grpc-trace-bin";
pub(super) const ON_BINDING_EVENT: &str = "/dapr.proto.runtime.v1.AppCallback/OnBindingEvent";
const RECORD_PREFIX: &str = "bindd-";
const LIST_INPUT_BINDINGS: &str = "/dapr.proto.runtime.v1.AppCallback/ListInputBindings";

/// The trace of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallTrace<'t> {
    Span(SpanContext),
    /// What the record stands for, without a tracer.
    Record(&'t str),
    None,
}

/// A connection that is opened by the first call, and again by the next one after it broke. Cheap to clone.
#[derive(Debug, Clone)]
struct Connection {
    channel: Channel,
    /// What its socket has carried.
    traffic: SharedTraffic,
}

/// The channel to an app over gRPC. Cheap to clone; all clones share the connection.
#[derive(Debug, Clone)]
pub struct GrpcChannel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Arc<Endpoint>,
    protocol: &'static str,
    /// What the headers say.
    target: tonic::transport::Endpoint,
    /// Replaced if the app may have vanished.
    connection: Mutex<Connection>,
    /// For `--app-max-concurrency`.
    slots: Semaphore,
    api_token: Option<MetadataValue<Ascii>>,
    decompressor: Decompressor,
    has_go_headers: bool,
    event_timeout: Duration,
    probe_timeout: Duration,
    traffic: GrpcTraffic,
    tracer: Tracer,
}

impl GrpcChannel {
    /// A channel that connects when it is first used. With `has_tls`, certificates are not verified, as in daprd. Must be
    /// called on a Tokio runtime.
    ///
    /// # Errors
    /// When the address is not a host, or the token does not fit into metadata.
    pub fn new(settings: &AppSettings, has_tls: bool) -> Result<Self, InvalidAppSettings> {
        let endpoint = Arc::new(Endpoint::http2(&settings.address, settings.port, has_tls)?);
        let api_token = match &settings.api_token {
            Some(token) => {
                let mut token: MetadataValue<Ascii> =
                    token.expose_secret().parse().map_err(|_| InvalidAppSettings::Token)?;
                token.set_sensitive(true);
                Some(token)
            }
            None => None,
        };
        let target = target(&endpoint, &settings.address, has_tls)?;
        Ok(Self(Arc::new(Inner {
            connection: Mutex::new(Connection::lazy(&target, &endpoint)),
            target,
            slots: Semaphore::new(settings.max_connections.get().min(Semaphore::MAX_PERMITS)),
            endpoint,
            protocol: if has_tls { "grpcs" } else { "grpc" },
            api_token,
            decompressor: Decompressor::default(),
            has_go_headers: settings.has_go_headers,
            event_timeout: settings.event_timeout,
            probe_timeout: settings.probe_timeout,
            traffic: settings.grpc_traffic.clone(),
            tracer: settings.tracer.clone(),
        })))
    }

    /// The port of the app, to wait for.
    #[must_use]
    pub fn port(&self) -> AppPort {
        AppPort::at(Arc::clone(&self.0.endpoint), self.0.protocol)
    }

    pub(super) fn decompressor(&self) -> &Decompressor {
        &self.0.decompressor
    }

    pub(super) fn traffic(&self) -> &GrpcTraffic {
        &self.0.traffic
    }

    pub(super) fn tracer(&self) -> &Tracer {
        &self.0.tracer
    }

    /// See [`AppSettings::has_go_headers`].
    pub(super) fn has_go_headers(&self) -> bool {
        self.0.has_go_headers
    }

    pub(super) fn address(&self) -> String {
        self.0.endpoint.authority()
    }

    /// Delivers one event. `sent` is what the app may quote.
    pub(super) async fn on_binding_event(
        &self,
        event: BindingEventRequest,
        trace: CallTrace<'_>,
        sent: &[&[u8]],
    ) -> Result<BindingEventResponse, DeliveryError> {
        let limit = self.0.event_timeout;
        let size = event.encoded_len();
        let headers = record_headers(&event);
        let mut request = self.request(event, limit);
        for (name, value) in headers {
            request.metadata_mut().insert(name, value);
        }
        trace.add_to(request.metadata_mut());
        let target = Target { method: "OnBindingEvent", address: &self.address(), limit, option: "--app-timeout" };
        let _slot = self.0.slots.acquire().await;
        let connection = self.connection();
        let mut client = AppCallbackClient::new(connection.channel.clone());
        let begun = Instant::now();
        let result = self.in_time(&connection, limit, client.on_binding_event(request)).await;
        self.count(ON_BINDING_EVENT, size, result.as_ref(), begun);
        match result {
            Some(Ok(response)) => Ok(response.into_inner()),
            Some(Err(status)) => Err(failure::delivery_error(&status, &target, sent)),
            None => Err(target.timed_out()),
        }
    }

    /// The names of the inputs that the app accepts.
    pub(super) async fn list_input_bindings(&self) -> Result<Vec<String>, DeliveryError> {
        let limit = self.0.probe_timeout;
        let option = "--app-binding-options-timeout";
        let target = Target { method: "ListInputBindings", address: &self.address(), limit, option };
        let _slot = self.0.slots.acquire().await;
        let connection = self.connection();
        let mut client = AppCallbackClient::new(connection.channel.clone());
        let begun = Instant::now();
        let result = self.in_time(&connection, limit, client.list_input_bindings(self.request((), limit))).await;
        self.count(LIST_INPUT_BINDINGS, 0, result.as_ref(), begun);
        match result {
            Some(Ok(response)) => Ok(response.into_inner().bindings),
            Some(Err(status)) => Err(failure::delivery_error(&status, &target, &[])),
            None => Err(target.timed_out()),
        }
    }

    /// Counts a call; `result` is `None` if its time was over.
    fn count<R: Message>(
        &self,
        method: &'static str,
        size: usize,
        result: Option<&Result<Response<R>, Status>>,
        begun: Instant,
    ) {
        let (code, answer) = match result {
            Some(Ok(response)) => (Code::Ok, response.get_ref().encoded_len()),
            Some(Err(status)) => (status.code(), 0),
            None => (Code::DeadlineExceeded, 0),
        };
        self.0.traffic.called(&GrpcExchange {
            method,
            code: code.into(),
            request_bytes: size as u64,
            response_bytes: answer as u64,
            took: begun.elapsed(),
        });
    }

    /// One health check, which takes no slot; `Ok` if the app is healthy.
    pub(super) async fn check_health(&self, limit: Duration) -> Result<(), Status> {
        let connection = self.connection();
        let mut client = AppCallbackHealthCheckClient::new(connection.channel.clone());
        match self.in_time(&connection, limit, client.health_check(self.request((), limit))).await {
            Some(checked) => checked.map(drop),
            None => Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))),
        }
    }

    fn connection(&self) -> Connection {
        self.current().clone()
    }

    /// The result of a call over this connection; `None` if its time is over.
    async fn in_time<R>(
        &self,
        used: &Connection,
        limit: Duration,
        call: impl Future<Output = Result<Response<R>, Status>>,
    ) -> Option<Result<Response<R>, Status>> {
        let read_before = used.traffic.lock().read;
        // tonic ends the call too, because its time is in the headers.
        let in_time = |result: &Result<_, _>| !result.as_ref().is_err_and(failure::is_timeout);
        let result = tokio::time::timeout(limit, call).await.ok().filter(in_time);
        if result.is_none() && used.is_silent(read_before) {
            let mut current = self.current();
            if current.traffic.is_same(&used.traffic) {
                *current = Connection::lazy(&self.0.target, &self.0.endpoint);
            }
        }
        result
    }

    fn current(&self) -> MutexGuard<'_, Connection> {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request<T>(&self, message: T, limit: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(limit);
        if let Some(token) = &self.0.api_token {
            request.metadata_mut().insert(API_TOKEN, token.clone());
        }
        request
    }
}

/// What says where a record comes from, as metadata of the call too: the SDK for Python shows apps only these. All are
/// short ASCII texts, a partition key of at most 256 characters is percent-encoded.
fn record_headers(event: &BindingEventRequest) -> Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)> {
    let of_record = event.metadata.iter().filter(|(name, _)| name.starts_with(RECORD_PREFIX));
    of_record.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
}

impl CallTrace<'_> {
    fn add_to(self, metadata: &mut MetadataMap) {
        let text = match self {
            Self::Span(span) => {
                metadata.insert_bin(TRACE_BINARY, BinaryMetadataValue::from_bytes(&span.to_binary()));
                span.to_string().parse().ok()
            }
            Self::Record(text) => text.parse().ok(),
            Self::None => None,
        };
        if let Some(text) = text {
            metadata.insert(TRACEPARENT, text);
        }
    }
}

impl Connection {
    fn lazy(target: &tonic::transport::Endpoint, endpoint: &Arc<Endpoint>) -> Self {
        let traffic = SharedTraffic::default();
        let (endpoint, counted) = (Arc::clone(endpoint), traffic.clone());
        let channel = target.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (endpoint, traffic) = (Arc::clone(&endpoint), counted.clone());
            async move {
                let connecting = tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await;
                let late = || BoxError::from(format!("no connection within {CONNECT_TIMEOUT:?}"));
                connecting.map_err(|_| late())?.map(|stream| TokioIo::new(Socket::counted(stream, traffic)))
            }
        }));
        Self { channel, traffic }
    }

    /// Whether a socket is open, and the app has sent nothing on it since `read_before`. Its machine may have vanished, which
    /// the system notices only after many minutes. A connection that is being opened is left alone: it may take long.
    fn is_silent(&self, read_before: u64) -> bool {
        let traffic = self.traffic.lock();
        traffic.written > 0 && traffic.read == read_before
    }
}

/// What the headers say. The connector opens the connection.
fn target(endpoint: &Endpoint, address: &str, has_tls: bool) -> Result<tonic::transport::Endpoint, InvalidAppSettings> {
    let invalid = || InvalidAppSettings::Address(address.to_owned());
    let scheme = if has_tls { "https" } else { "http" };
    let origin: Uri = format!("{scheme}://{}", endpoint.authority()).parse().map_err(|_| invalid())?;
    let agent = concat!("bindd/", env!("CARGO_PKG_VERSION"));
    let target = tonic::transport::Endpoint::from_shared(format!("http://{}", endpoint.authority()))
        .and_then(|target| target.user_agent(agent))
        .map_err(|_| invalid())?;
    Ok(target.origin(origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::num::NonZeroUsize;
    use std::pin::pin;
    use tokio::net::TcpListener;

    #[test]
    fn only_the_headers_of_records_are_metadata_of_the_call() {
        let pairs =
            [("bindd-attempt", "1"), ("readTimeUTC", "now"), ("bindd-partition-key", "a%20b"), ("bindd-x", "\n")];
        let metadata = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut headers: Vec<String> = record_headers(&BindingEventRequest { metadata, ..Default::default() })
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        assert_eq!(headers, ["bindd-attempt=1", "bindd-partition-key=a%20b"]);
    }

    #[tokio::test]
    async fn calls_take_slots_and_health_checks_do_not() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let settings = AppSettings { max_connections: NonZeroUsize::MIN, ..AppSettings::new(port) };
        let channel = GrpcChannel::new(&settings, false).unwrap();
        let mut listing = pin!(channel.list_input_bindings());
        assert!(listing.as_mut().now_or_never().is_none());
        assert_eq!(channel.0.slots.available_permits(), 0);
        let checked = channel.check_health(Duration::from_millis(20)).await;
        assert_eq!(checked.unwrap_err().code(), Code::DeadlineExceeded);
    }
}
