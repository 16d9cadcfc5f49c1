//! Reads typed members of a mapping. Errors name the member by its path below `spec`.

use super::super::parse_duration;
use super::super::scalar::scalar;
use super::super::values::boolean;
use serde_json::{Map, Value};
use std::time::Duration;

/// A mapping and its path, such as `tracing.otel.`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'m> {
    map: Option<&'m Map<String, Value>>,
    parent: Option<&'m Self>,
    name: &'m str,
}

impl<'m> Section<'m> {
    pub(super) const fn root(map: &'m Map<String, Value>) -> Self {
        Self { map: Some(map), parent: None, name: "spec" }
    }

    fn path(&self, field: &str) -> String {
        let own = self.parent.map_or_else(|| self.name.to_owned(), |parent| parent.path(self.name));
        format!("{own}.{field}")
    }

    fn get(&self, field: &str) -> Option<&'m Value> {
        self.map?.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    fn wrong<T>(&self, field: &str, expected: &str) -> Result<T, String> {
        Err(format!("`{}` is not {expected}", self.path(field)))
    }

    /// An absent one is empty.
    pub(super) fn section(&'m self, name: &'m str) -> Result<Self, String> {
        match self.get(name) {
            None => Ok(Self { map: None, parent: Some(self), name }),
            Some(Value::Object(map)) => Ok(Self { map: Some(map), parent: Some(self), name }),
            Some(_) => self.wrong(name, "a mapping"),
        }
    }

    /// Empty counts as absent.
    pub(super) fn text(&self, field: &str) -> Result<Option<String>, String> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => match scalar(Some(value)) {
                Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
                None => self.wrong(field, "a text"),
            },
        }
    }

    pub(super) fn boolean(&self, field: &str) -> Result<Option<bool>, String> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) => {
                boolean(&text).map_or_else(|| self.wrong(field, "a boolean: write true or false"), |b| Ok(Some(b)))
            }
        }
    }

    /// In Go's form; a bare number is nanoseconds, as Go reads it.
    pub(super) fn duration(&self, field: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = if is_bare { parse_duration(&format!("{text}ns")) } else { parse_duration(&text) };
        parsed.map(Some).map_err(|error| format!("`{}`: {error}", self.path(field)))
    }

    pub(super) fn list(&self, field: &str) -> Result<&'m [Value], String> {
        match self.get(field) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => self.wrong(field, "a list"),
        }
    }

    pub(super) fn texts(&self, field: &str) -> Result<Vec<String>, String> {
        let texts: Option<Vec<String>> = self.list(field)?.iter().map(|value| scalar(Some(value))).collect();
        texts.map_or_else(|| self.wrong(field, "a list of texts"), Ok)
    }

    /// The entries of a list of mappings.
    pub(super) fn entries(&'m self, field: &'m str) -> Result<Vec<Self>, String> {
        let entry =
            |value: &'m Value| value.as_object().map(|map| Self { map: Some(map), parent: Some(self), name: field });
        let entries: Option<Vec<Self>> = self.list(field)?.iter().map(entry).collect();
        entries.map_or_else(|| self.wrong(field, "a list of mappings"), Ok)
    }
}
