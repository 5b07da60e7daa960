//! Which slots a filter means: sets by kind, tag, author and namespace, and the values of attributes in order. What was
//! put into a vacated slot stays until it is swept; whoever asks says which slots count. Knows no text.

mod scalar;

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use roaring::RoaringBitmap;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::lexicon::Slot;
use crate::domain::{
    entry::{Kind, Version},
    query::{AttributeCondition, Filter, Operator},
};
use scalar::Scalar;

type Names<V> = HashMap<Box<str>, V, Xxh3DefaultBuilder>;

/// All facets of one mirror.
#[derive(Default)]
pub(super) struct Facets {
    kinds: HashMap<Kind, RoaringBitmap, Xxh3DefaultBuilder>,
    tags: Names<RoaringBitmap>,
    authors: Names<RoaringBitmap>,
    attributes: Names<Attribute>,
    bytes: usize,
}

/// One attribute, by its path.
#[derive(Default)]
struct Attribute {
    present: RoaringBitmap,
    values: BTreeSet<(Scalar, Slot)>,
}

impl Facets {
    /// Takes in what stands in a slot.
    pub fn insert(&mut self, slot: Slot, version: &Version, attributes: &Value) {
        self.kinds.entry(version.body.kind).or_default().insert(slot);
        add(&mut self.authors, version.author.as_str(), slot);
        for tag in version.body.tags.iter() {
            add(&mut self.tags, tag, slot);
        }
        if let Value::Object(attributes) = attributes {
            self.insert_attributes(slot, attributes);
        }
    }

    fn insert_attributes(&mut self, slot: Slot, attributes: &Map<String, Value>) {
        for (name, value) in attributes {
            self.insert_value(slot, name, value);
        }
        for (name, value) in attributes {
            if let Value::Object(inside) = value {
                self.insert_inside(slot, name, inside, attributes);
            }
        }
    }

    /// What a dotted path leads to, unless an attribute has this very name.
    fn insert_inside(
        &mut self,
        slot: Slot,
        path: &str,
        inside: &Map<String, Value>,
        all: &Map<String, Value>,
    ) {
        // A name with a dot in it cannot be stepped to.
        for (name, value) in inside.iter().filter(|(name, _)| !name.contains('.')) {
            let path = format!("{path}.{name}");
            if !all.contains_key(&path) {
                self.insert_value(slot, &path, value);
            }
            if let Value::Object(inside) = value {
                self.insert_inside(slot, &path, inside, all);
            }
        }
    }

    fn insert_value(&mut self, slot: Slot, path: &str, value: &Value) {
        let scalar = Scalar::of(value);
        self.bytes += 56 + scalar.bytes();
        let attribute = entry(&mut self.attributes, path);
        attribute.present.insert(slot);
        attribute.values.insert((scalar, slot));
    }

    /// Drops what was put into vacated slots, which may be taken again afterwards.
    pub fn sweep(&mut self, vacant: &RoaringBitmap) {
        let sets = self.kinds.values_mut().chain(self.tags.values_mut()).chain(self.authors.values_mut());
        sets.for_each(|set| *set -= vacant);
        self.tags.retain(|_, set| !set.is_empty());
        self.authors.retain(|_, set| !set.is_empty());
        let bytes = &mut self.bytes;
        self.attributes.retain(|_, attribute| {
            attribute.present -= vacant;
            attribute.values.retain(|(scalar, slot)| {
                let stays = !vacant.contains(*slot);
                *bytes -= if stays { 0 } else { 56 + scalar.bytes() };
                stays
            });
            !attribute.present.is_empty()
        });
    }

    /// The slots among `all` that a filter means, whatever their namespace and time; none: all of them.
    pub fn matching(&self, filter: &Filter, all: &RoaringBitmap) -> Option<RoaringBitmap> {
        let mut matching: Option<RoaringBitmap> = None;
        let mut narrow = |to: RoaringBitmap| match &mut matching {
            Some(matching) => *matching &= to,
            None => matching = Some(to & all),
        };
        for tag in &filter.tags {
            narrow(self.tags.get(tag).cloned().unwrap_or_default());
        }
        if !filter.authors.is_empty() {
            narrow(union(filter.authors.iter().filter_map(|author| self.authors.get(author.as_str()))));
        }
        for condition in &filter.attributes {
            narrow(self.holding(condition, all));
        }
        if !filter.kinds.is_empty() {
            narrow(union(filter.kinds.iter().filter_map(|kind| self.kinds.get(kind))));
        }
        matching
    }

    fn holding(&self, condition: &AttributeCondition, all: &RoaringBitmap) -> RoaringBitmap {
        let negated = match condition.operator() {
            Operator::Ne => true,
            Operator::Exists => !condition.value().as_bool().unwrap_or(true),
            _ => false,
        };
        let found = self.attributes.get(condition.path()).map(|attribute| attribute.holding(condition));
        match negated {
            false => found.unwrap_or_default(),
            true => all - found.unwrap_or_default(),
        }
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let sets = self.kinds.values().chain(self.tags.values()).chain(self.authors.values());
        let sets = sets.chain(self.attributes.values().map(|attribute| &attribute.present));
        self.bytes + sets.map(|set| 96 + set.serialized_size()).sum::<usize>()
    }
}

