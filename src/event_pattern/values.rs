//! Whether a value matches, read from its text.

use super::alternatives::{Field, Node};
use super::comparison::Comparison;
use super::scalar::Scalar;
use crate::domain::JsonText;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What is nested deeper counts as absent, so that no record overflows the stack.
pub(super) const MAX_DEPTH: usize = 128;

pub(super) fn value_matches(field: &Field, raw: &RawValue, depth: usize) -> bool {
    match raw.get().as_bytes().first() {
        Some(b'{') => elements_match(field, &[raw], depth),
        Some(b'[') => elements_match(field, &flattened(raw, depth), depth),
        Some(_) | None => Scalar::read(raw).is_some_and(|value| scalar_matches(field, &value)),
    }
}

pub(super) fn scalar_matches(field: &Field, value: &Scalar<'_>) -> bool {
    field.leaves.iter().all(|list| list.iter().any(|comparison| comparison.matches(value)))
        && field.children.as_ref().is_none_or(Node::allows_absence)
}

/// Of an array, or an object alone: one scalar must satisfy each list, and one object must have all fields that are named
/// below. An object is no leaf, so that the comparisons of the field itself find nothing in it.
fn elements_match(field: &Field, elements: &[&RawValue], depth: usize) -> bool {
    let (objects, scalars): (Vec<&RawValue>, Vec<&RawValue>) = elements.iter().partition(|raw| is_object(raw));
    let scalars: Vec<Scalar<'_>> = scalars.into_iter().filter_map(Scalar::read).collect();
    let holds = |list: &Vec<Comparison>| match scalars.as_slice() {
        [] => list.contains(&Comparison::Exists(false)),
        scalars => scalars.iter().any(|value| list.iter().any(|comparison| comparison.matches(value))),
    };
    field.leaves.iter().all(holds) && field.children.as_ref().is_none_or(|node| objects_match(node, &objects, depth))
}

fn objects_match(node: &Node, objects: &[&RawValue], depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1).filter(|_| !objects.is_empty()) else { return node.allows_absence() };
    if objects.len() > 1 && node.fields.iter().any(Field::asks_for_absence) {
        // A field that one element has is not absent, although another element lacks it.
        let node = without_present(node, objects, depth);
        return objects.iter().any(|raw| node_matches(&node, raw, depth));
    }
    objects.iter().any(|raw| node_matches(node, raw, depth))
}

fn node_matches(node: &Node, raw: &RawValue, depth: usize) -> bool {
    members_match(node, members(node, raw), depth)
}

fn members_match(node: &Node, values: Vec<Option<&RawValue>>, depth: usize) -> bool {
    node.fields.iter().zip(values).all(|(field, value)| match value {
        Some(value) => value_matches(field, value, depth),
        None => field.allows_absence(),
    })
}

/// The pattern in which no field may be absent that one of the objects has.
fn without_present(node: &Node, objects: &[&RawValue], depth: usize) -> Node {
    let found: Vec<Vec<Option<&RawValue>>> = objects.iter().map(|raw| members(node, raw)).collect();
    let field = |(index, field): (usize, &Field)| {
        let values = found.iter().filter_map(|members| members.get(index).copied().flatten());
        let elements: Vec<&RawValue> = values.flat_map(|raw| flattened(raw, depth)).collect();
        let (objects, scalars): (Vec<&RawValue>, Vec<&RawValue>) = elements.into_iter().partition(|raw| is_object(raw));
        let mut field = field.clone();
        if !scalars.is_empty() {
            field.leaves.iter_mut().for_each(|list| list.retain(|comparison| *comparison != Comparison::Exists(false)));
        }
        if let Some(depth) = depth.checked_sub(1) {
            field.children = field.children.map(|node| without_present(&node, &objects, depth));
        }
        field
    };
    Node { fields: node.fields.iter().enumerate().map(field).collect() }
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// The elements of an array and of the arrays in it; of any other value, that value.
fn flattened(raw: &RawValue, depth: usize) -> Vec<&RawValue> {
    if !raw.get().starts_with('[') {
        return vec![raw];
    }
    let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
    let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    if elements.iter().all(|element| !element.get().starts_with('[')) {
        return elements;
    }
    elements.into_iter().flat_map(|element| flattened(element, depth)).collect()
}

/// The values of the fields that a pattern names, in its order. None of them if a name is no text.
fn members<'d>(node: &Node, raw: &'d RawValue) -> Vec<Option<&'d RawValue>> {
    let members = MembersSeed(node).deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    members.unwrap_or_else(|_| vec![None; node.fields.len()])
}

struct MembersSeed<'n>(&'n Node);

impl<'de> DeserializeSeed<'de> for MembersSeed<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MembersSeed<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// Of members with the same name the last one counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.fields.len()];
        while let Some(name) = map.next_key::<JsonText<'de>>()? {
            match self.0.fields.iter().position(|field| field.name == name.0) {
                Some(index) => values[index] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}
