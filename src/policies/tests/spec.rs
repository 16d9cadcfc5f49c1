use super::*;
use crate::manifest::Place;
use proptest::prelude::*;
use serde_json::json;

#[expect(clippy::needless_pass_by_value, reason = "callers pass what `json!` makes")]
fn read(spec: Value) -> Result<ResiliencySpec, String> {
    let place = Place { file: "resiliency.yaml".to_owned(), document: 1 };
    let spec = spec.as_object().unwrap().clone();
    ResiliencySpec::read(&ResiliencyDocument { name: "shop".to_owned(), namespace: String::new(), place, spec })
}

#[test]
fn every_field_is_read_and_has_the_default_of_dapr() {
    let spec = read(json!({
        "policies": {
            "timeouts": {"short": "250ms", "bare": 1500, "text": "2000", "none": "0s", "negative": "-1s"},
            "retries": {
                "plain": {},
                "constant": {"policy": "Constant", "duration": "2s", "maxRetries": 3, "matching": {"httpStatusCodes": "500-599"}},
                "exponential": {"policy": "exponential"},
                "all": {"policy": "exponential", "initialInterval": "1s", "randomizationFactor": 0, "multiplier": 2,
                        "maxInterval": 30000, "maxElapsedTime": "0", "maxRetries": -7, "duration": "1s",
                        "matching": {"gRPCStatusCodes": "14"}},
            },
            "circuitBreakers": {
                "plain": {},
                "all": {"maxRequests": 2, "interval": "8s", "timeout": "45s", "trip": "consecutiveFailures >= 5"},
                "zeros": {"maxRequests": 0, "interval": "0s", "timeout": 0},
            },
        },
        "targets": {
            "apps": {"other": {"timeout": "short"}},
            "components": {
                "orders": {"inbound": {"timeout": "short", "retry": "plain"}, "outbound": {"circuitBreaker": "all"}},
                "rows": null,
            },
        },
    }))
    .unwrap();
    let millis = Duration::from_millis;
    let timeouts: Vec<_> = ["bare", "negative", "none", "short", "text"].map(|name| spec.timeouts[name]).into();
    assert_eq!(timeouts, [Some(millis(1_500)), None, None, Some(millis(250)), Some(millis(2_000))]);
    let plain = &spec.retries["plain"];
    assert_eq!((plain.schedule, plain.max_retries), (Schedule::Constant(millis(5_000)), None));
    assert!(plain.http_statuses.contains(404));
    let constant = &spec.retries["constant"];
    assert_eq!((constant.schedule, constant.max_retries), (Schedule::Constant(millis(2_000)), Some(3)));
    assert!(constant.http_statuses.contains(503) && !constant.http_statuses.contains(404));
    assert_eq!(spec.retries["exponential"].schedule, Schedule::Exponential(Exponential::default()));
    let all = Exponential {
        initial: millis(1_000),
        randomization: 0.0,
        multiplier: 2.0,
        max: millis(30_000),
        max_elapsed: None,
    };
    assert_eq!((spec.retries["all"].schedule, spec.retries["all"].max_retries), (Schedule::Exponential(all), None));
    assert_eq!((&spec.breakers["plain"], &spec.breakers["zeros"]), (&BreakerSpec::default(), &BreakerSpec::default()));
    let trip = Trip::parse("consecutiveFailures >= 5").unwrap();
    let (interval, timeout) = (Some(millis(8_000)), millis(45_000));
    assert_eq!(spec.breakers["all"], BreakerSpec { max_requests: 2, interval, timeout, trip });
    let orders = &spec.components["orders"];
    let named = |name: &str| Some(name.to_owned());
    assert_eq!((&orders.inbound.timeout, &orders.inbound.retry), (&named("short"), &named("plain")));
    assert_eq!(orders.outbound, PolicyNames { circuit_breaker: named("all"), ..PolicyNames::default() });
    assert_eq!(spec.components["rows"], Targets::default());
    assert!(spec.has_other_targets && spec.remarks.is_empty());
}

#[test]
fn a_wrong_field_makes_the_document_unusable_and_is_named() {
    for (policies, expected) in [
        (json!({"timeouts": {"t": "soon"}}), "timeout \"t\": invalid duration \"soon\""),
        (json!({"timeouts": {"t": ""}}), "timeout \"t\""),
        (json!({"timeouts": ["t"]}), "`timeouts` is not a mapping"),
        (
            json!({"retries": {"r": {"policy": "linear"}}}),
            "invalid retry configuration \"r\": unexpected back off policy type: linear",
        ),
        (json!({"retries": {"r": {"duration": "-1s"}}}), "`duration`"),
        (json!({"retries": {"r": {"maxRetries": "many"}}}), "`maxRetries` is `many`"),
        (json!({"retries": {"r": {"multiplier": 0.5}}}), "`multiplier` is `0.5`"),
        (json!({"retries": {"r": {"multiplier": "NaN"}}}), "`multiplier` is `NaN`"),
        (json!({"retries": {"r": {"randomizationFactor": 2}}}), "`randomizationFactor` is `2`"),
        (
            json!({"retries": {"r": {"matching": {"httpStatusCodes": "5xx"}}}}),
            "`matching.httpStatusCodes`: invalid pattern 5xx",
        ),
        (json!({"retries": {"r": {"matching": {"gRPCStatusCodes": "17"}}}}), "code 17 is not valid"),
        (
            json!({"circuitBreakers": {"c": {"trip": "consecutiveFailures >"}}}),
            "invalid trip expression at character 22",
        ),
        (json!({"circuitBreakers": {"c": {"maxRequests": -1}}}), "`maxRequests` is `-1`"),
        (json!({"circuitBreakers": {"c": 5}}), "it is not a mapping"),
    ] {
        let error = read(json!({ "policies": policies })).unwrap_err();
        assert!(error.contains(expected), "{error} has no {expected}");
    }
    assert!(read(json!({"targets": {"components": {"x": []}}})).unwrap_err().contains("target component \"x\""));
}

#[test]
fn an_unknown_name_in_a_trip_expression_is_remarked() {
    let spec = read(json!({"policies": {"circuitBreakers": {"c": {"trip": "failures > 5"}}}})).unwrap();
    assert!(spec.remarks[0].contains("has unknown names (failures)"), "{:?}", spec.remarks);
}

proptest! {
    #[test]
    fn no_text_of_a_field_panics(text in "\\PC{0,40}|[-0-9.smh]{0,12}") {
        for field in ["duration", "maxRetries", "multiplier", "randomizationFactor", "policy", "maxInterval"] {
            drop(read(json!({"policies": {"retries": {"r": {field: text.clone()}}}})));
        }
        drop(read(json!({"policies": {"timeouts": {"t": text}}})));
    }
}
