//! The sample components.

use super::page::root;
use super::yaml::sound;
use bindd::bindings::{Spec, check, kinesis::Mode};
use bindd::domain::Direction;
use bindd::manifest::{Environment, LoadRequest, load};

struct Empty;

impl Environment for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

#[test]
fn every_sample_loads_without_fault_or_notice() {
    let folder = root().join("components");
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(sound(&folder, &Empty, "components"), files);

    let request = LoadRequest { paths: &[folder], app_id: Some("demo"), namespace: None, environment: &Empty };
    let mut consumers = Vec::new();
    for component in check(load(&request)).components {
        match (&component.spec, component.name.as_str()) {
            (Spec::Kinesis(spec), "orders-shared") => {
                assert_eq!((spec.input.mode, spec.direction), (Mode::Shared, Direction::Input));
                consumers.push(spec.input.consumer_name.clone().unwrap());
            }
            (Spec::Kinesis(spec), "orders-fanout") => {
                assert_eq!((spec.input.mode, spec.direction), (Mode::Extended, Direction::Input));
                consumers.push(spec.input.consumer_name.clone().unwrap());
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
