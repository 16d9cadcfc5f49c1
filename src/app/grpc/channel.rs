//! The connection to the app, and single calls over it.

use super::super::decompress::Decompressor;
use super::super::endpoint::Endpoint;
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
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::{Ascii, BinaryMetadataValue, MetadataMap, MetadataValue};
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
const LIST_INPUT_BINDINGS: &str = "/dapr.proto.runtime.v1.AppCallback/ListInputBindings";

/// The trace of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallTrace<'t> {
    Span(SpanContext),
    /// What the record stands for, without a tracer.
    Record(&'t str),
    None,
}

/// The channel to an app over gRPC. Cheap to clone; all clones share the connection.
#[derive(Debug, Clone)]
pub struct GrpcChannel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Arc<Endpoint>,
    protocol: &'static str,
    channel: Channel,
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
        Ok(Self(Arc::new(Inner {
            channel: lazy_channel(&endpoint, &settings.address, has_tls)?,
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
        let mut request = self.request(event, limit);
        trace.add_to(request.metadata_mut());
        let mut client = AppCallbackClient::new(self.0.channel.clone());
        let target = Target { method: "OnBindingEvent", address: &self.address(), limit, option: "--app-timeout" };
        let begun = Instant::now();
        let result = tokio::time::timeout(limit, client.on_binding_event(request)).await;
        self.count(ON_BINDING_EVENT, size, result.as_ref().ok(), begun);
        match result {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure::delivery_error(&status, &target, sent)),
            Err(_) => Err(target.timed_out()),
        }
    }

    /// The names of the inputs that the app accepts.
    pub(super) async fn list_input_bindings(&self) -> Result<Vec<String>, DeliveryError> {
        let limit = self.0.probe_timeout;
        let option = "--app-binding-options-timeout";
        let target = Target { method: "ListInputBindings", address: &self.address(), limit, option };
        let mut client = AppCallbackClient::new(self.0.channel.clone());
        let begun = Instant::now();
        let result = tokio::time::timeout(limit, client.list_input_bindings(self.request((), limit))).await;
        self.count(LIST_INPUT_BINDINGS, 0, result.as_ref().ok(), begun);
        match result {
            Ok(Ok(response)) => Ok(response.into_inner().bindings),
            Ok(Err(status)) => Err(failure::delivery_error(&status, &target, &[])),
            Err(_) => Err(target.timed_out()),
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

    /// One health check; `Ok` if the app is healthy. The caller limits the time.
    pub(super) async fn check_health(&self, limit: Duration) -> Result<(), Status> {
        let mut client = AppCallbackHealthCheckClient::new(self.0.channel.clone());
        client.health_check(self.request((), limit)).await.map(drop)
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

fn lazy_channel(endpoint: &Arc<Endpoint>, address: &str, has_tls: bool) -> Result<Channel, InvalidAppSettings> {
    let invalid = || InvalidAppSettings::Address(address.to_owned());
    // The connector opens the connection; this address is only for the headers.
    let scheme = if has_tls { "https" } else { "http" };
    let origin: Uri = format!("{scheme}://{}", endpoint.authority()).parse().map_err(|_| invalid())?;
    let agent = concat!("bindd/", env!("CARGO_PKG_VERSION"));
    let settings = tonic::transport::Endpoint::from_shared(format!("http://{}", endpoint.authority()))
        .and_then(|settings| settings.user_agent(agent))
        .map_err(|_| invalid())?
        .origin(origin);
    let endpoint = Arc::clone(endpoint);
    Ok(settings.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let endpoint = Arc::clone(&endpoint);
        async move {
            let connecting = tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await;
            let late = || BoxError::from(format!("no connection within {CONNECT_TIMEOUT:?}"));
            connecting.map_err(|_| late())?.map(TokioIo::new)
        }
    })))
}
