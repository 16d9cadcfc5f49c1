//! Credentials that a service refuses: the request is sent once more, with new ones.
//!
//! If the local clock explains the refusal, the credentials are not to blame: the request is sent once more with the same
//! keys.
//!
//! Why inside the SDK, below all other retries: the second attempt must be signed again, and otherwise each caller would
//! have to know about it. The SDK is configured for two attempts; the classifier here forbids the second one after any
//! other failure.

use super::super::clock::ClockSkew;
use super::super::error_code::error_code;
use super::super::unsent::NeverSent;
use super::provider::{CredentialsProvider, Refusal};
use aws_smithy_runtime_api::box_error::BoxError as SdkBoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextMut,
    InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::retry::ErrorKind;
use std::time::Duration;

/// Codes by which a service refuses the caller's identity or signature, not the request itself.
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

/// The key that a request was signed with. Stored when the request is about to be sent.
#[derive(Debug, Clone)]
struct SignedBy {
    key: String,
    token: Option<String>,
}

impl Storable for SignedBy {
    type Storer = StoreReplace<Self>;
}

/// Attaches to each error response the key that its request was signed with, and marks the failure of a request that was
/// never sent with [`NeverSent`].
#[derive(Debug)]
pub(in super::super) struct TrackSigner;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for TrackSigner {
    fn name(&self) -> &'static str {
        "track the signer"
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
        // Only refusals need the signer; most responses are successes.
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

/// Allows a second attempt after a refusal, if there may be other credentials.
#[derive(Debug)]
pub(in super::super) struct RefusedCredentials(pub(in super::super) CredentialsProvider);

impl ClassifyRetry for RefusedCredentials {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().is_client_error());
        let Some((response, code)) = response.and_then(|response| Some((response, error_code(response)?))) else {
            return RetryAction::RetryForbidden;
        };
        if let Some(skew) = ClockSkew::explaining(response, &code) {
            // The SDK signs the second attempt by the service's clock.
            skew.log();
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
        "refused credentials"
    }

    /// Before the SDK's own classifiers, because it forbids what they would retry.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_before(RetryClassifierPriority::http_status_code_classifier())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_signature_is_found() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/eu-west-1/kinesis/aws4_request, SignedHeaders=host";
        assert_eq!(key_of(header), Some("AKIA1"));
        assert_eq!(key_of("Bearer x"), None);
    }
}
