//! The shapes of `data`: which members an operation takes, and what stands behind the placeholders of its expressions.

use super::super::strict_json::{self, shown};
use super::calls::{Condition, Delete, Item, ItemFormat, Placeholders, Put, Spelling};
use crate::domain::{BindingError, FailureKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// How placeholders begin that are made here; those of callers must not.
pub(super) const OWN_NAME: &str = "#bd_";
/// The same for values.
pub(super) const OWN_VALUE: &str = ":bd_";

/// A request that is wrong by itself.
pub(super) fn refused(message: impl Into<String>) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

/// Reads a JSON object with the fields that its type names, and no others. `form` shows what is right.
///
/// # Errors
/// As [`strict_json::read`].
pub(super) fn read_shape<'t, T: Deserialize<'t>>(text: &'t [u8], form: &str) -> Result<T, BindingError> {
    strict_json::read(text).map_err(|error| {
        refused(format!("`data` does not have the form of the operation: {}; send {form}", error.message()))
    })
}

/// Expressions that share placeholders, as requests spell them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Behind<'t> {
    /// `names`: `{"#placeholder":"attribute"}`
    pub(super) names: Option<&'t RawValue>,
    /// `values`: `{":placeholder":value}`
    pub(super) values: Option<&'t RawValue>,
}

impl Behind<'_> {
    /// Reads both.
    ///
    /// # Errors
    /// With the placeholder that does not begin as it must, that begins like ours, or whose value is none.
    pub(super) fn read(self, spelling: &Spelling) -> Result<Placeholders, BindingError> {
        let names = self.names.map(read_names).transpose()?.unwrap_or_default();
        let values = self.values.map(|text| spelling.item_at(&["values"], text)).transpose()?.unwrap_or_default();
        check_placeholders(values.keys(), ':', OWN_VALUE)?;
        Ok(Placeholders { names, values })
    }
}

fn read_names(text: &RawValue) -> Result<HashMap<String, String>, BindingError> {
    let plain = Spelling { format: ItemFormat::Plain, ..Spelling::default() };
    let members = plain.item_at(&["names"], text)?;
    check_placeholders(members.keys(), '#', OWN_NAME)?;
    let name = |(placeholder, value): (String, _)| match value {
        super::calls::Value::S(name) if !name.is_empty() => Ok((placeholder, name)),
        _ => Err(refused(format!("the name behind `{}` must be a string that is not empty", shown(&placeholder)))),
    };
    members.into_iter().map(name).collect()
}

fn check_placeholders<'n>(names: impl Iterator<Item = &'n String>, mark: char, own: &str) -> Result<(), BindingError> {
    for name in names {
        if !name.starts_with(mark) || name.len() < 2 {
            return Err(refused(format!("`{}` is not a placeholder: it must begin with `{mark}`", shown(name))));
        }
        if name.starts_with(own) {
            return Err(refused(format!(
                "placeholders that begin with `{own}` are made by bindd: choose another name"
            )));
        }
    }
    Ok(())
}

/// A condition and its placeholders.
///
/// # Errors
/// When there are placeholders and no expression that could use them, or they cannot be read.
pub(super) fn read_condition(
    spelling: &Spelling,
    text: Option<String>,
    behind: Behind<'_>,
) -> Result<Option<Condition>, BindingError> {
    let placeholders = behind.read(spelling)?;
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => Ok(Some(Condition { text, placeholders })),
        None if placeholders.is_empty() => Ok(None),
        None => Err(refused("`names` and `values` have an effect only with a condition")),
    }
}

/// A JSON object that is a key: at most two attributes.
///
/// # Errors
/// When it is none.
pub(super) fn read_key(spelling: &Spelling, text: &RawValue) -> Result<Item, BindingError> {
    let key = spelling.item_at(&["key"], text)?;
    match key.len() {
        1 | 2 => Ok(key),
        0 => Err(refused("`key` is empty: give the table's key attributes and their values")),
        many => Err(refused(format!("`key` has {many} attributes: a key has one or two, and no others belong there"))),
    }
}

/// `{"item","condition"?,"names"?,"values"?}`: an item within a transaction.
///
/// # Errors
/// When the text has another form, or the item cannot be stored.
pub(super) fn read_put(spelling: &Spelling, text: &RawValue) -> Result<Put, BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape<'t> {
        #[serde(borrow)]
        item: &'t RawValue,
        condition: Option<String>,
        #[serde(borrow)]
        names: Option<&'t RawValue>,
        #[serde(borrow)]
        values: Option<&'t RawValue>,
    }
    let form = r#"{"item":{…},"condition"?:"…","names"?:{…},"values"?:{…}}"#;
    let shape: Shape<'_> = read_shape(text.get().as_bytes(), form)?;
    let behind = Behind { names: shape.names, values: shape.values };
    Ok(Put {
        item: spelling.item_at(&["item"], shape.item)?,
        condition: read_condition(spelling, shape.condition, behind)?,
    })
}

/// `{"key","condition"?,"names"?,"values"?}`: `delete`, alone or within a transaction; `check` within one.
///
/// # Errors
/// When the text has another form.
pub(super) fn read_delete(spelling: &Spelling, text: &[u8]) -> Result<Delete, BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape<'t> {
        #[serde(borrow)]
        key: &'t RawValue,
        condition: Option<String>,
        #[serde(borrow)]
        names: Option<&'t RawValue>,
        #[serde(borrow)]
        values: Option<&'t RawValue>,
    }
    let form = r#"{"key":{…},"condition"?:"…","names"?:{…},"values"?:{…}}"#;
    let shape: Shape<'_> = read_shape(text, form)?;
    let behind = Behind { names: shape.names, values: shape.values };
    Ok(Delete { key: read_key(spelling, shape.key)?, condition: read_condition(spelling, shape.condition, behind)? })
}