impl Attribute {
    /// Where the condition holds; where it does not, for the operators that negate.
    fn holding(&self, condition: &AttributeCondition) -> RoaringBitmap {
        let value = condition.value();
        match condition.operator() {
            Operator::Exists => self.present.clone(),
            Operator::Eq | Operator::Ne => self.equal(value),
            Operator::In => value
                .as_array()
                .into_iter()
                .flatten()
                .map(|value| self.equal(value))
                .fold(RoaringBitmap::new(), |all, some| all | some),
            Operator::Gt => self.between(Bound::Excluded((Scalar::of(value), Slot::MAX)), above(value)),
            Operator::Gte => self.between(Bound::Included((Scalar::of(value), 0)), above(value)),
            Operator::Lt => self.between(below(value), Bound::Excluded((Scalar::of(value), 0))),
            Operator::Lte => self.between(below(value), Bound::Included((Scalar::of(value), Slot::MAX))),
        }
    }

    fn equal(&self, value: &Value) -> RoaringBitmap {
        let scalar = Scalar::of(value);
        self.between(Bound::Included((scalar.clone(), 0)), Bound::Included((scalar, Slot::MAX)))
    }

    fn between(&self, from: Bound<(Scalar, Slot)>, to: Bound<(Scalar, Slot)>) -> RoaringBitmap {
        self.values.range((from, to)).map(|(_, slot)| *slot).collect()
    }
}

/// What stands just before the values that are ordered with this one.
fn below(value: &Value) -> Bound<(Scalar, Slot)> {
    Bound::Excluded((Scalar::just_before(value), Slot::MAX))
}

/// What stands just behind the values that are ordered with this one.
fn above(value: &Value) -> Bound<(Scalar, Slot)> {
    Bound::Excluded((Scalar::just_behind(value), 0))
}

fn entry<'a, V: Default>(names: &'a mut Names<V>, name: &str) -> &'a mut V {
    if !names.contains_key(name) {
        names.insert(name.into(), V::default());
    }
    names.get_mut(name).expect("it was put there")
}

fn add(names: &mut Names<RoaringBitmap>, name: &str, slot: Slot) {
    entry(names, name).insert(slot);
}

fn union<'a>(sets: impl Iterator<Item = &'a RoaringBitmap>) -> RoaringBitmap {
    sets.fold(RoaringBitmap::new(), |all, some| all | some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Limits;

    fn of(all: &[Value]) -> (Facets, RoaringBitmap) {
        let mut facets = Facets::default();
        for (slot, attributes) in all.iter().enumerate() {
            facets.insert_attributes(slot as Slot, attributes.as_object().unwrap());
        }
        (facets, (0..all.len() as Slot).collect())
    }

    /// The oracle is the filter of the domain itself.
    #[test]
    fn conditions_hold_where_the_filter_says() {
        let values = r#"[null, true, 1, 1.0, -3, 2.5, 9007199254740993, 1e300, "", "a", "b", "ä", [1, "a"], [1.0, "a"], {"b": 1}, {}]"#;
        let values: Vec<Value> = serde_json::from_str(values).unwrap();
        let mut all: Vec<Value> = values.iter().map(|value| serde_json::json!({ "n": value })).collect();
        all.push(serde_json::json!({"a": {"b": {"c": 7}, "x.y": 1}, "a.b": 2, "other": "z".repeat(3000)}));
        let (facets, slots) = of(&all);
        let limits = Limits::default();
        let mut tried = 0;
        for path in ["n", "n.b", "a.b", "a.b.c", "a.x.y", "other", "none"] {
            for operator in [
                Operator::Eq,
                Operator::Ne,
                Operator::Gt,
                Operator::Gte,
                Operator::Lt,
                Operator::Lte,
                Operator::In,
                Operator::Exists,
            ] {
                for value in values.iter().map(ToString::to_string).chain([
                    "2".into(),
                    "false".into(),
                    "[2, \"b\", [1, \"a\"]]".into(),
                ]) {
                    let Ok(condition) = AttributeCondition::parse(path, operator, &value, &limits) else {
                        continue;
                    };
                    let filter = Filter { attributes: vec![condition], ..Filter::default() };
                    let expected: RoaringBitmap =
                        slots.iter().filter(|&slot| filter.attributes_of(&all[slot as usize])).collect();
                    let found = facets.matching(&filter, &slots).unwrap();
                    assert_eq!(found, expected, "{path} {operator:?} {value}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 500, "{tried}");
    }

    #[test]
    fn what_was_swept_is_gone() {
        let (mut facets, _) = of(&[serde_json::json!({"n": 1}), serde_json::json!({"n": 2, "m": 1})]);
        let before = facets.bytes();
        facets.sweep(&[1].into_iter().collect());
        assert_eq!(facets.attributes.len(), 1);
        assert_eq!(facets.attributes["n"].values.len(), 1);
        assert!(facets.bytes() < before);
    }
}
