//! Which metrics, traces and log lines the settings and the Configuration ask for.

use crate::manifest::{Configuration, Environment, OtelProtocol, ProcessEnvironment};
use crate::settings::Settings;
use crate::telemetry::{ApiLogRules, MetricsRules, MetricsSettings, OtlpProtocol, OtlpSettings, TraceSettings};

/// Paths are labels only where the Configuration or `--dapr-compat` asks for it, as each costs memory.
pub(super) fn metrics(settings: &Settings, configuration: &Configuration) -> MetricsSettings {
    let configured = &configuration.metrics;
    #[expect(clippy::cast_precision_loss, reason = "bounds of milliseconds are far below 2^52")]
    let latency_buckets = configured.latency_buckets.iter().map(|bound| *bound as f64).collect();
    MetricsSettings {
        app_id: settings.app_id.clone(),
        namespace: settings.namespace.clone().unwrap_or_default(),
        rules: MetricsRules {
            record_error_codes: configured.record_error_codes,
            increased_cardinality: configured.increased_cardinality.unwrap_or(settings.dapr_compat),
            path_matching: configured.path_matching.clone(),
            exclude_verbs: configured.exclude_verbs,
            latency_buckets,
        },
    }
}

/// The variables `OTEL_*` count where no endpoint is configured.
pub(super) fn traces(settings: &Settings, configuration: &Configuration) -> TraceSettings {
    let tracing = &configuration.tracing;
    let otlp = tracing.otel.endpoint.clone().map(|endpoint| {
        let protocol = match tracing.otel.protocol {
            OtelProtocol::Http => OtlpProtocol::Http,
            OtelProtocol::Grpc => OtlpProtocol::Grpc,
        };
        let defaults = OtlpSettings::new(endpoint, protocol);
        OtlpSettings {
            is_secure: tracing.otel.is_secure,
            headers: tracing.otel.headers.clone(),
            timeout: tracing.otel.timeout.unwrap_or(defaults.timeout),
            ..defaults
        }
    });
    let configured = TraceSettings {
        sampling_rate: tracing.sampling_rate,
        stdout: tracing.stdout,
        zipkin: tracing.zipkin_endpoint.clone(),
        otlp,
        service_name: settings.app_id.clone(),
        resource: Vec::new(),
        notices: Vec::new(),
    };
    configured.with_environment(|name| ProcessEnvironment.get(name))
}

/// The flag outranks the Configuration.
pub(super) fn api_log(settings: &Settings, configuration: &Configuration) -> ApiLogRules {
    let configured = configuration.api_logging;
    ApiLogRules {
        enabled: settings.api_logging.unwrap_or(configured.enabled),
        obfuscate_urls: configured.obfuscate_urls,
        omit_health_checks: configured.omit_health_checks,
    }
}
