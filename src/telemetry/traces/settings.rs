//! What is traced and where spans go.

use secrecy::SecretString;
use std::time::Duration;

/// Of OpenTelemetry, for one request.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// `spec.tracing` of a `Configuration`.
#[derive(Debug, Clone, Default)]
pub struct TraceSettings {
    /// `samplingRate`, from 0 to 1; `None` if it is not given, which counts as 0.0001. 0 switches tracing off.
    pub sampling_rate: Option<f64>,
    /// `stdout`: write spans to standard output.
    pub stdout: bool,
    /// `zipkin.endpointAddress`, a URL such as `http://zipkin:9411/api/v2/spans`.
    pub zipkin: Option<String>,
    /// `otel`.
    pub otlp: Option<OtlpSettings>,
    /// The name of this service in each span, normally `--app-id`.
    pub service_name: String,
    /// More attributes of this process.
    pub resource: Vec<(String, String)>,
    /// Variables that were ignored: one sentence each, for the log.
    pub notices: Vec<String>,
}

/// `spec.tracing.otel`.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// `host:port`, or a URL, whose scheme then decides over `is_secure`. Over HTTP, `/v1/traces` is added to it if it has
    /// no path.
    pub endpoint: String,
    pub protocol: OtlpProtocol,
    /// Use TLS; true by default in Dapr.
    pub is_secure: bool,
    /// Headers of each request.
    pub headers: Vec<(String, SecretString)>,
    /// For one request.
    pub timeout: Duration,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

impl OtlpSettings {
    /// With TLS, no headers and a timeout of 10 s.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, protocol: OtlpProtocol) -> Self {
        let endpoint = endpoint.into();
        Self { endpoint, protocol, is_secure: true, headers: Vec::new(), timeout: DEFAULT_TIMEOUT }
    }

    /// The URL of a request.
    pub(super) fn url(&self) -> String {
        let base = self.endpoint.trim_end_matches('/');
        let base = match (base.contains("://"), self.is_secure) {
            (true, _) => base.to_owned(),
            (false, true) => format!("https://{base}"),
            (false, false) => format!("http://{base}"),
        };
        let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        match self.protocol {
            OtlpProtocol::Grpc => format!("{base}/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
            OtlpProtocol::Http if has_path => base,
            OtlpProtocol::Http => format!("{base}/v1/traces"),
        }
    }
}

impl TraceSettings {
    /// Whether spans go anywhere.
    #[must_use]
    pub const fn has_exporter(&self) -> bool {
        self.stdout || self.zipkin.is_some() || self.otlp.is_some()
    }

    /// Adds what the variables `OTEL_*` say. Those of an exporter count only where no endpoint is configured, as in daprd,
    /// and then the sampling rate is 1 unless it is configured.
    #[must_use]
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let of_traces = |name: &str| {
            let specific = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
            specific.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        if let Some(name) = variable("OTEL_SERVICE_NAME") {
            self.service_name = name;
        }
        self.resource.extend(variable("OTEL_RESOURCE_ATTRIBUTES").iter().flat_map(|text| pairs(text)));
        if self.zipkin.is_none()
            && self.otlp.is_none()
            && let Some(endpoint) = of_traces("ENDPOINT")
        {
            let is_http = of_traces("PROTOCOL").is_some_and(|protocol| protocol.starts_with("http"));
            let protocol = if is_http { OtlpProtocol::Http } else { OtlpProtocol::Grpc };
            let mut otlp = OtlpSettings::new(endpoint, protocol);
            let is_base = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").is_none();
            if is_http && is_base {
                // The variable for all signals is a base, also if it has a path.
                otlp.endpoint = format!("{}/v1/traces", otlp.endpoint.trim_end_matches('/'));
            }
            otlp.is_secure = of_traces("INSECURE").is_none_or(|text| !text.eq_ignore_ascii_case("true"));
            if let Some(text) = of_traces("HEADERS") {
                otlp.headers = pairs(&text).map(|(name, value)| (name, value.into())).collect();
                if text.split(',').any(|pair| !pair.trim().is_empty() && !pair.contains('=')) {
                    // The text is not shown, since it may hold secrets.
                    let notice = "OTEL_EXPORTER_OTLP_HEADERS: an entry is not name=value and was left out";
                    self.notices.push(notice.to_owned());
                }
            }
            if let Some(text) = of_traces("TIMEOUT") {
                match text.parse() {
                    Ok(timeout) => otlp.timeout = Duration::from_millis(timeout),
                    Err(_) => self.notices.push(format!(
                        "OTEL_EXPORTER_OTLP_TIMEOUT is not a whole number of milliseconds; {DEFAULT_TIMEOUT:?} is used"
                    )),
                }
            }
            self.otlp = Some(otlp);
            self.sampling_rate = self.sampling_rate.or(Some(1.0));
        }
        self
    }
}

