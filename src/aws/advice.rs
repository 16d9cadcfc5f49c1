//! Remedies for calls without a response, and for operations that the service does not have. Pure.

use crate::domain::causes;
use std::error::Error;
use std::io;

/// The remedy for an operation that the service does not implement. `operation` is written as `Kinesis: PutRecord`.
pub(super) fn unsupported(operation: &str) -> &'static str {
    match operation {
        "Kinesis: SubscribeToShard" | "Kinesis: RegisterStreamConsumer" | "Kinesis: DescribeStreamConsumer" => {
            "the endpoint has no enhanced fan-out: write `mode: shared`, or use an endpoint that has it"
        }
        _ => "the endpoint does not implement this operation: use one that does, or check `endpoint`",
    }
}

/// The remedy for a connection that failed or broke, to be put after the cause. Errors of TLS and of proxies are recognised
/// by their texts, because their types are private to the SDK's HTTP client.
pub(super) fn unreachable(error: &(dyn Error + 'static)) -> &'static str {
    let any = |words: &[&str]| {
        causes(error).any(|cause| {
            let text = cause.to_string();
            words.iter().any(|word| text.contains(word))
        })
    };
    if any(&["tunnel error", "proxy"]) {
        "; the proxy did not let the call through, check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    } else if any(&["UnknownIssuer", "unknown issuer", "CaUsedAsEndEntity", "self-signed", "self signed"]) {
        "; give the certificate authority in `caBundle` or AWS_CA_BUNDLE"
    } else if any(&["certificate"]) {
        "; check the host's certificate, the name in `endpoint` and this machine's clock"
    } else if any(&["InvalidContentType", "corrupt message", "received fatal alert", "HandshakeFailure"]) {
        "; the server does not speak TLS as expected, check `http` or `https` and the port in `endpoint`"
    } else if any(&["dns error", "failed to lookup address"]) {
        "; the host name cannot be resolved, check `region`, `endpoint` and DNS"
    } else if is_io(error, &[io::ErrorKind::ConnectionRefused]) {
        "; nothing listens there, check `endpoint` and whether the service is up"
    } else if any(&["connect timeout"]) || is_io(error, UNROUTED) {
        "; nothing answers there, check routes, firewalls, VPC endpoints and proxies"
    } else {
        ""
    }
}

const UNROUTED: &[io::ErrorKind] =
    &[io::ErrorKind::HostUnreachable, io::ErrorKind::NetworkUnreachable, io::ErrorKind::TimedOut];

fn is_io(error: &(dyn Error + 'static), kinds: &[io::ErrorKind]) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| kinds.contains(&error.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BoxError;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Outer(#[source] BoxError);

    fn caused_by(cause: impl Into<BoxError>) -> Outer {
        Outer(cause.into())
    }

    #[test]
    fn each_cause_has_its_own_remedy() {
        let io = |kind: io::ErrorKind| caused_by(io::Error::from(kind));
        for (error, word) in [
            (caused_by("tunnel error: unsuccessful"), "NO_PROXY"),
            (caused_by("invalid peer certificate: UnknownIssuer"), "`caBundle`"),
            (caused_by("invalid peer certificate: certificate not valid for name"), "clock"),
            (caused_by("received corrupt message of type InvalidContentType"), "`http` or `https`"),
            (caused_by("dns error"), "DNS"),
            (io(io::ErrorKind::ConnectionRefused), "nothing listens there"),
            (io(io::ErrorKind::HostUnreachable), "firewalls"),
            (caused_by("HTTP connect timeout occurred after 3.1s"), "firewalls"),
        ] {
            assert!(unreachable(&error).contains(word), "{word}: {}", unreachable(&error));
        }
        assert_eq!(unreachable(&io(io::ErrorKind::ConnectionReset)), "");
    }

    #[test]
    fn the_error_for_missing_fan_out_names_shared_mode() {
        assert!(unsupported("Kinesis: SubscribeToShard").contains("`mode: shared`"));
        assert!(!unsupported("DynamoDB: PutItem").contains("shared"));
    }
}
