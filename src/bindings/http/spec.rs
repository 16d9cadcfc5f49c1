//! The fields of a `bindings.http` file.

use super::super::fields::read_direction;
use super::target;
use crate::domain::Direction;
use crate::manifest::{Document, Faults, Notice, Reader};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
const DEFAULT_MAX_RESPONSE: usize = 100 << 20;
const GIB: usize = 1 << 30;
const DEFAULT_MAX_CONNECTIONS: u64 = 100;

#[derive(Debug, Clone)]
pub struct Spec {
    /// `url`
    pub(super) url: String,
    /// `responseTimeout`; no limit without it, as in Dapr.
    pub(super) response_timeout: Option<Duration>,
    /// `maxResponseBodySize` in bytes.
    pub(super) max_response: usize,
    /// `maxConnections`: requests at the same time.
    pub(super) max_connections: usize,
    /// `errorIfNot2XX`
    pub(super) error_if_not_2xx: bool,
    /// `securityTokenHeader` and `securityToken`, if both are set.
    pub(super) security: Option<(HeaderName, SecretString)>,
    pub(super) tls: TlsSpec,
    /// `direction`; `input` alone is a fault, as this kind has an output side only.
    pub direction: Direction,
}

/// PEM texts, or paths of files with them.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsSpec {
    pub(super) root_ca: Option<SecretString>,
    pub(super) client_cert: Option<SecretString>,
    pub(super) client_key: Option<SecretString>,
}

impl Spec {
    /// Checks a document and reports all faults. A spec with faults must not be connected.
    #[must_use]
    pub fn check(document: &Document) -> (Self, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        let spec = Self::read(&mut reader);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    /// Reads every field of the kind; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required_text("url");
        let url = reader.parsed("url", |text| match target::parse(text.trim()) {
            Ok(_) => Ok(text.trim().to_owned()),
            Err(problem) => Err((problem, "write one such as `http://localhost:8000/customers`".to_owned())),
        });
        let direction = read_direction(reader);
        if direction == Direction::Input {
            reader.fault("direction", "an HTTP component has no input", "write `output`, or leave it out");
        }
        let connections = reader.number("maxConnections", 1..=10_000).unwrap_or(DEFAULT_MAX_CONNECTIONS);
        // 0 is no limit in Dapr; here it is the largest one.
        let max_response = reader.size("maxResponseBodySize", 0..=GIB).unwrap_or(DEFAULT_MAX_RESPONSE);
        Self {
            url: url.unwrap_or_default(),
            response_timeout: reader.duration("responseTimeout", MILLISECOND..=DAY),
            max_response: if max_response == 0 { GIB } else { max_response },
            max_connections: usize::try_from(connections).unwrap_or(usize::MAX),
            error_if_not_2xx: reader.boolean("errorIfNot2XX").unwrap_or(true),
            security: read_security(reader),
            tls: read_tls(reader),
            direction,
        }
    }
}

fn read_security(reader: &mut Reader<'_>) -> Option<(HeaderName, SecretString)> {
    let token = reader.secret("securityToken");
    if token.as_ref().is_some_and(|token| HeaderValue::from_str(token.expose_secret()).is_err()) {
        reader.fault("securityToken", "the value does not fit into a header", "correct it; it may end in a line break");
    }
    let name = reader.parsed("securityTokenHeader", |text| {
        let remedy = || "write a name such as `X-Security-Token`".to_owned();
        text.trim().parse::<HeaderName>().map_err(|_| ("this is not the name of a header".to_owned(), remedy()))
    });
    match (reader.is_given("securityToken"), reader.is_given("securityTokenHeader")) {
        (true, false) => reader.notice("securityToken", "it is not sent without `securityTokenHeader`"),
        (false, true) => reader.notice("securityTokenHeader", "it is not sent without `securityToken`"),
        (true, true) | (false, false) => {}
    }
    name.zip(token)
}

fn read_tls(reader: &mut Reader<'_>) -> TlsSpec {
    let tls = TlsSpec {
        root_ca: reader.secret("MTLSRootCA"),
        client_cert: reader.secret("MTLSClientCert"),
        client_key: reader.secret("MTLSClientKey"),
    };
    match (reader.is_given("MTLSClientCert"), reader.is_given("MTLSClientKey")) {
        (true, false) => reader.notice("MTLSClientCert", "it is not used without `MTLSClientKey`"),
        (false, true) => reader.notice("MTLSClientKey", "it is not used without `MTLSClientCert`"),
        (true, true) | (false, false) => {}
    }
    let words = [("RenegotiateNever", true), ("RenegotiateOnceAsClient", false), ("RenegotiateFreelyAsClient", false)];
    if reader.one_of("MTLSRenegotiation", &words) == Some(false) {
        reader.notice("MTLSRenegotiation", "bindd never renegotiates TLS; servers of TLS 1.3 do not either");
    }
    tls
}