/// `a=b,c=d` with percent escapes in the values.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), unescaped(value.trim())))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).filter(|_| first == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn from(variables: &[(&str, &str)]) -> TraceSettings {
        let lookup =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        TraceSettings { service_name: "shop".to_owned(), ..TraceSettings::default() }.with_environment(lookup)
    }

    #[test]
    fn variables_configure_an_exporter() {
        let settings = from(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, other=c"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_SERVICE_NAME", "billing"),
            ("OTEL_RESOURCE_ATTRIBUTES", "env=prod"),
        ]);
        let otlp = settings.otlp.unwrap();
        assert_eq!((otlp.url().as_str(), otlp.protocol), ("http://collector:4318/base/v1/traces", OtlpProtocol::Http));
        assert_eq!((otlp.timeout, settings.sampling_rate), (Duration::from_millis(250), Some(1.0)));
        let headers: Vec<_> = otlp.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(headers, [("api-key", "a b"), ("other", "c")]);
        assert!(!format!("{:?}", otlp.headers).contains("a b"));
        assert_eq!((settings.service_name.as_str(), settings.resource.len()), ("billing", 1));
    }

    #[test]
    fn variables_that_cannot_be_used_are_said_without_their_values() {
        let with =
            |name: &str, value: &str| from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4317"), (name, value)]);
        for (name, value, begin) in [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT is not a whole number"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,s3cret", "OTEL_EXPORTER_OTLP_HEADERS: an entry is not name=value"),
        ] {
            let settings = with(name, value);
            assert_eq!(settings.notices.len(), 1, "{name}");
            assert!(settings.notices[0].starts_with(begin) && !settings.notices[0].contains("s3cret"), "{name}");
            assert_eq!(settings.otlp.unwrap().timeout, DEFAULT_TIMEOUT, "{name}");
        }
        assert!(with("OTEL_EXPORTER_OTLP_HEADERS", "a=b, c=d,").notices.is_empty());
    }

    #[test]
    fn a_configured_endpoint_outranks_the_environment() {
        let configured = TraceSettings { zipkin: Some("http://z".to_owned()), ..TraceSettings::default() };
        let settings =
            configured.with_environment(|name| name.ends_with("ENDPOINT").then(|| "http://other".to_owned()));
        assert!(settings.otlp.is_none() && settings.sampling_rate.is_none());
        assert!(!from(&[]).has_exporter());
    }

    #[test]
    fn endpoints_become_urls() {
        let url = |endpoint: &str, protocol, is_secure| {
            OtlpSettings { is_secure, ..OtlpSettings::new(endpoint, protocol) }.url()
        };
        let export = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!(url("otel:4317", OtlpProtocol::Grpc, false), format!("http://otel:4317/{export}"));
        assert_eq!(url("otel:4317", OtlpProtocol::Grpc, true), format!("https://otel:4317/{export}"));
        assert_eq!(url("otel:4318", OtlpProtocol::Http, false), "http://otel:4318/v1/traces");
        assert_eq!(url("http://otel/custom", OtlpProtocol::Http, true), "http://otel/custom");
    }
}
