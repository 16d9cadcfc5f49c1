//! Parses what several operations have in `data`: keys, conditions and placeholders. Pure.

use super::super::strict_json::{self, shown};
use super::codec::{ItemCodec, ItemFormat};
use super::expression::{Condition, Placeholders};
use super::failure::invalid_request;
use crate::aws::Item;
use crate::domain::BindingError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The prefix of the name placeholders that bindd makes; callers must not use it.
pub(super) const RESERVED_NAME_PREFIX: &str = "#bd_";
/// The same for value placeholders.
pub(super) const RESERVED_VALUE_PREFIX: &str = ":bd_";

/// Parses a JSON object with the fields of its type, and no others. `form` shows the caller what to send.
///
/// # Errors
/// With the field that is unknown, missing or given twice; never with a value.
pub(super) fn parse<'t, T: Deserialize<'t>>(text: &'t [u8], form: &str) -> Result<T, BindingError> {
    strict_json::read(text).map_err(|error| {
        let text = format!("`data` does not have the form of the operation: {}; send {form}", error.message());
        invalid_request(text)
    })
}

/// The placeholders of a request, not parsed yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawPlaceholders<'t> {
    /// `{"#placeholder":"attribute"}`
    pub(super) names: Option<&'t RawValue>,
    /// `{":placeholder":value}`
    pub(super) values: Option<&'t RawValue>,
}

impl RawPlaceholders<'_> {
    /// # Errors
    /// For a placeholder that does not begin with the right character, has a prefix that is reserved for bindd, or has
    /// a value that cannot be stored.
    pub(super) fn parse(self, codec: &ItemCodec) -> Result<Placeholders, BindingError> {
        let names = self.names.map(parse_names).transpose()?.unwrap_or_default();
        let values = self.values.map(|text| codec.item_at("values", text)).transpose()?.unwrap_or_default();
        check_placeholders(values.keys(), ':', RESERVED_VALUE_PREFIX)?;
        Ok(Placeholders { names, values })
    }
}

fn parse_names(text: &RawValue) -> Result<HashMap<String, String>, BindingError> {
    let plain = ItemCodec { format: ItemFormat::Plain, ..ItemCodec::default() };
    let members = plain.item_at("names", text)?;
    check_placeholders(members.keys(), '#', RESERVED_NAME_PREFIX)?;
    let name = |(placeholder, value): (String, _)| match value {
        AttributeValue::S(name) if !name.is_empty() => Ok((placeholder, name)),
        _ => {
            let shown = shown(&placeholder);
            Err(invalid_request(format!("the attribute name of `{shown}` must be a string that is not empty")))
        }
    };
    members.into_iter().map(name).collect()
}

fn check_placeholders<'n>(names: impl Iterator<Item = &'n String>, mark: char, own: &str) -> Result<(), BindingError> {
    for name in names {
        if !name.starts_with(mark) || name.len() < 2 {
            let shown = shown(name);
            return Err(invalid_request(format!("`{shown}` is not a placeholder: it must begin with `{mark}`")));
        }
        if name.starts_with(own) {
            let text = format!("placeholders that begin with `{own}` are made by bindd: choose another name");
            return Err(invalid_request(text));
        }
    }
    Ok(())
}

/// A condition and its placeholders.
///
/// # Errors
/// When there are placeholders and no expression that could use them, or they cannot be parsed.
pub(super) fn parse_condition(
    codec: &ItemCodec,
    text: Option<String>,
    placeholders: RawPlaceholders<'_>,
) -> Result<Option<Condition>, BindingError> {
    let Placeholders { names, values } = placeholders.parse(codec)?;
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => Ok(Some(Condition { text, placeholders: Placeholders { names, values } })),
        None if names.is_empty() && values.is_empty() => Ok(None),
        None => Err(invalid_request("`names` and `values` have an effect only with a condition")),
    }
}

/// A JSON object that is a key: one or two attributes.
pub(super) fn parse_key(codec: &ItemCodec, text: &RawValue) -> Result<Item, BindingError> {
    let key = codec.item_at("key", text)?;
    match key.len() {
        1 | 2 => Ok(key),
        0 => Err(invalid_request("`key` is empty: give the table's key attributes and their values")),
        count => {
            let text = format!("`key` has {count} attributes: a key has one or two, and no others belong there");
            Err(invalid_request(text))
        }
    }
}

/// The key and the condition of `delete`, alone or in a transaction, and of `check`.
///
/// # Errors
/// When the text has another form.
pub(super) fn parse_key_and_condition(
    codec: &ItemCodec,
    text: &[u8],
) -> Result<(Item, Option<Condition>), BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct KeyAndCondition<'t> {
        #[serde(borrow)]
        key: &'t RawValue,
        condition: Option<String>,
        #[serde(borrow)]
        names: Option<&'t RawValue>,
        #[serde(borrow)]
        values: Option<&'t RawValue>,
    }
    let form = r#"{"key":{…},"condition"?:"…","names"?:{…},"values"?:{…}}"#;
    let data: KeyAndCondition<'_> = parse(text, form)?;
    let placeholders = RawPlaceholders { names: data.names, values: data.values };
    Ok((parse_key(codec, data.key)?, parse_condition(codec, data.condition, placeholders)?))
}
