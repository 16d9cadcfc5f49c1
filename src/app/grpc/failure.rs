//! gRPC statuses of calls to the app, as failures of a delivery.

use super::super::answer;
use crate::domain::{BoxError, DeliveryError, causes, grpc_code_name};
use crate::protocol::rpc;
use prost::Message;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, ConnectError, Status, TimeoutExpired};

/// A longer delay is reduced to this, because the app may recover earlier.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// A method of the app, and the limit of its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) method: &'static str,
    pub(super) address: &'t str,
    pub(super) limit: Duration,
    /// The option that sets the limit.
    pub(super) option: &'static str,
}

impl Target<'_> {
    pub(super) fn timed_out(&self) -> DeliveryError {
        DeliveryError::TimedOut { target: self.method.to_owned(), limit: self.limit, option: self.option }
    }

    fn unreachable(&self, source: impl Into<BoxError>) -> DeliveryError {
        DeliveryError::Unreachable { address: self.address.to_owned(), source: source.into() }
    }
}

/// Whether the call was ended here because its time was over.
pub(super) fn is_timeout(status: &Status) -> bool {
    status.source().is_some_and(|source| causes(source).any(|cause| cause.is::<TimeoutExpired>()))
}

/// What a status says about the event, unless the time of the call was over. `sent` is what the app may quote.
pub(super) fn delivery_error(status: &Status, target: &Target<'_>, sent: &[&[u8]]) -> DeliveryError {
    if let Some(source) = status.source() {
        // A status that was made here, because the connection failed.
        let text = last_cause(source);
        if causes(source).any(|cause| cause.is::<ConnectError>()) {
            return target.unreachable(text);
        }
        let is_invalid = |cause: &(dyn Error + 'static)| cause.downcast_ref().is_some_and(h2::Error::is_library);
        if causes(source).any(is_invalid) {
            return DeliveryError::NotHttp {
                address: target.address.to_owned(),
                expected: "HTTP/2, which gRPC needs",
                finding: format!("{text}; set --app-protocol to what the app speaks"),
                source: text.into(),
            };
        }
        return DeliveryError::Unanswered { target: target.method.to_owned(), was_idle: false, source: text.into() };
    }
    let excerpt = answer::excerpt(status.message().as_bytes(), sent);
    match status.code() {
        Code::Unavailable if retry_after(status).is_none() => {
            let text = excerpt.map(|text| format!(": {text}")).unwrap_or_default();
            target.unreachable(format!("the app answered UNAVAILABLE{text}"))
        }
        code => DeliveryError::RefusedCall {
            code: grpc_code_name(code.into()),
            status: http_status(code),
            target: target.method.to_owned(),
            retry_after: retry_after(status),
            excerpt,
        },
    }
}

/// The innermost cause: those around it only say that the transport failed.
fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The delay of a `RetryInfo` in the details, capped.
fn retry_after(status: &Status) -> Option<Duration> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let retry = details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = rpc::RetryInfo::decode(retry.value.as_slice()).ok()?.retry_delay?;
    Some(Duration::try_from(delay).ok()?.min(MAX_RETRY_AFTER))
}

/// As `google.rpc.Code` maps them, so that options with HTTP statuses mean the same over gRPC.
const fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    }
}

#[cfg(test)]
mod tests {
    use super::super::GrpcChannel;
    use super::*;
    use crate::app::AppSettings;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const TARGET: Target<'_> = Target {
        method: "OnBindingEvent",
        address: "127.0.0.1:1",
        limit: Duration::from_secs(1),
        option: "--app-timeout",
    };

    #[test]
    fn a_refusal_has_the_code_and_the_text_without_the_record() {
        let status = Status::invalid_argument("no order in 4711-secret-4711");
        let error = delivery_error(&status, &TARGET, &[b"4711-secret-4711"]);
        assert_eq!((error.status(), error.is_app_down(), error.is_response()), (Some(400), false, true));
        let text = error.to_string();
        assert!(text.contains("INVALID_ARGUMENT") && text.contains("no order") && !text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn an_app_of_another_protocol_is_told_apart_from_one_that_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = GrpcChannel::new(&AppSettings::new(listener.local_addr().unwrap().port()), false).unwrap();
        let app = async {
            let mut stream = listener.accept().await.unwrap().0;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            drop(stream.read_to_end(&mut Vec::new()).await);
        };
        let (listed, ()) = tokio::join!(channel.list_input_bindings(), app);
        let error = listed.unwrap_err();
        assert!(
            matches!(error, DeliveryError::NotHttp { .. }) && error.to_string().contains("--app-protocol"),
            "{error:?}"
        );
        drop(listener);
        let error = channel.list_input_bindings().await.unwrap_err();
        assert!(matches!(error, DeliveryError::Unreachable { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_on_which_the_app_is_silent_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = GrpcChannel::new(&AppSettings::new(listener.local_addr().unwrap().port()), false).unwrap();
        let (checked, _first) = tokio::join!(channel.check_health(Duration::from_secs(1)), listener.accept());
        assert_eq!(checked.unwrap_err().code(), Code::DeadlineExceeded);
        tokio::select! {
            accepted = listener.accept() => drop(accepted.unwrap()),
            checked = channel.check_health(Duration::from_secs(60)) => panic!("on the old connection: {checked:?}"),
        }
    }

    #[test]
    fn an_unavailable_app_is_down_unless_it_says_when_to_retry() {
        assert!(delivery_error(&Status::unavailable("starting"), &TARGET, &[]).is_app_down());
        let delay = prost_types::Duration { seconds: 7, nanos: 0 };
        let retry = rpc::RetryInfo { retry_delay: Some(delay) };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: retry.encode_to_vec(),
        };
        let details = rpc::Status { code: 14, message: String::new(), details: vec![any] }.encode_to_vec();
        let busy = delivery_error(&Status::with_details(Code::Unavailable, "busy", details.into()), &TARGET, &[]);
        assert_eq!((busy.is_app_down(), busy.retry_after()), (false, Some(Duration::from_secs(7))));
        assert_eq!(busy.status(), Some(503));
    }
}
