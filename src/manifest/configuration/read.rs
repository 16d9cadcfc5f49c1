//! Reads the merged `spec` of a `Configuration`.

use super::super::scalar::scalar;
use super::component_rules::ComponentRules;
use super::fields::Section;
use super::model::{
    ApiLogging, Configuration, Feature, MetricsConfiguration, OtelConfiguration, OtelProtocol, TracingConfiguration,
};
use super::secret_scopes::SecretScope;
use crate::domain::{ApiProtocol, ApiRule, ApiRules};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// Members of Dapr that protect or change requests there, and have no effect here.
const WITHOUT_EFFECT: [&str; 3] = ["httpPipeline", "appHttpPipeline", "accessControl"];

pub(super) fn read(spec: &Map<String, Value>) -> Result<Configuration, String> {
    let root = Section::root(spec);
    let mut notices = Vec::new();
    for member in WITHOUT_EFFECT.into_iter().filter(|member| root.has(member)) {
        notices.push(format!("`spec.{member}` of the Configuration has no effect in bindd"));
    }
    Ok(Configuration {
        tracing: tracing(&root, &mut notices)?,
        metrics: metrics(&root, &mut notices)?,
        api: api(&root.section("api")?, &mut notices)?,
        components: ComponentRules::new(root.section("components")?.texts("deny")?.iter().map(String::as_str)),
        api_logging: api_logging(&root)?,
        features: root.entries("features")?.iter().map(feature).collect::<Result<_, _>>()?,
        secret_scopes: secret_scopes(&root.section("secrets")?)?,
        notices,
    })
}

fn tracing(root: &Section<'_>, notices: &mut Vec<String>) -> Result<TracingConfiguration, String> {
    let tracing = root.section("tracing")?;
    let (zipkin, otel) = (tracing.section("zipkin")?, tracing.section("otel")?);
    let sampling_rate = match tracing.text("samplingRate")? {
        None => None,
        Some(text) => match text.trim().parse::<f64>() {
            Ok(rate) if (0.0..=1.0).contains(&rate) => Some(rate),
            // As in Dapr, a wrong rate is replaced by the default.
            Ok(_) | Err(_) => {
                notices
                    .push(format!("`spec.tracing.samplingRate` is `{text}`, not a number from 0 to 1; 0.0001 is used"));
                Some(0.0001)
            }
        },
    };
    let protocol = match otel.text("protocol")?.map(|word| word.to_lowercase()).as_deref() {
        None | Some("http") => OtelProtocol::Http,
        Some("grpc") => OtelProtocol::Grpc,
        Some(other) => return Err(format!("`spec.tracing.otel.protocol` is `{other}`: write http or grpc")),
    };
    let headers = otel.list("headers")?.iter().map(header).collect::<Result<_, _>>()?;
    Ok(TracingConfiguration {
        sampling_rate,
        stdout: tracing.boolean("stdout")?.unwrap_or(false),
        zipkin_endpoint: zipkin.text("endpointAddress")?,
        otel: OtelConfiguration {
            endpoint: otel.text("endpointAddress")?,
            protocol,
            is_secure: otel.boolean("isSecure")?.unwrap_or(true),
            headers,
            timeout: otel.duration("timeout")?.filter(|timeout| !timeout.is_zero()),
        },
    })
}

/// `name=value`, or a mapping with both, as resources of Kubernetes have it. The error does not show the value.
fn header(value: &Value) -> Result<(String, SecretString), String> {
    let pair = match value {
        Value::Object(map) => scalar(map.get("name")).zip(scalar(map.get("value"))),
        _ => scalar(Some(value)).and_then(|text| {
            text.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        }),
    };
    let pair = pair.filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name, SecretString::from(value)))
        .ok_or_else(|| "an entry of `spec.tracing.otel.headers` is not `name=value`".to_owned())
}

