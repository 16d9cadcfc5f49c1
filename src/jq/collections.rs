//! Functions on arrays, objects and JSON that are written in Rust.

use std::rc::Rc;

use jaq_core::Error as JqError;
use jaq_core::native::{Fun, bome, unary, v};
use jaq_core::{Native, ValT};

use super::access;
use super::budget;
use super::number::Number;
use super::read;
use super::value::{Data, Error, Members, Value, sorted};
use super::write;

type Outcome = Result<Value, Error>;

fn length(value: &Value) -> Outcome {
    Ok(match value {
        Value::Null => Value::int(0),
        Value::Number(number) => Value::Number(if *number < Number::Int(0) { number.negate() } else { number.clone() }),
        Value::Text(text) => {
            budget::charge_bytes(text.len());
            Value::int(text.chars().count())
        }
        Value::Array(array) => Value::int(array.items.len()),
        Value::Object(object) => Value::int(object.members.len()),
        Value::Bool(_) => return Err(JqError::str("boolean has no length")),
    })
}

fn keys(value: Value, is_sorted: bool) -> Outcome {
    match &value {
        Value::Array(array) => Ok(Value::array((0..array.items.len()).map(Value::int).collect())),
        Value::Object(object) if is_sorted => {
            budget::charge(object.members.len());
            Ok(Value::array(sorted(&object.members).into_iter().map(|(key, _)| Value::Text(Rc::clone(key))).collect()))
        }
        Value::Object(object) => {
            Ok(Value::array(object.members.keys().map(|key| Value::Text(Rc::clone(key))).collect()))
        }
        _ => Err(JqError::typ(value, "array or object")),
    }
}

fn to_entries(value: Value) -> Outcome {
    let (name, content): (Rc<str>, Rc<str>) = ("key".into(), "value".into());
    let entry = |member: Result<(Value, Value), Error>| {
        let (key, value) = member?;
        let members = [(Rc::clone(&name), key), (Rc::clone(&content), value)];
        Ok(Value::object(members.into_iter().collect()))
    };
    value.key_values().map(entry).collect()
}

fn has(value: Value, key: &Value) -> Outcome {
    match (&value, key) {
        (Value::Null, Value::Text(_) | Value::Number(_)) => Ok(false.into()),
        (Value::Object(object), Value::Text(key)) => Ok(object.members.contains_key(key).into()),
        (Value::Array(array), Value::Number(at)) => {
            Ok(usize::try_from(at.as_index()).is_ok_and(|at| at < array.items.len()).into())
        }
        _ => Err(JqError::index(value, key.clone())),
    }
}

/// Each part of `inner` in some part of `outer`; this may look at each part once for each other part.
fn contains(outer: &Value, inner: &Value) -> bool {
    if !budget::charge(1) {
        return false;
    }
    match (outer, inner) {
        (Value::Text(outer), Value::Text(inner)) => {
            budget::charge_bytes(outer.len());
            outer.contains(&**inner)
        }
        (Value::Array(outer), Value::Array(inner)) => {
            inner.items.iter().all(|inner| outer.items.iter().any(|outer| contains(outer, inner)))
        }
        (Value::Object(outer), Value::Object(inner)) => {
            let has = |(key, inner): (&Rc<str>, &Value)| outer.members.get(key).is_some_and(|own| contains(own, inner));
            inner.members.iter().all(has)
        }
        _ => outer == inner,
    }
}

fn indices(value: Value, wanted: &Value) -> Outcome {
    match (&value, wanted) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Text(text), Value::Text(wanted)) => {
            budget::charge_bytes(text.len());
            if wanted.is_empty() {
                return Ok(Value::Null);
            }
            Ok(Value::array(places(text, wanted)))
        }
        (Value::Array(array), Value::Array(wanted)) => Ok(access::indices(array, wanted)),
        (Value::Array(array), wanted) => {
            budget::charge_elements(array.items.len());
            let places = array.items.iter().enumerate().filter(|(_, item)| *item == wanted);
            Ok(Value::array(places.map(|(at, _)| Value::int(at)).collect()))
        }
        _ => value.index(wanted),
    }
}

