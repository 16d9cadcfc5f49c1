//! What jaq's interpreter asks of a value: making, reading and updating by key, index and range.

use std::ops::Range;
use std::rc::Rc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::{Exn, ValT, ValX};

use super::arithmetic::over_limit;
use super::budget;
use super::number::Number;
use super::value::{Array, Error, Members, Object, Value, owned};
use super::write;

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<isize> for Value {
    fn from(int: isize) -> Self {
        Self::Number(Number::Int(int as i64))
    }
}

impl From<usize> for Value {
    fn from(int: usize) -> Self {
        Self::int(int)
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::Number(Number::Float(float))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Range<Option<Self>>> for Value {
    fn from(range: Range<Option<Self>>) -> Self {
        let ends = [("start", range.start), ("end", range.end)];
        Self::object(ends.into_iter().map(|(key, end)| (key.into(), end.unwrap_or_default())).collect())
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<T: IntoIterator<Item = Self>>(items: T) -> Self {
        let mut array = Array::new(Vec::new());
        for item in items {
            array.push(item);
            if !budget::allows(array.size(), 0) || !budget::charge_elements(1) {
                return Self::Null;
            }
        }
        Self::of_array(array.into())
    }
}

/// The place of an index that may count from the end.
pub(super) fn place(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    usize::try_from(if index < 0 { index.saturating_add(length) } else { index }).ok()
}

/// The places between the ends of a range, clipped to what is there.
fn places(range: &Range<Option<&Value>>, length: usize) -> Result<Range<usize>, Error> {
    let end = |end: Option<&Value>, default: usize, round: fn(f64) -> f64| match end {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Number(Number::Int(int))) => Ok(place(*int, length).unwrap_or(0).min(length)),
        Some(Value::Number(number)) => Ok(place(round(number.as_f64()) as i64, length).unwrap_or(0).min(length)),
        Some(other) => Err(Error::typ(other.clone(), "index of a range")),
    };
    let from = end(range.start, 0, f64::floor)?;
    Ok(from..end(range.end, length, f64::ceil)?.max(from))
}

/// The ends of `{"start": 1, "end": 2}`.
fn ends(object: &Object) -> Range<Option<&Value>> {
    object.members.get("start")..object.members.get("end")
}

impl ValT for Value {
    fn from_num(text: &str) -> Result<Self, Error> {
        // A program may write `007`, which is no number of JSON.
        let is_plain = !text.starts_with('0') || !text.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let number = if is_plain { Number::read(text) } else { Number::Float(text.parse().unwrap_or(f64::NAN)) };
        Ok(Self::Number(number))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(members: I) -> Result<Self, Error> {
        let member = |(key, value)| match key {
            Self::Text(key) => Ok((key, value)),
            key => Err(Error::typ(key, "key of an object")),
        };
        Ok(Self::object(members.into_iter().map(member).collect::<Result<Members, Error>>()?))
    }

    fn key_values(self) -> BoxIter<'static, Result<(Self, Self), Error>> {
        match self {
            Self::Array(array) => {
                let length = array.items.len();
                let item = move |at: usize| Ok((Self::int(at), array.items.get(at).cloned().unwrap_or_default()));
                Box::new((0..length).map(item))
            }
            Self::Object(object) => {
                let length = object.members.len();
                let member = move |at| object.members.get_index(at).map(|(key, value)| (key.clone(), value.clone()));
                Box::new((0..length).filter_map(member).map(|(key, value)| Ok((Self::Text(key), value))))
            }
            value => box_once(Err(Error::typ(value, "array or object"))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = Result<Self, Error>>> {
        Box::new(self.key_values().map(|member| member.map(|(_, value)| value)))
    }

    fn index(self, index: &Self) -> Result<Self, Error> {
        Ok(match (&self, index) {
            (Self::Null, Self::Null | Self::Text(_) | Self::Number(_) | Self::Object(_)) => Self::Null,
            (Self::Object(object), Self::Text(key)) => object.members.get(key).cloned().unwrap_or_default(),
            (Self::Array(array), Self::Number(at)) => {
                let place = place(at.as_index(), array.items.len());
                place.and_then(|at| array.items.get(at)).cloned().unwrap_or_default()
            }
            (Self::Array(array), Self::Array(wanted)) => indices(array, wanted),
            (Self::Array(_) | Self::Text(_), Self::Object(range)) => return self.clone().range(ends(range)),
            _ => return Err(Error::index(self, index.clone())),
        })
    }

    fn range(self, range: Range<Option<&Self>>) -> Result<Self, Error> {
        match &self {
            Self::Null => Ok(Self::Null),
            Self::Array(array) => {
                let places = places(&range, array.items.len())?;
                Ok(Self::array(array.items.get(places).unwrap_or_default().to_vec()))
            }
            Self::Text(text) => {
                budget::charge_bytes(text.len());
                let places = places(&range, text.chars().count())?;
                let byte = |place| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
                Ok(Self::text(&text[byte(places.start)..byte(places.end)]))
            }
            _ => Err(Error::typ(self, "array or string")),
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        match self {
            Self::Array(array) => {
                let items = array.items.iter().filter_map(|item| f(item.clone()).next());
                Ok(Self::array(items.collect::<Result<_, _>>()?))
            }
            Self::Object(object) => {
                let member = |(key, value): (&Rc<str>, &Self)| {
                    f(value.clone()).next().map(|value| value.map(|value| (Rc::clone(key), value)))
                };
                Ok(Self::object(object.members.iter().filter_map(member).collect::<Result<_, _>>()?))
            }
            value => opt.fail(value, |value| Exn::from(Error::typ(value, "array or object"))),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match (self, index) {
            (Self::Null, Self::Text(key)) => update_member(Rc::new(Object::new(Members::default())), key, f),
            (Self::Object(object), Self::Text(key)) => update_member(object, key, f),
            (Self::Null, Self::Number(at)) => update_item(Rc::new(Array::new(Vec::new())), at, f),
            (Self::Array(array), Self::Number(at)) => update_item(array, at, f),
            (value @ (Self::Null | Self::Array(_)), Self::Object(range)) => value.map_range(ends(range), opt, f),
            (value, index) => opt.fail(value, |value| Exn::from(Error::index(value, index.clone()))),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<Option<&Self>>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let array = match self {
            Self::Null => Rc::new(Array::new(Vec::new())),
            Self::Array(array) => array,
            value => return opt.fail(value, |value| Exn::from(Error::typ(value, "array to update a range of"))),
        };
        let places = match places(&range, array.items.len()) {
            Ok(places) => places,
            Err(e) => return opt.fail(Self::Array(array), |_| Exn::from(e)),
        };
        let slice = array.items.get(places.clone()).unwrap_or_default().to_vec();
        let new = match f(Self::array(slice)).next().transpose()? {
            None => Rc::new(Array::new(Vec::new())),
            Some(Self::Array(new)) => new,
            Some(other) => return Err(Error::typ(other, "array to put in place of a range").into()),
        };
        let (before, after) = (array.items.get(..places.start), array.items.get(places.end..));
        let parts = [before.unwrap_or_default(), &new.items, after.unwrap_or_default()];
        Ok(Self::array(parts.concat()))
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Text(_) => self,
            value => Self::text(write::to_text(&value)),
        }
    }
}

/// Where the wanted items begin.
pub(super) fn indices(array: &Array, wanted: &Array) -> Value {
    budget::charge_elements(array.items.len());
    if wanted.items.is_empty() {
        return Value::Null;
    }
    let windows = array.items.windows(wanted.items.len()).enumerate();
    // Where much is alike, each window may be compared to its end.
    let same = |(left, right): (&Value, &Value)| budget::charge_elements(1) && left == right;
    let found = windows.filter(|(_, window)| window.iter().zip(&wanted.items).all(same));
    Value::array(found.map(|(at, _)| Value::int(at)).collect())
}

fn update_member<'a, I: Iterator<Item = ValX<'a, Value>>>(
    mut shared: Rc<Object>,
    key: &Rc<str>,
    f: impl Fn(Value) -> I,
) -> ValX<'a, Value> {
    let length = shared.members.len();
    let object = owned(&mut shared, length);
    let old = object.take(key).unwrap_or_default();
    match f(old).next().transpose()? {
        Some(new) => object.insert(Rc::clone(key), new),
        None => object.remove(key),
    }
    finished(Value::of_object(shared))
}

fn update_item<'a, I: Iterator<Item = ValX<'a, Value>>>(
    mut shared: Rc<Array>,
    at: &Number,
    f: impl Fn(Value) -> I,
) -> ValX<'a, Value> {
    let length = shared.items.len();
    let Some(place) = place(at.as_index(), length) else {
        return Err(Error::str("array index before the first item").into());
    };
    // Each null needs five bytes.
    if !budget::allows(place.saturating_mul(5), 0) {
        return Err(over_limit().into());
    }
    let array = owned(&mut shared, length);
    match f(array.take(place)).next().transpose()? {
        Some(new) => {
            budget::charge_elements(place.saturating_sub(length));
            while array.items.len() <= place {
                array.push(Value::Null);
            }
            array.put(place, new);
        }
        None => array.remove(place),
    }
    finished(Value::of_array(shared))
}

fn finished<'a>(value: Value) -> ValX<'a, Value> {
    if budget::exceeded().is_some() { Err(over_limit().into()) } else { Ok(value) }
}

impl jaq_std::ValT for Value {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self {
            Self::Array(array) => {
                budget::charge_elements(array.items.len());
                Ok(array.items.iter().cloned().collect())
            }
            value => Err(value),
        }
    }

    fn is_int(&self) -> bool {
        matches!(self, Self::Number(number) if number.as_int().is_some())
    }

    fn as_isize(&self) -> Option<isize> {
        match self {
            Self::Number(number) => number.as_int().and_then(|int| isize::try_from(int).ok()),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number.as_f64()),
            _ => None,
        }
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    fn as_sub_str(&self, sub: &[u8]) -> Self {
        Self::from_utf8_bytes(sub.to_vec())
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::text(&*String::from_utf8_lossy(bytes.as_ref()))
    }
}
