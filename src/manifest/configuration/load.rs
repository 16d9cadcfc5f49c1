//! Reads and merges the files of `--config`.

use super::super::Environment;
use super::super::folder::read_text;
use super::super::split::{is_blank, split};
use super::super::tree;
use super::expand::expand;
use super::model::Configuration;
use super::read::read;
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A file of `--config` that cannot be used; it stops the start. The beginning of the text is Dapr's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error loading configuration: {problem}")]
pub struct ConfigurationError {
    problem: String,
}

impl ConfigurationError {
    fn of_file(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self { problem: format!("{}: {problem}", path.display()) }
    }
}

/// Reads the files in their order. The environment is used for references in the text.
///
/// # Errors
/// When a file is missing or unreadable, or a member that bindd uses is wrong.
pub fn load_configuration(
    paths: &[PathBuf],
    environment: &dyn Environment,
) -> Result<Configuration, ConfigurationError> {
    let (mut spec, mut notices) = (Map::new(), Vec::new());
    for path in paths {
        let root = root(path, environment, &mut notices)?;
        match root.get("spec") {
            Some(Value::Object(later)) => merge(&mut spec, later.clone()),
            None | Some(Value::Null) => {}
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(ConfigurationError::of_file(path, "`spec` is not a mapping"));
            }
        }
    }
    let mut configuration = read(&spec).map_err(|problem| ConfigurationError { problem })?;
    notices.append(&mut configuration.notices);
    Ok(Configuration { notices, ..configuration })
}

/// The first document of a file, as Dapr reads it.
fn root(
    path: &Path,
    environment: &dyn Environment,
    notices: &mut Vec<String>,
) -> Result<Map<String, Value>, ConfigurationError> {
    if let Err(error) = std::fs::metadata(path)
        && error.kind() == ErrorKind::NotFound
    {
        let problem = format!("stat {}: no such file or directory; correct or remove --config", path.display());
        return Err(ConfigurationError { problem });
    }
    let text =
        read_text(path).map_err(|error| ConfigurationError::of_file(path, format!("{error}; {}", error.remedy())))?;
    let text = expand(&text, &|name| environment.get(name));
    let chunks = split(&text);
    let mut documents = chunks.iter().filter(|chunk| !is_blank(chunk.text));
    let Some(first) = documents.next() else { return Ok(Map::new()) };
    if documents.next().is_some() {
        notices.push(format!("{}: only the first document is read, as in Dapr", path.display()));
    }
    let tree = tree::from_yaml(first.text, first.lines_before, &tree::Budget::new());
    let root = match tree.map_err(|problem| ConfigurationError::of_file(path, problem))? {
        Value::Object(root) => root,
        Value::Null => Map::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(ConfigurationError::of_file(path, "the document is not a mapping"));
        }
    };
    if root.get("kind").and_then(Value::as_str) != Some("Configuration") {
        notices.push(format!("{}: its `kind` is not `Configuration`; it is read as one, as in Dapr", path.display()));
    }
    Ok(root)
}

/// Mappings are merged; anything else of a later file replaces what is there, and a null removes it.
fn merge(into: &mut Map<String, Value>, later: Map<String, Value>) {
    for (name, value) in later {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(value)) => merge(known, value),
            (_, Value::Null) => drop(into.remove(&name)),
            (_, value) => drop(into.insert(name, value)),
        }
    }
}

#[cfg(test)]
#[path = "tests/load.rs"]
mod tests;
