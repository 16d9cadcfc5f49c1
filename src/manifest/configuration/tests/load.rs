use super::*;
use crate::domain::ApiProtocol;
use crate::manifest::configuration::{HOT_RELOAD, OtelProtocol};
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::time::Duration;

/// Loads these texts as files.
fn loaded(files: &[&str], variables: &[(&str, &str)]) -> Result<Configuration, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |index: usize| folder.path().join(format!("{index}.yaml"));
    let paths: Vec<PathBuf> = (0..files.len()).map(path).collect();
    paths.iter().zip(files).for_each(|(path, text)| std::fs::write(path, text).unwrap());
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    load_configuration(&paths, &variables).map_err(|error| error.to_string())
}

const FULL: &str = "apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: shop}
spec:
  tracing:
    samplingRate: \"${RATE}\"
    stdout: yes
    zipkin: {endpointAddress: 'http://zipkin:9411/api/v2/spans'}
    otel: {endpointAddress: 'collector:4317', protocol: grpc, isSecure: false, headers: [a=b=c, 'key = $TOKEN'], timeout: 3s}
  metric: {enabled: false, recordErrorCodes: true, http: {increasedCardinality: true, excludeVerbs: true}}
  metrics:
    http: {increasedCardinality: false, pathMatching: [/orders/*]}
    latencyDistributionBuckets: [10, 100]
    rules: [{name: dapr_x, labels: [{name: path, regex: {all: '.*$'}}]}]
  api:
    allowed: [{name: bindings, version: v1, protocol: HTTP}, {name: other, version: v1, protocol: smtp}]
    denied: [{name: metadata, version: v1.0, protocol: grpc}]
  components: {deny: [bindings.aws.dynamodb/v1]}
  logging: {apiLogging: {enabled: true, obfuscateURLs: true, omitHealthChecks: true}}
  features: [{name: HotReload, enabled: false}, {name: Other, enabled: true}]
  secrets: {scopes: [{storeName: vault, defaultAccess: Deny, allowedSecrets: [one]}]}
  httpPipeline: {handlers: []}
  mtls: {enabled: true}
";

#[test]
fn every_member_is_read() {
    let full = loaded(&[FULL], &[("RATE", "0.5"), ("TOKEN", "s3cret")]).unwrap();
    let tracing = &full.tracing;
    assert_eq!((tracing.sampling_rate, tracing.stdout), (Some(0.5), true));
    assert_eq!(tracing.zipkin_endpoint.as_deref(), Some("http://zipkin:9411/api/v2/spans"));
    let otel = &tracing.otel;
    assert_eq!(
        (otel.endpoint.as_deref(), otel.protocol, otel.is_secure),
        (Some("collector:4317"), OtelProtocol::Grpc, false)
    );
    let headers: Vec<_> = otel.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!((headers, otel.timeout), (vec![("a", "b=c"), ("key", "s3cret")], Some(Duration::from_secs(3))));
    let metrics = &full.metrics;
    assert_eq!((metrics.enabled, metrics.record_error_codes), (false, true), "as `metric` says");
    assert_eq!(
        (metrics.increased_cardinality, metrics.exclude_verbs),
        (Some(false), false),
        "`http` of `metrics` replaces it"
    );
    assert_eq!(
        (metrics.path_matching.as_slice(), metrics.latency_buckets.as_slice()),
        (&["/orders/*".to_owned()][..], &[10, 100][..])
    );
    assert_eq!((full.api.allowed.len(), full.api.denied[0].protocol), (1, ApiProtocol::Grpc));
    assert!(
        full.components.is_denied("bindings.aws.dynamodb", "v1")
            && !full.components.is_denied("bindings.aws.kinesis", "v1")
    );
    assert!(full.api_logging.enabled && full.api_logging.obfuscate_urls && full.api_logging.omit_health_checks);
    assert_eq!((full.is_enabled(HOT_RELOAD), full.enabled_features()), (false, vec!["Other"]));
    assert!(full.secret_scopes[0].is_allowed("one") && !full.secret_scopes[0].is_allowed("two"));
    assert_eq!(
        full.notices,
        [
            "`spec.httpPipeline` of the Configuration has no effect in bindd",
            "`spec.metrics.rules` of the Configuration has no effect in bindd; rewrite labels where metrics are scraped",
            "`spec.api.allowed`: the rule for `other` matches nothing, as in Dapr; set its `protocol` to http or grpc",
        ]
    );
    assert!(!format!("{full:?}").contains("s3cret"));
}

#[test]
fn without_a_file_everything_is_as_in_daprd() {
    let default = loaded(&[], &[]).unwrap();
    assert!(
        default.metrics.enabled && default.metrics.increased_cardinality.is_none() && default.tracing.otel.is_secure
    );
    assert_eq!((default.tracing.sampling_rate, default.enabled_features()), (None, vec![HOT_RELOAD]));
    assert!(!default.api_logging.enabled && default.notices.is_empty());
}

#[test]
fn later_files_win_mappings_are_merged_and_lists_replaced() {
    let first = "kind: Configuration\nspec:\n  tracing: {samplingRate: 1, zipkin: {endpointAddress: a}}\n  features: [{name: A, enabled: true}]\n  \
                 logging: {apiLogging: {enabled: true}}\n";
    let second = "kind: Configuration\nspec:\n  tracing: {samplingRate: '0'}\n  features: [{name: B, enabled: true}]\n  logging: null\n";
    let both = loaded(&[first, second], &[]).unwrap();
    assert_eq!((both.tracing.sampling_rate, both.tracing.zipkin_endpoint.as_deref()), (Some(0.0), Some("a")));
    assert_eq!((both.enabled_features(), both.api_logging.enabled), (vec!["B", HOT_RELOAD], false));
}

#[test]
fn a_missing_or_wrong_file_is_an_error_with_its_place() {
    let missing = load_configuration(&[PathBuf::from("/nowhere/config.yaml")], &HashMap::<&str, &str>::new());
    assert_eq!(
        missing.unwrap_err().to_string(),
        "error loading configuration: stat /nowhere/config.yaml: no such file or directory; correct or remove --config"
    );
    for (text, expected) in [
        ("spec: [", "0.yaml: "),
        ("- a", "the document is not a mapping"),
        ("spec: 5", "`spec` is not a mapping"),
        ("spec: {tracing: {stdout: maybe}}", "`spec.tracing.stdout` is not a boolean"),
        ("spec: {tracing: {otel: {protocol: tcp}}}", "`spec.tracing.otel.protocol` is `tcp`"),
        ("spec: {tracing: {otel: {timeout: soon}}}", "`spec.tracing.otel.timeout`"),
        ("spec: {tracing: {otel: {headers: [secret]}}}", "`spec.tracing.otel.headers` is not `name=value`"),
        ("spec: {metrics: {latencyDistributionBuckets: [5, 5]}}", "growing whole milliseconds"),
        ("spec: {api: {denied: bindings}}", "`spec.api.denied` is not a list"),
        ("spec: {components: {deny: [[a]]}}", "`spec.components.deny` is not a list of texts"),
        (
            "spec: {secrets: {scopes: [{storeName: a}, {storeName: a}]}}",
            "a storeName is repeated in secrets configuration",
        ),
        (
            "spec: {secrets: {scopes: [{storeName: a, defaultAccess: x}]}}",
            "defaultAccess x can be either allow or deny",
        ),
    ] {
        let error = loaded(&[text], &[]).unwrap_err();
        assert!(error.starts_with("error loading configuration: ") && error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_tolerated_is_noticed() {
    let odd =
        loaded(&["kind: Component\nspec: {tracing: {samplingRate: often}}\n---\nkind: Configuration\n"], &[]).unwrap();
    assert_eq!(odd.notices.len(), 3, "{:?}", odd.notices);
    assert_eq!(odd.tracing.sampling_rate, Some(0.0001));
    assert!(loaded(&["", "# nothing\n"], &[]).unwrap().metrics.enabled);
    let text =
        "kind: Configuration\nspec: {api: {denied: [{name: components, version: v1.0-alpha2, protocol: http}]}}\n";
    let version = loaded(&[text], &[]).unwrap();
    assert_eq!(
        version.notices,
        ["`spec.api.denied`: the rule for `components` matches nothing, as this API has no version `v1.0-alpha2`; \
             write v1.0-alpha1"]
    );
    let rule = loaded(&["kind: Configuration\nspec: {api: {denied: [{name: shutdown, version: v1}]}}\n"], &[]).unwrap();
    assert!(
        rule.notices[0].contains("`spec.api.denied`: the rule for `shutdown` matches nothing"),
        "{:?}",
        rule.notices
    );
}

#[test]
fn a_change_names_what_needs_a_restart() {
    let old = loaded(&[FULL], &[]).unwrap();
    assert!(old.restart_needed_for(&old).is_empty());
    let denied =
        FULL.replace("dynamodb/v1", "kinesis").replace("HotReload, enabled: false", "HotReload, enabled: true");
    let new = loaded(&[&denied.replace("enabled: false, record", "enabled: true, record")], &[]).unwrap();
    assert_eq!(old.restart_needed_for(&new), ["metrics", "features"], "deny lists act at the next reload");
}
