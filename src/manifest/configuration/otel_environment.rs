//! `OTEL_EXPORTER_OTLP_*`: used for what no file says about the exporter of traces.

use super::super::Environment;
use super::model::{OtelProtocol, TracingConfiguration};
use secrecy::SecretString;
use std::time::Duration;

impl TracingConfiguration {
    /// Adds endpoint, protocol, headers and timeout of the environment, unless a file names an endpoint. The variables of
    /// traces outrank the general ones. An endpoint of the environment sets the sampling rate to 1 if no file has one.
    pub(super) fn add_environment(&mut self, environment: &dyn Environment) -> Result<(), String> {
        if self.otel.endpoint.is_some() {
            return Ok(());
        }
        let variable = |name: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
            names.into_iter().find_map(|name| environment.get(&name).filter(|value| !value.is_empty()))
        };
        if let Some(endpoint) = variable("ENDPOINT") {
            let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
            self.otel.endpoint = Some(host.unwrap_or(&endpoint).to_owned());
            self.sampling_rate = self.sampling_rate.or(Some(1.0));
            let is_http = variable("PROTOCOL").is_some_and(|protocol| protocol.starts_with("http"));
            self.otel.protocol = if is_http { OtelProtocol::Http } else { OtelProtocol::Grpc };
            if environment.get("OTEL_EXPORTER_OTLP_INSECURE").as_deref() == Some("true") {
                self.otel.is_secure = false;
            }
        }
        for pair in variable("HEADERS").iter().flat_map(|headers| headers.split(',')) {
            let wrong = || "a header in OTEL_EXPORTER_OTLP_HEADERS is not `name=value`".to_owned();
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = percent_decoded(value).ok_or_else(wrong)?;
            self.otel.headers.push((name.trim().to_owned(), SecretString::from(value.trim().to_owned())));
        }
        if let Some(text) = variable("TIMEOUT") {
            let millis = text.parse::<u64>();
            let millis = millis.map_err(|_| "OTEL_EXPORTER_OTLP_TIMEOUT is not a number of milliseconds".to_owned())?;
            self.otel.timeout = Some(Duration::from_millis(millis)).filter(|timeout| !timeout.is_zero());
        }
        Ok(())
    }
}

/// `None` for a bad escape or bytes that are not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}
