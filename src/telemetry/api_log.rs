//! The log of requests to the APIs, as daprd writes it.

use std::time::Duration;

/// `spec.logging.apiLogging` of a `Configuration`; `--enable-api-logging` decides over `enabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiLogRules {
    pub enabled: bool,
    /// `obfuscateURLs`: log what a request asks for instead of its path.
    pub obfuscate_urls: bool,
    /// `omitHealthChecks`: do not log requests to the health routes.
    pub omit_health_checks: bool,
}

/// The route of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// Dapr's name of it, such as `InvokeBinding`.
    pub name: &'static str,
    pub is_health_check: bool,
}

/// One request and its response.
#[derive(Debug, Clone, Copy)]
pub struct ApiCall<'a> {
    /// The method and the path over HTTP (`POST /v1.0/bindings/orders`), the full method over gRPC.
    pub method: &'a str,
    pub endpoint: ApiEndpoint,
    /// Empty if the client sent none.
    pub user_agent: &'a str,
    /// The HTTP status or the number of the gRPC code.
    pub code: u32,
    /// Bytes of the body of the response.
    pub size: u64,
    pub took: Duration,
}

impl ApiLogRules {
    #[must_use]
    pub const fn logs(&self, endpoint: ApiEndpoint) -> bool {
        self.enabled && !(self.omit_health_checks && endpoint.is_health_check)
    }

    const fn method<'a>(&self, call: &ApiCall<'a>) -> &'a str {
        if self.obfuscate_urls { call.endpoint.name } else { call.method }
    }

    /// Logs a request over HTTP, if it is to be logged.
    pub fn http_called(&self, call: &ApiCall<'_>) {
        if !self.logs(call.endpoint) {
            return;
        }
        let (method, useragent) = (self.method(call), Some(call.user_agent).filter(|agent| !agent.is_empty()));
        let (duration, code, size) = (milliseconds(call.took), call.code, call.size);
        tracing::info!(target: "dapr.runtime.http-info", method, useragent, duration, code, size, "HTTP API Called");
    }

    /// Logs a call over gRPC, if it is to be logged.
    pub fn grpc_called(&self, call: &ApiCall<'_>) {
        if !self.logs(call.endpoint) {
            return;
        }
        let (method, useragent) = (self.method(call), Some(call.user_agent).filter(|agent| !agent.is_empty()));
        let (duration, code, size) = (milliseconds(call.took), call.code, call.size);
        tracing::info!(
            target: "dapr.runtime.grpc.api-info", method, useragent, duration, code, size, "gRPC API Called"
        );
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_decide_what_is_logged() {
        let health = ApiEndpoint { name: "Healthz", is_health_check: true };
        let invoke = ApiEndpoint { name: "InvokeBinding", is_health_check: false };
        let call = ApiCall {
            method: "POST /v1.0/bindings/orders",
            endpoint: invoke,
            user_agent: "",
            code: 204,
            size: 0,
            took: Duration::ZERO,
        };
        let off = ApiLogRules::default();
        let on = ApiLogRules { enabled: true, ..off };
        let omitting = ApiLogRules { omit_health_checks: true, ..on };
        let logged = [off, on, omitting].map(|rules| (rules.logs(invoke), rules.logs(health)));
        assert_eq!(logged, [(false, false), (true, true), (true, false)]);
        assert_eq!(on.method(&call), "POST /v1.0/bindings/orders");
        assert_eq!(ApiLogRules { obfuscate_urls: true, ..on }.method(&call), "InvokeBinding");
    }
}
