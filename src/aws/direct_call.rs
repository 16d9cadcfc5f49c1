//! Calls without the layers of the SDK, which cost more CPU than signing and sending: for calls that are made for each shard
//! every second. A call of the SDK is the model: from it come address, scope of the signature and HTTP client.

use super::call_span;
use super::credentials::CredentialsProvider;
use crate::telemetry::{Span, Tracer};
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

const CONTENT: &str = "application/x-amz-json-1.1";

/// Sends calls like the first one that the SDK sent with its [`DirectCaller::model`].
#[derive(Debug, Clone)]
pub(crate) struct DirectCaller {
    credentials: CredentialsProvider,
    connect_timeout: Duration,
    limit: Duration,
    tracer: Tracer,
    model: Arc<OnceLock<Model>>,
}

/// What is taken from a call of the SDK.
struct Model {
    url: String,
    host: String,
    target: String,
    user_agent: Option<HeaderValue>,
    region: String,
    service: String,
    connector: SharedHttpConnector,
}

#[derive(Debug)]
pub(crate) struct DirectResponse {
    pub(crate) status: StatusCode,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Bytes,
}

/// A call without a response of which the body was read.
#[derive(Debug)]
pub(crate) enum DirectError {
    /// Nothing was sent.
    NotSent,
    TimedOut(Duration),
    Connection(ConnectorError),
}

impl DirectCaller {
    pub(super) fn new(
        credentials: CredentialsProvider,
        connect_timeout: Duration,
        limit: Duration,
        tracer: Tracer,
    ) -> Self {
        Self { credentials, connect_timeout, limit, tracer, model: Arc::default() }
    }

    /// Learns from the call of the SDK that it is added to; `None` once that was done.
    pub(crate) fn model(&self) -> Option<LearnModel> {
        self.model.get().is_none().then(|| LearnModel(self.clone()))
    }

    /// Sends a body of JSON.
    pub(crate) async fn call(&self, body: Vec<u8>) -> Result<DirectResponse, DirectError> {
        let model = self.model.get().ok_or(DirectError::NotSent)?;
        let request = self.signed(model, body).await.map_err(|_| DirectError::NotSent)?;
        // `<service>_<version>.<method>`
        let (service, method) = model.target.split_once('.').unwrap_or_default();
        let service = service.split('_').next().unwrap_or_default();
        let mut span = call_span::start(&self.tracer, service, method, &model.region);
        let exchange = async {
            let response = model.connector.call(request).await.map_err(DirectError::Connection)?;
            let request_id = response.headers().get("x-amzn-requestid").map(str::to_owned);
            let status = response.status().as_u16();
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| DirectError::Connection(ConnectorError::io(error)))?;
            // The HTTP client has checked the status.
            let status = StatusCode::from_u16(status).unwrap_or_default();
            Ok(DirectResponse { status, request_id, body: body.to_bytes() })
        };
        let limited = tokio::time::timeout(self.limit, exchange).await;
        let result = limited.unwrap_or(Err(DirectError::TimedOut(self.limit)));
        describe(&mut span, &result);
        result
    }

    async fn signed(&self, model: &Model, body: Vec<u8>) -> Result<aws_smithy_runtime_api::http::Request, BoxError> {
        let Model { url, host, target, region, service, .. } = model;
        let identity = self.credentials.provide_credentials().await?.into();
        #[expect(clippy::disallowed_methods, reason = "a signature has the time of the clock")]
        let time = SystemTime::now();
        let params = v4::SigningParams::builder().identity(&identity).region(region).name(service).time(time);
        let params = params.settings(SigningSettings::default()).build()?.into();
        let headers = [("content-type", CONTENT), ("host", host), ("x-amz-target", target)];
        let signable = SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(&body))?;
        let (signature, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, CONTENT)
            .header("x-amz-target", target)
            .body(SdkBody::from(body))?;
        request.headers_mut().extend(model.user_agent.clone().map(|agent| (USER_AGENT, agent)));
        signature.apply_to_request_http1x(&mut request);
        Ok(request.try_into()?)
    }
}

fn describe(span: &mut Span, result: &Result<DirectResponse, DirectError>) {
    if !span.is_recorded() {
        return;
    }
    if let Ok(DirectResponse { request_id: Some(id), .. }) = result {
        span.set("aws.request_id", id.clone());
    }
    let error = match result {
        Ok(response) if response.status.is_success() => return,
        Ok(response) => response.status.as_u16().to_string(),
        Err(DirectError::TimedOut(_)) => "timeout".to_owned(),
        Err(DirectError::Connection(_) | DirectError::NotSent) => "connection".to_owned(),
    };
    span.set("error.type", error.clone());
    span.fail(|| error);
}

/// Takes the model from a call of the SDK.
#[derive(Debug)]
pub(crate) struct LearnModel(DirectCaller);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for LearnModel {
    fn name(&self) -> &'static str {
        "learn the model of direct calls"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self(caller) = self;
        let (request, client) = (context.request(), components.http_client());
        let header = |name: &str| request.headers().get(name);
        let scope = header(AUTHORIZATION.as_str()).and_then(scope);
        // Without one of these, such as with another kind of signature, all calls are made by the SDK.
        if let (Some((region, service)), Some(target), Some(client)) = (scope, header("x-amz-target"), client)
            && let Ok(uri) = request.uri().parse::<http::Uri>()
            && let Some(authority) = uri.authority()
        {
            let settings = HttpConnectorSettings::builder().connect_timeout(caller.connect_timeout).build();
            caller.model.get_or_init(|| Model {
                url: request.uri().to_owned(),
                host: authority.as_str().to_owned(),
                target: target.to_owned(),
                user_agent: header(USER_AGENT.as_str()).and_then(|agent| agent.parse().ok()),
                region: region.to_owned(),
                service: service.to_owned(),
                connector: client.http_connector(&settings, components),
            });
        }
        Ok(())
    }
}

/// Region and service of `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …`.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let (_, credential) = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split_once("Credential=")?;
    let mut parts = credential.split(',').next()?.rsplit('/');
    let (end, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    (end == "aws4_request").then_some((region, service))
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("url", &self.url).field("region", &self.region).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_of_a_signature_is_found() {
        let signature = "SignedHeaders=host;x-amz-date, Signature=0";
        let scoped = |credential: &str| format!("AWS4-HMAC-SHA256 Credential={credential}, {signature}");
        let plain = scoped("AKID/20261127/us-east-1/kinesis/aws4_request");
        assert_eq!(scope(&plain), Some(("us-east-1", "kinesis")));
        // A key id of an emulator may have any characters.
        assert_eq!(scope(&scoped("a/b/20261127/eu-central-1/kinesis/aws4_request")), Some(("eu-central-1", "kinesis")));
        for other in ["", "Bearer x", "AWS4-HMAC-SHA256 Signature=0", &scoped("AKID/20261127/aws4_request/x")] {
            assert_eq!(scope(other), None, "{other}");
        }
        assert_eq!(scope("AWS4-ECDSA-P256-SHA256 Credential=AKID/20261127/kinesis/aws4_request"), None);
    }
}
