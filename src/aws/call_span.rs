//! A span for each call to AWS, with its attempts, by OpenTelemetry's conventions for the SDK.
//!
//! A call that is made in the task of a request is a child of the span of the request. One that serves several requests,
//! such as `PutRecords`, or none, such as a read, begins a trace.

use super::error_code::error_code;
use crate::telemetry::{Span, SpanKind, SpanParent, Tracer, current_span};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, Error, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{Metadata, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use std::sync::{Arc, Mutex, PoisonError};

/// Starts the span of a call; it ends when it is dropped.
pub(super) fn start(tracer: &Tracer, service: &str, method: &str, region: &str) -> Span {
    if !tracer.is_on() {
        return Span::default();
    }
    let parent = current_span().map(|context| SpanParent { context, state: "" });
    let mut span = tracer.start(SpanKind::Client, parent, || format!("{service}.{method}").into());
    if span.is_recorded() {
        span.set("rpc.system", "aws-api");
        span.set("rpc.service", service.to_owned());
        span.set("rpc.method", method.to_owned());
        span.set("aws.region", region.to_owned());
    }
    span
}

/// Makes the spans of the calls of a client.
#[derive(Debug)]
pub(super) struct CallSpans {
    tracer: Tracer,
    region: String,
}

/// The span of a call until it ends. Shared, because the SDK keeps values that it can only lend.
#[derive(Debug)]
struct Open(Arc<Mutex<Option<Span>>>);

impl Storable for Open {
    type Storer = StoreReplace<Self>;
}

impl CallSpans {
    pub(super) fn new(tracer: &Tracer, region: Option<&str>) -> Self {
        Self { tracer: tracer.clone(), region: region.unwrap_or_default().to_owned() }
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for CallSpans {
    fn name(&self) -> &'static str {
        "spans of calls"
    }

    fn read_before_serialization(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = config.load::<Metadata>() {
            let span = start(&self.tracer, call.service(), call.name(), &self.region);
            config.interceptor_state().store_put(Open(Arc::new(Mutex::new(Some(span)))));
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let open = config.load::<Open>();
        let Some(mut span) = open.and_then(|open| open.0.lock().unwrap_or_else(PoisonError::into_inner).take()) else {
            return Ok(());
        };
        if !span.is_recorded() {
            return Ok(());
        }
        let response = context.response();
        if let Some(id) = response.and_then(|response| response.headers().get("x-amzn-requestid")) {
            span.set("aws.request_id", id.to_owned());
        }
        if let Some(Err(error)) = context.output_or_error() {
            let code = response.and_then(error_code).unwrap_or_else(|| kind(error).to_owned());
            span.set("error.type", code.clone());
            span.fail(|| code);
        }
        Ok(())
    }
}

/// What happened to a call without an error code.
fn kind(error: &OrchestratorError<Error>) -> &'static str {
    if error.is_timeout_error() {
        "timeout"
    } else if error.is_connector_error() {
        "connection"
    } else if error.is_response_error() {
        "response"
    } else {
        "failure"
    }
}
