//! The operators `+ - * / %`.

use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::rc::Rc;

use jaq_core::ops::Math;

use super::budget;
use super::limits::Limit;
use super::number::Number;
use super::value::{Error, Object, Value, owned};

type Outcome = Result<Value, Error>;

impl Add for Value {
    type Output = Outcome;

    fn add(self, other: Self) -> Outcome {
        match (self, other) {
            (Self::Null, value) | (value, Self::Null) => Ok(value),
            (Self::Number(left), Self::Number(right)) => Ok(Self::Number(left.add(&right))),
            (Self::Text(left), Self::Text(right)) => {
                let is_allowed = budget::allows(left.len() + right.len(), 0);
                Ok(if is_allowed { Self::text([&*left, &*right].concat()) } else { Self::Null })
            }
            (Self::Array(mut left), Self::Array(right)) => {
                budget::charge_elements(right.items.len());
                let length = left.items.len();
                let array = owned(&mut left, length);
                right.items.iter().for_each(|item| array.push(item.clone()));
                Ok(Self::of_array(left))
            }
            (Self::Object(mut left), Self::Object(right)) => {
                budget::charge_elements(right.members.len());
                let length = left.members.len();
                let object = owned(&mut left, length);
                right.members.iter().for_each(|(key, value)| object.insert(Rc::clone(key), value.clone()));
                Ok(Self::of_object(left))
            }
            (left, right) => Err(Error::math(left, Math::Add, right)),
        }
    }
}

impl Sub for Value {
    type Output = Outcome;

    fn sub(self, other: Self) -> Outcome {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => Ok(Self::Number(left.subtract(&right))),
            (Self::Array(left), Self::Array(right)) => {
                let without: BTreeSet<&Self> = right.items.iter().collect();
                Ok(Self::array(left.items.iter().filter(|item| !without.contains(item)).cloned().collect()))
            }
            (left, right) => Err(Error::math(left, Math::Sub, right)),
        }
    }
}

impl Mul for Value {
    type Output = Outcome;

    fn mul(self, other: Self) -> Outcome {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => Ok(Self::Number(left.multiply(&right))),
            (Self::Text(text), Self::Number(times)) | (Self::Number(times), Self::Text(text)) => {
                Ok(repeat(&text, &times))
            }
            (Self::Object(mut left), Self::Object(right)) => {
                merge(&mut left, &right);
                Ok(Self::of_object(left))
            }
            (left, right) => Err(Error::math(left, Math::Mul, right)),
        }
    }
}

/// None of it gives null, and a part of it counts as whole, as in `jq`.
fn repeat(text: &str, times: &Number) -> Value {
    let times = times.as_f64();
    if times.is_nan() || times <= 0.0 {
        return Value::Null;
    }
    let times = times.ceil() as usize;
    let is_allowed = budget::allows(text.len().saturating_mul(times), 0);
    if is_allowed { Value::text(text.repeat(times)) } else { Value::Null }
}

fn merge(left: &mut Rc<Object>, right: &Object) {
    budget::charge_elements(right.members.len());
    let length = left.members.len();
    let object = owned(left, length);
    for (key, value) in right.members.iter() {
        let merged = match (object.members.get(key), value) {
            (Some(Value::Object(_)), Value::Object(right)) => match object.take(key) {
                Some(Value::Object(mut left)) => {
                    merge(&mut left, right);
                    Value::of_object(left)
                }
                _ => Value::Null,
            },
            _ => value.clone(),
        };
        object.insert(Rc::clone(key), merged);
    }
}

impl Div for Value {
    type Output = Outcome;

    fn div(self, other: Self) -> Outcome {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => match left.divide(&right) {
                Some(quotient) => Ok(Self::Number(quotient)),
                None => Err(Error::str("division by zero")),
            },
            (Self::Text(text), Self::Text(separator)) => Ok(split(&text, &separator)),
            (left, right) => Err(Error::math(left, Math::Div, right)),
        }
    }
}

pub(super) fn split(text: &str, separator: &str) -> Value {
    budget::charge_bytes(text.len());
    let part = |part: &str| Value::Text(part.into());
    match (text.is_empty(), separator.is_empty()) {
        (true, _) => Value::array(Vec::new()),
        (false, true) => text.chars().map(|letter| part(letter.encode_utf8(&mut [0; 4]))).collect(),
        (false, false) => text.split(separator).map(part).collect(),
    }
}

impl Rem for Value {
    type Output = Outcome;

    fn rem(self, other: Self) -> Outcome {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => match left.remainder(&right) {
                Some(remainder) => Ok(Self::Number(remainder)),
                None => Err(Error::str("division by zero")),
            },
            (left, right) => Err(Error::math(left, Math::Rem, right)),
        }
    }
}

impl Neg for Value {
    type Output = Outcome;

    fn neg(self) -> Outcome {
        match self {
            Self::Number(number) => Ok(Self::Number(number.negate())),
            value => Err(Error::typ(value, "number")),
        }
    }
}

/// The error of an operation that stopped at a limit. The run ends at its next step, whatever catches this.
pub(super) fn over_limit() -> Error {
    let limit = budget::exceeded().unwrap_or(Limit::Steps);
    Error::str(format_args!("over the limit of {limit}"))
}
