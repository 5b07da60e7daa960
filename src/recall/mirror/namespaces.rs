//! The namespaces of one root: numbers for their names, and how much stands in each.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{
    domain::namespace::{Namespace, NamespaceRange, Prefix},
    recall::lexicon::Extent,
};

/// A namespace's number.
pub type NamespaceId = u32;

/// All of a mirror's namespaces that hold something.
#[derive(Default)]
pub struct Namespaces {
    /// In byte order, so that those below a prefix stand together.
    ids: BTreeMap<Arc<str>, NamespaceId>,
    all: Vec<(Namespace, Extent)>,
    free: Vec<NamespaceId>,
    extent: Extent,
}

impl Namespaces {
    /// The number of a namespace, a new one if it has none.
    pub fn enter(&mut self, namespace: &Namespace) -> NamespaceId {
        if let Some(id) = self.ids.get(namespace.as_str()) {
            return *id;
        }
        let entered = (namespace.clone(), Extent::default());
        let id = match self.free.pop() {
            Some(id) => {
                self.all[id as usize] = entered;
                id
            }
            None => {
                self.all.push(entered);
                self.all.len() as NamespaceId - 1
            }
        };
        self.ids.insert(namespace.shared_text(), id);
        id
    }

    pub fn id(&self, namespace: &Namespace) -> Option<NamespaceId> {
        self.ids.get(namespace.as_str()).copied()
    }

    pub fn name(&self, id: NamespaceId) -> &Namespace {
        &self.all[id as usize].0
    }

    /// A text of such a length came.
    pub fn grow(&mut self, id: NamespaceId, length: u32) {
        self.all[id as usize].1 += Extent::one(length);
        self.extent += Extent::one(length);
    }

    /// A text is longer or shorter than it was.
    pub fn change(&mut self, id: NamespaceId, before: u32, length: u32) {
        for extent in [&mut self.all[id as usize].1, &mut self.extent] {
            *extent -= Extent::one(before);
            *extent += Extent::one(length);
        }
    }

    /// A text of such a length went. With the last one the namespace goes.
    pub fn shrink(&mut self, id: NamespaceId, length: u32) {
        let (namespace, extent) = &mut self.all[id as usize];
        *extent -= Extent::one(length);
        self.extent -= Extent::one(length);
        if extent.texts == 0 {
            self.ids.remove(namespace.as_str());
            self.free.push(id);
        }
    }

    /// How much stands in all of them.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Which of them lie below one of the prefixes, by number, and how much stands there; none: all.
    pub fn covered(&self, prefixes: &[Prefix]) -> Option<(Vec<bool>, Extent)> {
        let (mut covered, mut extent, mut count) = (vec![false; self.all.len()], Extent::default(), 0);
        for range in NamespaceRange::of(prefixes) {
            let from = self.ids.range::<str, _>((Bound::Included(range.start.as_str()), Bound::Unbounded));
            for (_, &id) in from.take_while(|(name, _)| range.contains(name)) {
                covered[id as usize] = true;
                extent += self.all[id as usize].1;
                count += 1;
            }
        }
        (count < self.ids.len()).then_some((covered, extent))
    }

    pub fn bytes(&self) -> usize {
        self.all.iter().map(|(name, _)| 96 + name.as_str().len()).sum()
    }
}
