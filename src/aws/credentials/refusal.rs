//! Noticing in the SDK's own path that the service refused an identity, and sending that call once more with a new one.
//!
//! A refusal that the clock explains is no refusal of the identity: it is sent once more with the same keys.
//!
//! Here, below every retry of ours, because the second attempt must be signed anew and because each caller would
//! otherwise have to know about it. Nothing else is repeated here: the SDK is told to make two attempts and this
//! classifier forbids the second for any other failure.

use super::super::clock::ClockOffset;
use super::identities::{Identities, Refusal};
use aws_smithy_runtime_api::box_error::BoxError as SdkBoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextMut,
    InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::retry::ErrorKind;
use serde_json::Value;
use std::time::Duration;

/// Codes by which a service refuses the one who asks, not what is asked.
const REFUSED: [&str; 9] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClient",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestExpired",
    "RequestTimeTooSkewed",
];

/// Whose key a request was signed with. There is one once a request is about to be sent.
#[derive(Debug, Clone)]
struct SignedBy {
    key: String,
    token: Option<String>,
}

/// A call failed before its request was sent: it could not be built, addressed or signed. Without this mark such a
/// failure looks to the SDK's users like a connection that broke.
#[derive(Debug, thiserror::Error)]
#[error("the request was never sent")]
pub(in super::super) struct NeverSent {
    /// Whether the time for the attempt was over.
    pub(in super::super) is_late: bool,
    source: SdkBoxError,
}

impl Storable for SignedBy {
    type Storer = StoreReplace<Self>;
}

/// Notes on each answer whose key the request was signed with, and marks the failure of a request that was never sent.
#[derive(Debug)]
pub(in super::super) struct NoteSigner;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for NoteSigner {
    fn name(&self) -> &'static str {
        "note the signer"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), SdkBoxError> {
        let headers = context.request().headers();
        let key = headers.get("authorization").and_then(key_of).unwrap_or_default().to_owned();
        let token = headers.get("x-amz-security-token").map(str::to_owned);
        config.interceptor_state().store_put(SignedBy { key, token });
        Ok(())
    }

    fn modify_before_completion(
        &self,
        context: &mut FinalizerInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), SdkBoxError> {
        if config.load::<SignedBy>().is_none()
            && let Some(Err(error)) = context.output_or_error_mut()
        {
            let cause = std::mem::replace(error, OrchestratorError::other("replaced below"));
            *error = OrchestratorError::other(NeverSent { is_late: cause.is_timeout_error(), source: cause.into() });
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), SdkBoxError> {
        // A success needs no signer, and most answers are one.
        if !context.response().status().is_success()
            && let Some(signer) = config.load::<SignedBy>().cloned()
        {
            context.response_mut().add_extension(signer);
        }
        Ok(())
    }
}

/// `AWS4-HMAC-SHA256 Credential=KEY/20260101/…`
fn key_of(authorization: &str) -> Option<&str> {
    authorization.split_once("Credential=")?.1.split('/').next()
}

/// Allows a second attempt where the identity was refused and another one can be had.
#[derive(Debug)]
pub(in super::super) struct RefusedIdentity(pub(in super::super) Identities);

impl ClassifyRetry for RefusedIdentity {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().is_client_error());
        let Some((response, code)) = response.and_then(|response| Some((response, code_of(response)?))) else {
            return RetryAction::RetryForbidden;
        };
        if let Some(offset) = ClockOffset::behind_refusal(response, &code) {
            // The keys are not to blame. The SDK signs the second attempt by the service's clock.
            offset.log();
            return RetryAction::retryable_error_with_explicit_delay(ErrorKind::ClientError, Duration::ZERO);
        }
        if !REFUSED.contains(&code.as_str()) {
            return RetryAction::RetryForbidden;
        }
        let signer = response.extension::<SignedBy>();
        let refusal = signer.map_or(Refusal::Final, |signer| self.0.refuse(&signer.key, signer.token.as_deref()));
        match refusal {
            Refusal::Renewed => {
                RetryAction::retryable_error_with_explicit_delay(ErrorKind::ClientError, Duration::ZERO)
            }
            Refusal::Final => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "refused identity"
    }

    /// First of all, because it forbids what the SDK's own would repeat.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_before(RetryClassifierPriority::http_status_code_classifier())
    }
}

/// Logs a clock that is off, and leaves the retry to the SDK.
#[derive(Debug)]
pub(super) struct LogClock;

impl ClassifyRetry for LogClock {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().is_client_error());
        let offset = response.and_then(|response| ClockOffset::behind_refusal(response, &code_of(response)?));
        offset.into_iter().for_each(ClockOffset::log);
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "log the clock"
    }
}

/// The code of an error in AWS's JSON protocols: a header, else a field of the body; a namespace before `#` and what
/// follows a `:` are no part of it. In the XML of STS: the element `Code`.
fn code_of(response: &HttpResponse) -> Option<String> {
    let of_header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let of_body = || {
        let bytes = response.body().bytes()?;
        if let Some((_, rest)) = str::from_utf8(bytes).ok()?.split_once("<Code>") {
            return rest.split_once("</Code>").map(|(code, _)| code.to_owned());
        }
        let body: Value = serde_json::from_slice(bytes).ok()?;
        let code = body.get("__type").or_else(|| body.get("code"))?.as_str()?;
        Some(code.to_owned())
    };
    let written = of_header.or_else(of_body)?;
    let code = written.rsplit('#').next().unwrap_or_default();
    code.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    fn answer(body: &'static str) -> HttpResponse {
        HttpResponse::new(400.try_into().unwrap(), SdkBody::from(body))
    }

    #[test]
    fn a_code_is_found_wherever_aws_writes_it() {
        for body in [
            r#"{"__type":"com.amazonaws.kinesis.v20131202#ExpiredTokenException","message":"x"}"#,
            r#"{"__type":"ExpiredTokenException"}"#,
            r#"{"code":"ExpiredTokenException:http://internal"}"#,
        ] {
            assert_eq!(code_of(&answer(body)).as_deref(), Some("ExpiredTokenException"), "{body}");
        }
        let of_sts = "<ErrorResponse><Error><Type>Sender</Type><Code>RequestExpired</Code></Error></ErrorResponse>";
        assert_eq!(code_of(&answer(of_sts)).as_deref(), Some("RequestExpired"));
        assert_eq!(code_of(&answer("<html>")), None);
        let mut headed = answer("");
        headed.headers_mut().insert("x-amzn-errortype", "ExpiredToken:http://x");
        assert_eq!(code_of(&headed).as_deref(), Some("ExpiredToken"));
    }

    #[test]
    fn the_key_of_a_signature_is_found() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/eu-west-1/kinesis/aws4_request, SignedHeaders=host";
        assert_eq!(key_of(header), Some("AKIA1"));
        assert_eq!(key_of("Bearer x"), None);
    }
}
