//! The sample manifests are what the README promises.

use bindd::bindings::{Spec, check, kinesis::Mode};
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
    let request = LoadRequest { paths: &[folder], app_id: Some("demo"), namespace: None, environment: &Empty };
    let verdict = check(load(&request));
    assert!(verdict.faults.is_empty(), "{}", verdict.faults);
    assert!(verdict.notices.is_empty(), "{:?}", verdict.notices);
    assert_eq!(verdict.components.len(), files);

    let mut consumers = Vec::new();
    for component in &verdict.components {
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

/// Gives each variable the same value.
struct Full;

impl Environment for Full {
    fn get(&self, name: &str) -> Option<String> {
        (!name.starts_with("DAPR_")).then(|| "AKIAIOSFODNN7EXAMPLE".to_owned())
    }
}

/// The YAML code blocks of a text.
fn yaml_blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```yaml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_component_of_the_readme_is_sound() {
    let blocks = yaml_blocks(include_str!("../README.md"));
    assert!(!blocks.is_empty());
    for block in blocks {
        // Lines that begin with `#` are variants, which must be right too.
        let lines = block.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let whole = lines.collect::<Vec<_>>().join("\n");
        let environments: [(&str, &dyn Environment); 2] = [(&block, &Empty), (&whole, &Full)];
        for (text, environment) in environments {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("block.yaml"), text).unwrap();
            let paths = [folder.path().to_owned()];
            let request = LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment };
            let verdict = check(load(&request));
            assert!(verdict.faults.is_empty(), "{text}\n{}", verdict.faults);
            assert!(verdict.notices.is_empty() && verdict.components.len() == 1, "{text}\n{:?}", verdict.notices);
        }
    }
}
