//! A pattern without `$or`: the tree of the fields that must hold, all of them.

use super::comparison::Comparison;

/// One way to match a pattern. A pattern with `$or` has one for each combination of its branches.
pub(super) type Alternative = Node;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Node {
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    /// Of each list, one comparison must hold. There is more than one list if `$or` names a field again.
    pub(super) leaves: Vec<Vec<Comparison>>,
    /// The fields of an object.
    pub(super) children: Option<Node>,
}

impl Node {
    pub(super) fn leaf(name: String, comparisons: Vec<Comparison>) -> Self {
        Self { fields: vec![Field { name, leaves: vec![comparisons], children: None }] }
    }

    pub(super) fn object(name: String, children: Self) -> Self {
        Self { fields: vec![Field { name, leaves: Vec::new(), children: Some(children) }] }
    }

    /// The pattern for which this and the other must hold.
    pub(super) fn and(mut self, other: Self) -> Self {
        for field in other.fields {
            match self.fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => {
                    known.leaves.extend(field.leaves);
                    known.children = match (known.children.take(), field.children) {
                        (Some(known), Some(other)) => Some(known.and(other)),
                        (known, other) => known.or(other),
                    };
                }
                None => self.fields.push(field),
            }
        }
        self
    }

    /// Whether it holds for an object without any of the fields.
    pub(super) fn allows_absence(&self) -> bool {
        self.fields.iter().all(Field::allows_absence)
    }
}

impl Field {
    /// Whether it holds where the field is not there.
    pub(super) fn allows_absence(&self) -> bool {
        self.leaves.iter().all(|list| list.contains(&Comparison::Exists(false)))
            && self.children.as_ref().is_none_or(Node::allows_absence)
    }

    /// Whether it, or a field below it, asks for a field that is not there.
    pub(super) fn asks_for_absence(&self) -> bool {
        self.leaves.iter().any(|list| list.contains(&Comparison::Exists(false)))
            || self.children.as_ref().is_some_and(|node| node.fields.iter().any(Self::asks_for_absence))
    }
}