/// Where a text begins in another, in characters. The places may overlap.
fn places(text: &str, wanted: &str) -> Vec<Value> {
    let (mut found, mut from, mut letters) = (Vec::new(), 0, 0);
    while let Some(at) = text[from..].find(wanted) {
        // Each search begins with reading all that is wanted.
        if !budget::charge_elements(1) || !budget::charge_bytes(wanted.len()) {
            break;
        }
        letters += text[from..from + at].chars().count();
        found.push(Value::int(letters));
        let first = wanted.chars().next().map_or(1, char::len_utf8);
        from += at + first;
        letters += 1;
    }
    found
}

fn flatten(value: Value, levels: &Value) -> Outcome {
    let Value::Number(levels) = levels else { return Err(JqError::str("flatten needs a number of levels")) };
    if *levels < Number::Int(0) {
        return Err(JqError::str("flatten cannot have negative levels"));
    }
    let items = match &value {
        Value::Array(array) => array.items.clone(),
        Value::Object(object) => object.members.values().cloned().collect(),
        _ => return Err(JqError::typ(value, "array or object")),
    };
    let mut flat = Vec::new();
    flatten_into(&items, levels.as_f64(), &mut flat);
    Ok(Value::array(flat))
}

fn flatten_into(items: &[Value], levels: f64, flat: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::Array(inner) if levels > 0.0 => {
                if budget::charge(1) {
                    flatten_into(&inner.items, levels - 1.0, flat);
                }
            }
            // One array inside many places may be more than memory holds.
            _ if !flat.len().is_multiple_of(8) || budget::charge(1) => flat.push(item.clone()),
            _ => return,
        }
    }
}

fn reverse(value: Value) -> Outcome {
    match &value {
        Value::Array(array) => Ok(Value::array(array.items.iter().rev().cloned().collect())),
        _ => Err(JqError::typ(value, "array or string")),
    }
}

fn add(value: Value) -> Outcome {
    let items = match &value {
        Value::Array(array) => array.items.clone(),
        Value::Object(object) => object.members.values().cloned().collect(),
        _ => return Err(JqError::typ(value, "array or object")),
    };
    budget::charge_elements(items.len());
    let is_text = |item: &Value| matches!(item, Value::Text(_));
    if items.len() > 1 && items.iter().all(is_text) {
        return join(&items, "");
    }
    items.into_iter().try_fold(Value::Null, |sum, item| {
        budget::charge(1);
        sum + item
    })
}

/// Null is nothing, and numbers and booleans their JSON, as in `jq`.
fn join(items: &[Value], separator: &str) -> Outcome {
    let length: usize =
        items.iter().map(|item| item.size().saturating_add(separator.len())).fold(0, usize::saturating_add);
    if !budget::allows(length, 0) {
        return Ok(Value::Null);
    }
    let mut joined = String::with_capacity(length);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        match item {
            Value::Null => {}
            Value::Text(text) => joined.push_str(text),
            Value::Bool(_) | Value::Number(_) => joined.push_str(&write::to_text(item)),
            Value::Array(_) | Value::Object(_) => return Err(JqError::typ(item.clone(), "text to join")),
        }
    }
    Ok(Value::text(joined))
}

fn join_with(value: Value, separator: &Value) -> Outcome {
    match (&value, separator) {
        (Value::Array(array), Value::Text(separator)) => {
            budget::charge_elements(array.items.len());
            join(&array.items, separator)
        }
        // The values of an object, as in `jq`.
        (Value::Object(object), _) => {
            let items = object.members.values().cloned().collect();
            join_with(Value::array(items), separator)
        }
        (Value::Array(array), _) if array.items.is_empty() => Ok(Value::text("")),
        (Value::Array(_), _) => Err(JqError::typ(separator.clone(), "separator")),
        _ => Err(JqError::typ(value, "array")),
    }
}

