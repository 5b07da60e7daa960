//! Who speaks in a root: so that a question which names somebody can be told.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::namespaces::NamespaceId;
use crate::recall::text;

/// A speaker's number.
pub type SpeakerId = u32;

/// All speakers of a mirror. Those who said something once keep their number.
#[derive(Default)]
pub struct Names {
    ids: HashMap<Box<str>, SpeakerId, Xxh3DefaultBuilder>,
    /// By number: the name, and how often it is in which namespace.
    all: Vec<(Box<str>, HashMap<NamespaceId, u32>)>,
    by_word: HashMap<String, Vec<SpeakerId>>,
}

impl Names {
    /// Somebody says something.
    pub fn enter(&mut self, namespace: NamespaceId, name: &str) -> SpeakerId {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => self.meet(name),
        };
        *self.all[id as usize].1.entry(namespace).or_default() += 1;
        id
    }

    fn meet(&mut self, name: &str) -> SpeakerId {
        let id = self.all.len() as SpeakerId;
        self.all.push((name.into(), HashMap::new()));
        self.ids.insert(name.into(), id);
        for part in name.split_whitespace() {
            let mut words = text::words(part);
            // Of a name like "test-user" no part is a name.
            if let (Some(word), None) = (words.next(), words.next()) {
                let named = self.by_word.entry(word).or_default();
                if named.last() != Some(&id) {
                    named.push(id);
                }
            }
        }
        id
    }

    /// Something that was said is gone.
    pub fn leave(&mut self, namespace: NamespaceId, id: SpeakerId) {
        let namespaces = &mut self.all[id as usize].1;
        if let Some(count) = namespaces.get_mut(&namespace) {
            *count -= 1;
            if *count == 0 {
                namespaces.remove(&namespace);
            }
        }
    }

    /// The name that goes with a number.
    pub fn name(&self, id: SpeakerId) -> &str {
        &self.all[id as usize].0
    }

    /// Those with this word in their name who speak in one of the namespaces that `counts`.
    pub fn named<'a>(
        &'a self,
        word: &str,
        counts: impl Fn(NamespaceId) -> bool + 'a,
    ) -> impl Iterator<Item = &'a str> {
        let named = self.by_word.get(word).into_iter().flatten();
        let speaks =
            move |id: &&SpeakerId| self.all[**id as usize].1.keys().any(|&namespace| counts(namespace));
        named.filter(speaks).map(|&id| self.name(id))
    }
}
