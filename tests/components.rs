//! The sample manifests are what the README promises.

use bindd::components::{Spec, check, kinesis::Mode};
use bindd::domain::Direction;
use bindd::manifest::{Environment, LoadRequest, load};
use std::path::Path;

struct Empty;

impl Environment for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

#[test]
fn every_sample_loads_without_fault_or_notice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("components");
    let files = std::fs::read_dir(&folder).unwrap().count();
    let request = LoadRequest { paths: &[folder], app_id: "demo", namespace: None, environment: &Empty };
    let verdict = check(load(&request));
    assert!(verdict.faults.is_empty(), "{}", verdict.faults);
    assert!(verdict.notices.is_empty(), "{:?}", verdict.notices);
    assert_eq!(verdict.components.len(), files);

    let mut consumers = Vec::new();
    for component in &verdict.components {
        match (&component.spec, component.name.as_str()) {
            (Spec::Kinesis(spec), "orders-shared") => {
                assert_eq!((spec.mode, spec.direction), (Mode::Shared, Direction::Input));
                consumers.push(spec.consumer_name.clone().unwrap());
            }
            (Spec::Kinesis(spec), "orders-fanout") => {
                assert_eq!((spec.mode, spec.direction), (Mode::Extended, Direction::Input));
                consumers.push(spec.consumer_name.clone().unwrap());
            }
            (Spec::Kinesis(spec), "orders-out") => {
                assert_eq!((spec.stream.name(), spec.direction), ("orders", Direction::Output));
            }
            (Spec::DynamoDb(spec), "orders-table") => assert_eq!(spec.table, "orders"),
            (_, other) => panic!("unexpected sample {other}"),
        }
    }
    assert_eq!(consumers.len(), 2);
    assert_ne!(consumers[0], consumers[1], "two inputs with one consumer name would share the shards");
}