/// A member of `metrics` outranks the same member of `metric`.
fn metrics(root: &Section<'_>, notices: &mut Vec<String>) -> Result<MetricsConfiguration, String> {
    let (older, newer) = (root.section("metric")?, root.section("metrics")?);
    let of = |field: &str| if newer.has(field) { newer } else { older };
    let section = of("http");
    let http = section.section("http")?;
    if !of("rules").entries("rules")?.is_empty() {
        notices.push(
            "`spec.metrics.rules` of the Configuration has no effect in bindd; rewrite labels where metrics are scraped"
                .to_owned(),
        );
    }
    let default = MetricsConfiguration::default();
    Ok(MetricsConfiguration {
        enabled: of("enabled").boolean("enabled")?.unwrap_or(default.enabled),
        record_error_codes: of("recordErrorCodes").boolean("recordErrorCodes")?.unwrap_or(default.record_error_codes),
        increased_cardinality: http.boolean("increasedCardinality")?,
        path_matching: http.texts("pathMatching")?,
        exclude_verbs: http.boolean("excludeVerbs")?.unwrap_or(default.exclude_verbs),
        latency_buckets: buckets(&of("latencyDistributionBuckets").texts("latencyDistributionBuckets")?)?,
    })
}

fn buckets(texts: &[String]) -> Result<Vec<u64>, String> {
    let buckets: Result<Vec<u64>, _> = texts.iter().map(|text| text.parse()).collect();
    let wrong = || "`spec.metrics.latencyDistributionBuckets` is not a list of growing whole milliseconds".to_owned();
    buckets.ok().filter(|buckets| buckets.is_sorted_by(|one, next| one < next)).ok_or_else(wrong)
}

fn api(section: &Section<'_>, notices: &mut Vec<String>) -> Result<ApiRules, String> {
    let mut rules = |field| {
        let mut rules = Vec::new();
        for entry in section.entries(field)? {
            let name = entry.text("name")?.unwrap_or_default();
            match api_rule(&entry, &name)? {
                Some(rule) => {
                    if rule.has_unknown_version() {
                        notices.push(format!(
                            "`spec.api.{field}`: the rule for `{name}` matches nothing, as this API has no version `{}`; \
                             write {}",
                            rule.version,
                            if name == "components" { "v1.0-alpha1" } else { "v1.0" }
                        ));
                    }
                    rules.push(rule);
                }
                None => notices.push(format!(
                    "`spec.api.{field}`: the rule for `{name}` matches nothing, as in Dapr; set its `protocol` to http or grpc"
                )),
            }
        }
        Ok::<_, String>(rules)
    };
    Ok(ApiRules { allowed: rules("allowed")?, denied: rules("denied")? })
}

/// `None` for another protocol, which matches nothing, as in Dapr.
fn api_rule(entry: &Section<'_>, name: &str) -> Result<Option<ApiRule>, String> {
    let protocol = match entry.text("protocol")?.unwrap_or_default().to_lowercase().as_str() {
        "http" => ApiProtocol::Http,
        "grpc" => ApiProtocol::Grpc,
        _ => return Ok(None),
    };
    let version = entry.text("version")?.unwrap_or_default();
    Ok(Some(ApiRule { name: name.to_owned(), version, protocol }))
}

fn api_logging(root: &Section<'_>) -> Result<ApiLogging, String> {
    let logging = root.section("logging")?;
    let api = logging.section("apiLogging")?;
    Ok(ApiLogging {
        enabled: api.boolean("enabled")?.unwrap_or(false),
        obfuscate_urls: api.boolean("obfuscateURLs")?.unwrap_or(false),
        omit_health_checks: api.boolean("omitHealthChecks")?.unwrap_or(false),
    })
}

fn feature(entry: &Section<'_>) -> Result<Feature, String> {
    let (name, enabled) = (entry.text("name")?.unwrap_or_default(), entry.boolean("enabled")?.unwrap_or(false));
    Ok(Feature { name, enabled })
}

fn secret_scopes(section: &Section<'_>) -> Result<Vec<SecretScope>, String> {
    let mut scopes: Vec<SecretScope> = Vec::new();
    for entry in section.entries("scopes")? {
        let store = entry.text("storeName")?.unwrap_or_default();
        if scopes.iter().any(|scope| scope.store == store) {
            return Err(format!("{store} storeName is repeated in secrets configuration"));
        }
        let access = entry.text("defaultAccess")?.unwrap_or_default();
        let denies_by_default = match access.to_lowercase().as_str() {
            "" | "allow" => false,
            "deny" => true,
            _ => return Err(format!("defaultAccess {access} can be either allow or deny")),
        };
        let (allowed, denied) = (entry.texts("allowedSecrets")?, entry.texts("deniedSecrets")?);
        scopes.push(SecretScope { store, denies_by_default, allowed, denied });
    }
    Ok(scopes)
}
