//! Values by their names, in the order in which they came: the members of an object.

use std::rc::Rc;

use indexmap::IndexMap;

/// More members than this are found by their hashes. Fewer are compared one by one, which needs less time and memory than
/// an index: most objects of most records are small.
const MAX_FEW: usize = 8;

type Indexed<V> = IndexMap<Rc<str>, V, foldhash::fast::RandomState>;

#[derive(Clone, Debug)]
pub(super) struct OrderedMap<V> {
    /// All of them, unless there are many.
    few: Vec<(Rc<str>, V)>,
    many: Option<Box<Indexed<V>>>,
}

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<V> OrderedMap<V> {
    pub(super) fn with_capacity(members: usize) -> Self {
        Self { few: Vec::with_capacity(members.min(MAX_FEW)), many: None }
    }

    pub(super) fn len(&self) -> usize {
        self.many.as_ref().map_or(self.few.len(), |many| many.len())
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.few.iter().position(|(own, _)| **own == *key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        match &self.many {
            Some(many) => many.get(key),
            None => self.few.iter().find(|(own, _)| **own == *key).map(|(_, value)| value),
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        match &mut self.many {
            Some(many) => many.get_mut(key),
            None => self.few.iter_mut().find(|(own, _)| **own == *key).map(|(_, value)| value),
        }
    }

    pub(super) fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get_index(&self, at: usize) -> Option<(&Rc<str>, &V)> {
        match &self.many {
            Some(many) => many.get_index(at),
            None => self.few.get(at).map(|(key, value)| (key, value)),
        }
    }

    /// Returns the value that was there. A new member comes last.
    pub(super) fn insert(&mut self, key: Rc<str>, value: V) -> Option<V> {
        if let Some(many) = &mut self.many {
            return many.insert(key, value);
        }
        if let Some(own) = self.get_mut(&key) {
            return Some(std::mem::replace(own, value));
        }
        if self.few.len() < MAX_FEW {
            self.few.push((key, value));
            return None;
        }
        let all = std::mem::take(&mut self.few).into_iter().chain([(key, value)]);
        self.many = Some(Box::new(all.collect()));
        None
    }

    /// Removes a member and returns its place; the others keep their order.
    pub(super) fn remove(&mut self, key: &str) -> Option<(usize, V)> {
        match &mut self.many {
            Some(many) => many.shift_remove_full(key).map(|(at, _, value)| (at, value)),
            None => self.place(key).map(|at| (at, self.few.remove(at).1)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &V)> {
        let many = self.many.as_deref().into_iter().flatten();
        self.few.iter().map(|(key, value)| (key, value)).chain(many)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Rc<str>> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V> FromIterator<(Rc<str>, V)> for OrderedMap<V> {
    fn from_iter<T: IntoIterator<Item = (Rc<str>, V)>>(members: T) -> Self {
        let members = members.into_iter();
        let mut all = Self::with_capacity(members.size_hint().0);
        members.for_each(|(key, value)| _ = all.insert(key, value));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few or many, they are what a list is in which each name is searched.
        #[test]
        fn members_are_an_ordered_map(steps in prop::collection::vec((any::<bool>(), 0..20_u8, 0..99_i64), 0..60)) {
            let (mut members, mut expected) = (OrderedMap::default(), Vec::<(String, i64)>::new());
            for (is_removal, name, value) in steps {
                let name = format!("k{name}");
                let at = expected.iter().position(|(own, _)| *own == name);
                if is_removal {
                    let removed = members.remove(&name);
                    prop_assert_eq!(removed, at.map(|at| (at, expected.remove(at).1)));
                } else {
                    let old = members.insert(name.as_str().into(), value);
                    prop_assert_eq!(old, at.map(|at| expected[at].1));
                    match at {
                        Some(at) => expected[at].1 = value,
                        None => expected.push((name, value)),
                    }
                }
                let found: Vec<(String, i64)> = members.iter().map(|(key, value)| (key.to_string(), *value)).collect();
                prop_assert_eq!(&found, &expected);
                prop_assert_eq!(members.len(), expected.len());
                for (at, (name, value)) in expected.iter().enumerate() {
                    prop_assert_eq!(members.get(name), Some(value));
                    prop_assert_eq!(members.get_index(at).map(|(key, value)| (&**key, *value)), Some((name.as_str(), *value)));
                }
                prop_assert!(!members.contains_key("k99"));
            }
        }
    }
}
