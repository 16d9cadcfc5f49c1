//! The values that programs work on. Arrays and objects know the size of their JSON and their nesting: one value that
//! is used in many places of another costs no memory, but counts in each place.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use super::budget;
use super::number::Number;
use super::ordered_map::OrderedMap;

pub(super) type Members = OrderedMap<Value>;
pub(super) type Error = jaq_core::Error<Value>;
/// What jaq's interpreter works on.
pub(super) type Data = jaq_core::data::JustLut<Value>;

#[derive(Clone, Debug, Default)]
pub(super) enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    Array(Rc<Array>),
    Object(Rc<Object>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Array {
    pub(super) items: Vec<Value>,
    size: usize,
    nesting: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) members: Members,
    size: usize,
    nesting: usize,
}

/// Bytes of JSON beside key and value: two quotes, a colon and a comma.
const MEMBER_SIZE: usize = 4;

/// What an object costs beside its members: even a small one needs some hundred bytes of memory.
pub(super) const OBJECT_ELEMENTS: usize = 4;

impl Array {
    pub(super) fn new(items: Vec<Value>) -> Self {
        let size = items.iter().fold(2, |sum: usize, item| sum.saturating_add(item.size() + 1));
        let nesting = items.iter().map(Value::nesting).max().unwrap_or(0) + 1;
        Self { items, size, nesting }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn push(&mut self, item: Value) {
        self.size = self.size.saturating_add(item.size() + 1);
        self.nesting = self.nesting.max(item.nesting() + 1);
        self.items.push(item);
    }

    /// Takes an item out and leaves null.
    pub(super) fn take(&mut self, at: usize) -> Value {
        let item = self.items.get_mut(at).map(std::mem::take).unwrap_or_default();
        self.size = (self.size + Value::Null.size()).saturating_sub(item.size());
        item
    }

    /// Puts an item where one was taken.
    pub(super) fn put(&mut self, at: usize, item: Value) {
        self.size = self.size.saturating_add(item.size()).saturating_sub(Value::Null.size());
        self.nesting = self.nesting.max(item.nesting() + 1);
        if let Some(place) = self.items.get_mut(at) {
            *place = item;
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        if at < self.items.len() {
            charge_moved(self.items.len() - at);
            let item = self.items.remove(at);
            self.size = self.size.saturating_sub(item.size() + 1);
        }
    }
}

impl Object {
    pub(super) fn new(members: Members) -> Self {
        let member_size = |(key, value): (&Rc<str>, &Value)| key.len() + MEMBER_SIZE + value.size();
        let size = members.iter().fold(2, |sum: usize, member| sum.saturating_add(member_size(member)));
        let nesting = members.values().map(Value::nesting).max().unwrap_or(0) + 1;
        Self { members, size, nesting }
    }

    pub(super) fn insert(&mut self, key: Rc<str>, value: Value) {
        self.nesting = self.nesting.max(value.nesting() + 1);
        self.size = self.size.saturating_add(value.size());
        let key_size = key.len() + MEMBER_SIZE;
        match self.members.insert(key, value) {
            Some(old) => self.size = self.size.saturating_sub(old.size()),
            None => self.size = self.size.saturating_add(key_size),
        }
    }

    /// Takes a member's value out and leaves null.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        let value = std::mem::take(self.members.get_mut(key)?);
        self.size = (self.size + Value::Null.size()).saturating_sub(value.size());
        Some(value)
    }

    /// Removes a member; the others keep their order.
    pub(super) fn remove(&mut self, key: &str) {
        if let Some((at, value)) = self.members.remove(key) {
            charge_moved(self.members.len() - at);
            self.size = self.size.saturating_sub(key.len() + MEMBER_SIZE + value.size());
        }
    }
}

/// Elements that move when one before them is removed. Moving one is far cheaper than making it.
fn charge_moved(elements: usize) {
    budget::charge_elements(elements / 16);
}

impl Value {
    /// Null if the run is over a limit.
    pub(super) fn array(items: Vec<Self>) -> Self {
        budget::charge_elements(items.len() + 1);
        Self::of_array(Array::new(items).into())
    }

