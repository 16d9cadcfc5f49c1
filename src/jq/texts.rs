//! Functions on texts that are written in Rust.

use jaq_core::native::{Fun, bome, unary, v};
use jaq_core::{Error as JqError, Native};

use super::arithmetic;
use super::budget;
use super::value::{Data, Error, Value};
use super::write;

type Outcome = Result<Value, Error>;

fn explode(value: Value) -> Outcome {
    let Value::Text(text) = &value else { return Err(JqError::typ(value, "string")) };
    Ok(text.chars().map(|letter| Value::int(letter as usize)).collect())
}

fn implode(value: Value) -> Outcome {
    let Value::Array(array) = &value else { return Err(JqError::typ(value, "array of code points")) };
    let letter = |item: &Value| match item {
        Value::Number(number) => number.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32),
        _ => None,
    };
    let text: Option<String> = array.items.iter().map(letter).collect();
    text.map(Value::text).ok_or_else(|| JqError::str("implode: an item is no Unicode code point"))
}

/// Without the prefix or suffix; what is no text stays as it is, as in `jq`.
fn without(value: Value, part: &Value, strip: for<'a> fn(&'a str, &str) -> Option<&'a str>) -> Value {
    let stripped = match (&value, part) {
        (Value::Text(text), Value::Text(part)) => strip(text, part).map(Value::text),
        _ => None,
    };
    stripped.unwrap_or(value)
}

fn split(value: &Value, separator: &Value) -> Outcome {
    match (value, separator) {
        (Value::Text(text), Value::Text(separator)) => Ok(arithmetic::split(text, separator)),
        _ => Err(JqError::str("split needs a string and a string as separator")),
    }
}

/// A text with some letters replaced.
fn replaced(text: &str, replace: fn(char) -> Option<&'static str>) -> Value {
    budget::charge_bytes(text.len());
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match replace(letter) {
            Some(new) => out.push_str(new),
            None => out.push(letter),
        }
    }
    Value::text(out)
}

fn html(letter: char) -> Option<&'static str> {
    Some(match letter {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '\'' => "&#39;",
        '"' => "&quot;",
        _ => return None,
    })
}

fn shell(letter: char) -> Option<&'static str> {
    (letter == '\'').then_some("'\\''")
}

fn tab(letter: char) -> Option<&'static str> {
    Some(match letter {
        '\t' => "\\t",
        '\n' => "\\n",
        '\r' => "\\r",
        '\\' => "\\\\",
        _ => return None,
    })
}

fn quote(letter: char) -> Option<&'static str> {
    (letter == '"').then_some("\"\"")
}

/// One field of a row: a text as `text` writes it, and other plain values as JSON.
fn field(value: Value, text: fn(&str) -> Value) -> Outcome {
    match &value {
        Value::Text(own) => Ok(text(own)),
        Value::Null => Ok(Value::text("")),
        Value::Bool(_) | Value::Number(_) => Ok(Value::text(write::to_text(&value))),
        Value::Array(_) | Value::Object(_) => Err(JqError::typ(value, "field of a row")),
    }
}

fn of_text(value: Value, replace: fn(char) -> Option<&'static str>) -> Outcome {
    match &value {
        Value::Text(text) => Ok(replaced(text, replace)),
        _ => Err(JqError::typ(value, "string")),
    }
}

/// The last second of the year 9999.
const END_OF_9999: f64 = 253_402_300_799.0;

/// Whether the functions of dates may see it: they calculate with whole numbers that could overflow.
fn is_date(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().abs() <= END_OF_9999,
        Value::Array(parts) => parts.items.iter().all(|part| match part {
            Value::Number(number) => (-1.0..=9999.0).contains(&number.as_f64()),
            _ => false,
        }),
        _ => true,
    }
}

fn date(value: Value) -> Outcome {
    if is_date(&value) { Ok(value) } else { Err(JqError::str("a date must be between the years 0 and 9999")) }
}

pub(super) fn functions() -> Vec<Fun<Data>> {
    vec![
        ("explode", v(0), Native::<Data>::new(|cv| bome(explode(cv.1)))),
        ("implode", v(0), Native::<Data>::new(|cv| bome(implode(cv.1)))),
        (
            "ltrimstr",
            v(1),
            Native::<Data>::new(|cv| {
                unary(cv, |value, part| Ok(without(value, &part, |text, part| text.strip_prefix(part))))
            }),
        ),
        (
            "rtrimstr",
            v(1),
            Native::<Data>::new(|cv| {
                unary(cv, |value, part| Ok(without(value, &part, |text, part| text.strip_suffix(part))))
            }),
        ),
        ("_split", v(1), Native::<Data>::new(|cv| unary(cv, |value, separator| split(&value, &separator)))),
        ("_html", v(0), Native::<Data>::new(|cv| bome(of_text(cv.1, html)))),
        ("_sh", v(0), Native::<Data>::new(|cv| bome(of_text(cv.1, shell)))),
        ("_tsv", v(0), Native::<Data>::new(|cv| bome(field(cv.1, |text| replaced(text, tab))))),
        (
            "_csv",
            v(0),
            Native::<Data>::new(|cv| {
                bome(field(cv.1, |text| match replaced(text, quote) {
                    Value::Text(text) => Value::text(format!("\"{text}\"")),
                    other => other,
                }))
            }),
        ),
        ("_date", v(0), Native::<Data>::new(|cv| bome(date(cv.1)))),
    ]
}