fn from_json(value: Value) -> Outcome {
    let Value::Text(text) = &value else { return Err(JqError::typ(value, "string of JSON")) };
    budget::charge_bytes(text.len());
    read::read(text.as_bytes()).map_err(|e| JqError::str(format_args!("fromjson: {} at byte {}", e.what, e.at)))
}

fn to_number(value: Value) -> Outcome {
    match &value {
        Value::Number(_) => Ok(value),
        Value::Text(text) => match read::read(text.as_bytes()) {
            Ok(number @ Value::Number(_)) => Ok(number),
            _ => Err(JqError::str("tonumber: the string is no number")),
        },
        _ => Err(JqError::typ(value, "number")),
    }
}

/// An object from entries whose keys may have the names that `jq` accepts.
fn from_entries(value: Value) -> Outcome {
    let Value::Array(array) = &value else { return Err(JqError::typ(value, "array of entries")) };
    let mut members = Members::default();
    for item in &array.items {
        let Value::Object(entry) = item else { return Err(JqError::typ(item.clone(), "entry")) };
        let named = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| entry.members.get(name));
            found.find(|found| !matches!(found, Value::Null)).cloned()
        };
        let key = match named(&["key", "k", "name", "Name", "Key", "K"]) {
            Some(Value::Text(key)) => key,
            Some(key @ (Value::Number(_) | Value::Bool(_))) => write::to_text(&key).into(),
            None => "null".into(),
            Some(key) => return Err(JqError::typ(key, "key of an object")),
        };
        members.insert(key, named(&["value", "v", "Value", "V"]).unwrap_or_default());
    }
    Ok(Value::object(members))
}

pub(super) fn functions() -> Vec<Fun<Data>> {
    vec![
        ("length", v(0), Native::<Data>::new(|cv| bome(length(&cv.1)))),
        ("type", v(0), Native::<Data>::new(|cv| bome(Ok(Value::text(cv.1.type_name()))))),
        ("keys", v(0), Native::<Data>::new(|cv| bome(keys(cv.1, true)))),
        ("keys_unsorted", v(0), Native::<Data>::new(|cv| bome(keys(cv.1, false)))),
        ("to_entries", v(0), Native::<Data>::new(|cv| bome(to_entries(cv.1)))),
        ("from_entries", v(0), Native::<Data>::new(|cv| bome(from_entries(cv.1)))),
        ("has", v(1), Native::<Data>::new(|cv| unary(cv, |value, key| has(value, &key)))),
        ("_nan", v(0), Native::<Data>::new(|_| bome(Ok(Value::from(f64::NAN))))),
        ("_reverse", v(0), Native::<Data>::new(|cv| bome(reverse(cv.1)))),
        ("_contains", v(1), Native::<Data>::new(|cv| unary(cv, |outer, inner| Ok(contains(&outer, &inner).into())))),
        ("indices", v(1), Native::<Data>::new(|cv| unary(cv, |value, wanted| indices(value, &wanted)))),
        ("flatten", v(1), Native::<Data>::new(|cv| unary(cv, |value, levels| flatten(value, &levels)))),
        ("add", v(0), Native::<Data>::new(|cv| bome(add(cv.1)))),
        ("join", v(1), Native::<Data>::new(|cv| unary(cv, |value, separator| join_with(value, &separator)))),
        ("tojson", v(0), Native::<Data>::new(|cv| bome(Ok(Value::text(write::to_text(&cv.1)))))),
        ("fromjson", v(0), Native::<Data>::new(|cv| bome(from_json(cv.1)))),
        ("tonumber", v(0), Native::<Data>::new(|cv| bome(to_number(cv.1)))),
        ("tostring", v(0), Native::<Data>::new(|cv| bome(Ok(cv.1.into_string())))),
    ]
}
