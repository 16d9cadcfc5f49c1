//! Every YAML block is YAML, and those with components are loaded as the sidecar loads them.

use super::page::{pages, root};
use bindd::bindings::check_with;
use bindd::bindings::pluggable::{Plug, Plugs};
use bindd::manifest::{ComponentRules, Environment, LoadRequest, load_configuration, load_resiliencies, read_allowed};
use bindd::policies::{PolicySet, ResiliencySpec};
use bindd::settings;
use serde::Deserialize;
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

/// Gives each variable the same value, which is good for a key.
#[derive(Debug)]
pub(super) struct Variables;

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        (!name.starts_with("DAPR_")).then(|| "AKIAIOSFODNN7EXAMPLE".to_owned())
    }
}

/// The name of the file that a block shows: a comment in its first line.
pub(super) fn file_name(block: &str) -> Option<&str> {
    block.lines().next()?.strip_prefix("# ").filter(|name| name.contains('/') && name.ends_with(".yaml"))
}

#[test]
fn every_block_is_sound() {
    let (mut components, mut policies) = (0, 0);
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:\n{}", page.path.display(), block.text);
            let parsed: Result<Vec<Value>, _> =
                serde_yaml::Deserializer::from_str(block.text).map(Value::deserialize).collect();
            let documents = parsed.unwrap_or_else(|error| panic!("{error} in {place}"));
            documents.iter().flat_map(arguments).for_each(|args| assert_accepted(args, &place));
            let is_connector = |document: &Value| document["type"] == "aws-kinesis";
            let own = documents.iter().filter(|one| one["kind"] == "Component" || is_connector(one));
            if own.clone().count() > 0 {
                let bindings = own.filter(|one| {
                    let name = one["spec"]["type"].as_str();
                    is_connector(one) || name.is_some_and(|name| name.starts_with("bindings"))
                });
                let expected = bindings.count();
                components += expected;
                assert_eq!(loaded(block.text, &place), expected, "{place}");
            }
            policies += documents.iter().filter(|document| is_policy(document, block.text, &place)).count();
            if let Some(name) = file_name(block.text).filter(|name| root().join(name).exists()) {
                let (_, shown) = block.text.split_once('\n').unwrap();
                let file = std::fs::read_to_string(root().join(name)).unwrap();
                assert_eq!(shown.trim_end(), file.trim_end(), "{name} differs from {}", page.path.display());
            }
        }
    }
    assert!(components >= 5, "only {components} components were found");
    assert!(policies >= 2, "only {policies} policies were found");
}

/// Whether it is a `Resiliency` or `Configuration`; then nothing may be wrong or odd with it.
fn is_policy(document: &Value, text: &str, place: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("block.yaml")];
    std::fs::write(&paths[0], text).unwrap();
    match document["kind"].as_str() {
        Some("Resiliency") => {
            let request = LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Variables };
            let (documents, notices) = load_resiliencies(&request);
            assert!(documents.len() == 1 && notices.is_empty(), "{place}\n{notices:?}");
            let (_, remarks) = PolicySet::new(vec![ResiliencySpec::read(&documents[0]).unwrap()]);
            assert!(remarks.is_empty(), "{place}\n{remarks:?}");
            true
        }
        Some("Configuration") => {
            let configuration = load_configuration(&paths, &Variables).unwrap();
            assert!(configuration.notices.is_empty(), "{place}\n{:?}", configuration.notices);
            true
        }
        _ => false,
    }
}

/// The arguments of each container that runs bindd.
fn arguments(pod: &Value) -> impl Iterator<Item = &Vec<Value>> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.filter(|container| container["image"] == "bindd").filter_map(|container| container["args"].as_array())
}

fn assert_accepted(args: &[Value], place: &str) {
    let args = args.iter().map(|arg| arg.as_str().unwrap_or_else(|| panic!("{arg} is no text in {place}")));
    let parsed = settings::parse(["bindd"].into_iter().chain(args).map(OsString::from));
    assert!(parsed.is_ok(), "{place}\n{parsed:?}");
}

/// Loads a text as a file of components and gives their number; nothing may be wrong or odd with them.
fn loaded(text: &str, place: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("block.yaml"), text).unwrap();
    sound(folder.path(), &Variables, place)
}

/// The pluggable component of the pages.
pub(super) fn mail() -> Plug {
    let socket = "mail.sock".into();
    Plug { type_name: "bindings.mail".to_owned(), socket, has_input: true, has_output: true }
}

pub(super) fn sound(folder: &Path, environment: &dyn Environment, place: &str) -> usize {
    let paths = [folder.to_owned()];
    let request = LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment };
    let plugs: Plugs = [Arc::new(mail())].into_iter().collect();
    let result = check_with(read_allowed(&request, &ComponentRules::default(), &plugs.types()).offline(), &plugs);
    assert!(result.faults.is_empty(), "{place}\n{}", result.faults);
    assert!(result.notices.is_empty(), "{place}\n{:?}", result.notices);
    result.components.len()
}