    /// Null if the run is over a limit.
    pub(super) fn object(members: Members) -> Self {
        budget::charge_elements(members.len() + OBJECT_ELEMENTS);
        Self::of_object(Object::new(members).into())
    }

    pub(super) fn of_array(array: Rc<Array>) -> Self {
        if budget::allows(array.size, array.nesting) { Self::Array(array) } else { Self::Null }
    }

    pub(super) fn of_object(object: Rc<Object>) -> Self {
        if budget::allows(object.size, object.nesting) { Self::Object(object) } else { Self::Null }
    }

    /// Null if the run is over a limit.
    pub(super) fn text(text: impl Into<Rc<str>> + AsRef<str>) -> Self {
        let size = text.as_ref().len();
        budget::charge_bytes(size);
        if budget::allows(size, 0) { Self::Text(text.into()) } else { Self::Null }
    }

    pub(super) fn int(int: usize) -> Self {
        Self::Number(Number::Int(i64::try_from(int).unwrap_or(i64::MAX)))
    }

    /// Bytes of its JSON, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null => 4,
            Self::Bool(_) => 5,
            Self::Number(number) => number.size(),
            Self::Text(text) => text.len() + 2,
            Self::Array(array) => array.size,
            Self::Object(object) => object.size,
        }
    }

    /// Levels of arrays and objects.
    pub(super) fn nesting(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 0,
            Self::Array(array) => array.nesting,
            Self::Object(object) => object.nesting,
        }
    }

    /// Elements, members or bytes: what a function reads that looks at each once.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::Text(text) => text.len() / 32,
            Self::Array(array) => array.items.len(),
            Self::Object(object) => object.members.len(),
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Number(_) => 3,
            Self::Text(_) => 4,
            Self::Array(_) => 5,
            Self::Object(_) => 6,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::Array(left), Self::Array(right)) => {
                left.items.len() == right.items.len()
                    && left.items.iter().zip(&right.items).all(|(left, right)| left.equals(right))
            }
            (Self::Object(left), Self::Object(right)) => {
                let has = |(key, value): (&Rc<str>, &Self)| right.members.get(key).is_some_and(|own| own.equals(value));
                left.members.len() == right.members.len() && left.members.iter().all(has)
            }
            _ => self.rank() == other.rank(),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Array(left), Self::Array(right)) => {
                let pairs = left.items.iter().zip(&right.items).map(|(left, right)| left.compare(right));
                let first = pairs.into_iter().find(|order| order.is_ne());
                first.unwrap_or_else(|| left.items.len().cmp(&right.items.len()))
            }
            (Self::Object(left), Self::Object(right)) => {
                let (left, right) = (sorted(&left.members), sorted(&right.members));
                let keys = left.iter().map(|(key, _)| key).cmp(right.iter().map(|(key, _)| key));
                let values = left.iter().zip(&right).map(|((_, left), (_, right))| left.compare(right));
                keys.then_with(|| values.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// A comparison costs as much as the smaller value is long.
    fn charge_comparison(&self, other: &Self) {
        budget::charge_bytes(self.size().min(other.size()));
    }
}

/// Members by key.
pub(super) fn sorted(members: &Members) -> Vec<(&Rc<str>, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    sorted
}

/// Its contents, as a copy if others use it too.
pub(super) fn owned<T: Clone>(shared: &mut Rc<T>, elements: usize) -> &mut T {
    if Rc::strong_count(shared) > 1 {
        budget::charge_elements(elements);
    }
    Rc::make_mut(shared)
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.charge_comparison(other);
        self.equals(other)
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.charge_comparison(other);
        self.compare(other)
    }
}

/// Only what kind of value it is: it ends up in error messages, where no payload belongs.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
