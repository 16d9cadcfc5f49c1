//! What a `Configuration` says, typed. Names in backticks are its members below `spec`.

use super::component_rules::ComponentRules;
use super::secret_scopes::SecretScope;
use crate::domain::ApiRules;
use secrecy::SecretString;
use std::time::Duration;

/// The feature that watches files for changes; on by default, as in Dapr.
pub const HOT_RELOAD: &str = "HotReload";

/// The merged files of `--config`. The default is that of daprd without a file.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// `tracing`
    pub tracing: TracingConfiguration,
    /// `metrics`, and its older name `metric`.
    pub metrics: MetricsConfiguration,
    /// `api`
    pub api: ApiRules,
    /// `components.deny`
    pub components: ComponentRules,
    /// `logging.apiLogging`
    pub api_logging: ApiLogging,
    /// `features`
    pub features: Vec<Feature>,
    /// `secrets.scopes`: they limit Dapr's secrets API, which bindd does not serve; references of components are not
    /// limited by them, as in daprd.
    pub secret_scopes: Vec<SecretScope>,
    /// What has no effect here although a reader may expect it: one sentence each, for the log.
    pub notices: Vec<String>,
}

/// `features[]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    pub name: String,
    pub enabled: bool,
}

/// `tracing`
#[derive(Debug, Clone, Default)]
pub struct TracingConfiguration {
    /// `samplingRate`, from 0 to 1. `None` is Dapr's 0.0001, and no exporter.
    pub sampling_rate: Option<f64>,
    /// `stdout`: spans are written to standard output.
    pub stdout: bool,
    /// `zipkin.endpointAddress`
    pub zipkin_endpoint: Option<String>,
    /// `otel`
    pub otel: OtelConfiguration,
}

/// `tracing.otel`
#[derive(Debug, Clone)]
pub struct OtelConfiguration {
    /// `endpointAddress`: host and port, for HTTP perhaps with a path; without a scheme.
    pub endpoint: Option<String>,
    /// `protocol`
    pub protocol: OtelProtocol,
    /// `isSecure`: whether TLS is used; default true.
    pub is_secure: bool,
    /// `headers`; the values may be secrets.
    pub headers: Vec<(String, SecretString)>,
    /// `timeout` of an export; `None` is that of the exporter.
    pub timeout: Option<Duration>,
}

impl Default for OtelConfiguration {
    fn default() -> Self {
        Self { endpoint: None, protocol: OtelProtocol::Http, is_secure: true, headers: Vec::new(), timeout: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtelProtocol {
    Http,
    Grpc,
}

/// `metrics`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfiguration {
    /// `enabled`, default true.
    pub enabled: bool,
    /// `recordErrorCodes`
    pub record_error_codes: bool,
    /// `http.increasedCardinality`: whether the label `path` is the whole path; `None` if it does not
    /// say.
    pub increased_cardinality: Option<bool>,
    /// `http.pathMatching`: patterns of paths that are labels where the cardinality is not increased.
    pub path_matching: Vec<String>,
    /// `http.excludeVerbs`: whether the label `method` is empty.
    pub exclude_verbs: bool,
    /// `latencyDistributionBuckets` in milliseconds, growing; empty for Dapr's.
    pub latency_buckets: Vec<u64>,
}

impl Default for MetricsConfiguration {
    fn default() -> Self {
        Self {
            enabled: true,
            record_error_codes: false,
            increased_cardinality: None,
            path_matching: Vec::new(),
            exclude_verbs: false,
            latency_buckets: Vec::new(),
        }
    }
}

/// `logging.apiLogging`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiLogging {
    /// `--enable-api-logging` outranks it.
    pub enabled: bool,
    /// `obfuscateURLs`: the name of the route is logged instead of the path.
    pub obfuscate_urls: bool,
    /// `omitHealthChecks`
    pub omit_health_checks: bool,
}

impl Configuration {
    /// Whether a feature is on. The last entry of its name counts; only `HotReload` is on without one.
    #[must_use]
    pub fn is_enabled(&self, feature: &str) -> bool {
        let entry = self.features.iter().rev().find(|entry| entry.name == feature);
        entry.map_or(feature == HOT_RELOAD, |entry| entry.enabled)
    }

    /// The features that are on, for `enabledFeatures` of `GET /v1.0/metadata`.
    #[must_use]
    pub fn enabled_features(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        names.push(HOT_RELOAD);
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !name.is_empty() && self.is_enabled(name));
        names
    }

    /// The members in which a changed configuration differs from this one and which act only after a restart.
    /// `components.deny` is not among them: it acts at the next reload of components.
    #[must_use]
    pub fn restart_needed_for(&self, changed: &Self) -> Vec<&'static str> {
        // Compared as text, since secrets have no equality. `Debug` hides them, so their change alone is not seen.
        let tracing = format!("{:?}", self.tracing) != format!("{:?}", changed.tracing);
        let members = [
            ("tracing", tracing),
            ("metrics", self.metrics != changed.metrics),
            ("api", self.api != changed.api),
            ("logging.apiLogging", self.api_logging != changed.api_logging),
            ("features", self.enabled_features() != changed.enabled_features()),
        ];
        members.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect()
    }
}
