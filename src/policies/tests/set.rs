use super::*;
use crate::manifest::{Place, ResiliencyDocument};
use serde_json::{Value, json};

fn spec(name: &str, spec: &Value) -> ResiliencySpec {
    let place = Place { file: "resiliency.yaml".to_owned(), document: 1 };
    let (name, spec) = (name.to_owned(), spec.as_object().unwrap().clone());
    ResiliencySpec::read(&ResiliencyDocument { name, namespace: "prod".to_owned(), place, spec }).unwrap()
}

fn timeout(set: &PolicySet, component: &str, flow: Flow) -> Option<u64> {
    set.applied(component, flow).timeout.map(|timeout| timeout.as_secs())
}

#[test]
fn default_policies_apply_by_their_order_of_preference() {
    let names = [
        "DefaultTimeoutPolicy",
        "DefaultComponentTimeoutPolicy",
        "DefaultComponentOutboundTimeoutPolicy",
        "DefaultBindingComponentOutboundTimeoutPolicy",
    ];
    for count in 1..=names.len() {
        let timeouts: serde_json::Map<String, Value> = (1..)
            .zip(&names[..count])
            .map(|(seconds, name)| ((*name).to_owned(), json!(format!("{seconds}s"))))
            .collect();
        let (set, _) = PolicySet::new(vec![spec("a", &json!({"policies": {"timeouts": timeouts}}))]);
        assert_eq!(timeout(&set, "orders", Flow::Outbound), u64::try_from(count).ok());
        assert_eq!(timeout(&set, "orders", Flow::Inbound), u64::try_from(count.min(2)).ok());
    }
}

#[test]
fn a_component_that_is_a_target_gets_no_default_policy() {
    let (set, remarks) = PolicySet::new(vec![spec(
        "a",
        &json!({
            "policies": {"timeouts": {"DefaultTimeoutPolicy": "1s", "long": "9s"}},
            "targets": {"components": {"orders": {"outbound": {"timeout": "long"}}}},
        }),
    )]);
    assert_eq!(timeout(&set, "orders", Flow::Outbound), Some(9));
    assert_eq!(timeout(&set, "orders", Flow::Inbound), None);
    assert_eq!(timeout(&set, "rows", Flow::Inbound), Some(1));
    assert!(remarks.is_empty());
}

#[test]
fn later_documents_override_and_names_without_a_policy_are_remarked() {
    let first = json!({
        "policies": {"timeouts": {"t": "1s"}},
        "targets": {"components": {"orders": {"outbound": {"timeout": "t", "retry": "missing", "circuitBreaker": "none"}}}},
    });
    let (set, remarks) =
        PolicySet::new(vec![spec("a", &first), spec("b", &json!({"policies": {"timeouts": {"t": "2s"}}}))]);
    assert_eq!(timeout(&set, "orders", Flow::Outbound), Some(2));
    assert_eq!((set.names.as_slice(), set.last.0.as_str()), (&["a".to_owned(), "b".to_owned()][..], "b"));
    assert_eq!(
        remarks,
        [
            "component \"orders\" names the circuit breaker \"none\", which does not exist",
            "component \"orders\" names the retry \"missing\", which does not exist",
        ]
    );
    assert_eq!(set.applied("orders", Flow::Outbound).retry, None);
    assert!(PolicySet::default().applied("orders", Flow::Outbound).is_empty());
}
