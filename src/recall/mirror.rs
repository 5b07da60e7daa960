//! What ranking and filtering need of one root, in memory: every entry's terms, vector, facets, times, and its neighbours in
//! a conversation. Bodies are not kept. Knows nothing of where versions come from.

pub(super) mod calendar;
mod document;
mod names;
mod namespaces;
mod sessions;
mod space;

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, Hash as _, Hasher as _},
};

use hashbrown::HashTable;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

pub use document::{Document, said, source};
pub(super) use space::Space;

use super::{
    embed::{DIMENSIONS, StaticModel},
    facets::Facets,
    lexicon::{Lexicon, SLOTS_MAX, Slot},
    text,
    vectors::Vectors,
};
use crate::domain::{
    entry::{Change, Version},
    namespace::{EntryPath, Key, Namespace},
    time::Timestamp,
};
use document::Reading;
use names::Names;
use namespaces::{NamespaceId, Namespaces};
use sessions::Sessions;

/// Vacated slots are swept when there are more of them than this, and than a quarter of those in use.
const VACANT_MIN: u64 = 1024;
/// What a word counts, in parts: where it stands;
pub(super) const WHOLE: u32 = 20;
/// if somebody else asked with it one turn before, and if it was merely said there; two turns before;
pub(super) const ASKED_BEFORE: u32 = 16;
pub(super) const BEFORE: [u32; 2] = [6, 4];
/// one and two turns after.
pub(super) const AFTER: [u32; 2] = [6, 3];
/// How much of the vectors of turns one and two beside it a turn has as its own.
pub(super) const BESIDE: [f32; 2] = [0.3, 0.15];
/// The namespace of a slot that is vacant.
const VACANT: NamespaceId = NamespaceId::MAX;

/// One root's entries.
pub struct Mirror {
    embeds: bool,
    documents: Vec<Option<Document>>,
    /// By slot, beside the documents, since every posting is held against it.
    owners: Vec<NamespaceId>,
    live: RoaringBitmap,
    /// Vacated, and still named by postings.
    vacant: RoaringBitmap,
    free: Vec<Slot>,
    by_path: HashTable<Slot>,
    namespaces: Namespaces,
    pub(super) lexicon: Lexicon,
    pub(super) vectors: Vectors,
    facets: Facets,
    pub(super) sessions: Sessions,
    pub(super) names: Names,
    expiring: BTreeSet<(Timestamp, Slot)>,
    /// Superseded or resolved.
    settled: RoaringBitmap,
    /// By slot: how long a text is, with its share in the turns beside it, in parts of words.
    lengths: Vec<u32>,
    keys_bytes: usize,
}

/// It could hold no more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a root can have at most {SLOTS_MAX} entries to be recalled")]
pub struct Full;

impl Mirror {
    /// An empty one, which embeds what it takes in or not.
    #[must_use]
    pub fn new(embeds: bool) -> Self {
        Self {
            embeds,
            documents: Vec::new(),
            owners: Vec::new(),
            live: RoaringBitmap::new(),
            vacant: RoaringBitmap::new(),
            free: Vec::new(),
            by_path: HashTable::new(),
            namespaces: Namespaces::default(),
            lexicon: Lexicon::default(),
            vectors: Vectors::new(DIMENSIONS),
            facets: Facets::default(),
            sessions: Sessions::default(),
            names: Names::default(),
            expiring: BTreeSet::new(),
            settled: RoaringBitmap::new(),
            lengths: Vec::new(),
            keys_bytes: 0,
        }
    }

    /// Takes in a version, in the order of the log. It has to have its content.
    ///
    /// # Errors
    /// When there is no room for another entry.
    pub fn apply(&mut self, version: &Version) -> Result<(), Full> {
        if let Some(slot) = self.slot(&version.path) {
            self.vacate(slot);
        }
        match version.change {
            Change::Put => self.insert(version),
            Change::Delete => Ok(()),
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.live.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// How much memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let by_slot = size_of::<Option<Document>>() + size_of::<NamespaceId>() + 12;
        let parts = [
            self.documents.capacity() * by_slot + self.keys_bytes,
            self.lexicon.bytes(),
            self.vectors.bytes(),
            self.facets.bytes(),
            self.sessions.bytes(),
            self.namespaces.bytes(),
        ];
        parts.iter().sum()
    }

    pub(super) fn document(&self, slot: Slot) -> Option<&Document> {
        self.documents.get(slot as usize)?.as_ref()
    }

    /// All that there is, by slot.
    pub(super) fn documents(&self) -> impl Iterator<Item = (Slot, &Document)> {
        (0..).zip(&self.documents).filter_map(|(slot, document)| Some((slot, document.as_ref()?)))
    }

    /// How many slots there are, vacant ones included.
    pub(super) fn slots(&self) -> usize {
        self.documents.len()
    }

    /// Names what stands in a slot.
    pub(super) fn path(&self, document: &Document) -> EntryPath {
        EntryPath { namespace: self.namespaces.name(document.namespace).clone(), key: document.key.clone() }
    }

    fn insert(&mut self, version: &Version) -> Result<(), Full> {
        let slot = self.vacancy()?;
        let namespace = self.namespaces.enter(&version.path.namespace);
        let reading = Reading::of(version);
        let speaker = self.names.enter(namespace, &reading.speaker);
        let (language, words) = reading.words();
        self.lexicon.insert(slot, language, &words);
        let vector = if self.embeds { StaticModel::get().embed(&reading.meaning()) } else { None };
        self.vectors.set(slot, vector.as_ref());
        self.facets.insert(slot, version, &reading.attributes);
        if let Some(session) = &reading.session {
            let (turn, voice) = (reading.turn(version), reading.voice(speaker));
            self.sessions.insert(slot, namespace, session, turn, voice);
        }
        if let Some(at) = version.expire_time {
            self.expiring.insert((at, slot));
        }
        if reading.is_settled() {
            self.settled.insert(slot);
        }
        self.owners[slot as usize] = namespace;
        self.live.insert(slot);
        self.keys_bytes += 16 + version.path.key.as_str().len();
        let document = Document {
            namespace,
            key: version.path.key.clone(),
            revision: version.mark.revision,
            ordinal: version.ordinal,
            time: reading.time.unwrap_or(version.time),
            written: version.time,
            expire_time: version.expire_time,
            importance: version.body.importance as f32,
            kind: version.body.kind,
            language,
            speaker,
            gist: text::gist(&version.body.content),
            tells_time: calendar::tells_time(&version.body.content),
        };
        self.documents[slot as usize] = Some(document);
        let hash = hash_of(namespace, &version.path.key);
        let documents = &self.documents;
        self.by_path.insert_unique(hash, slot, |&slot| hash_of_slot(documents, slot));
        self.lengths[slot as usize] = 0;
        self.namespaces.grow(namespace, 0);
        for slot in self.sessions.around(slot).into_iter().chain([slot]) {
            self.hear(slot);
        }
        Ok(())
    }

    fn vacate(&mut self, slot: Slot) {
        let Some(document) = self.documents[slot as usize].take() else { return };
        let hash = hash_of(document.namespace, &document.key);
        if let Ok(found) = self.by_path.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.keys_bytes -= 16 + document.key.as_str().len();
        self.namespaces.shrink(document.namespace, self.lengths[slot as usize]);
        self.names.leave(document.namespace, document.speaker);
        self.lexicon.remove(slot, document.language);
        self.vectors.set(slot, None);
        for beside in self.sessions.remove(slot) {
            self.hear(beside);
        }
        if let Some(at) = document.expire_time {
            self.expiring.remove(&(at, slot));
        }
        self.settled.remove(slot);
        self.live.remove(slot);
        self.owners[slot as usize] = VACANT;
        self.vacant.insert(slot);
        if self.vacant.len() > VACANT_MIN.max(self.live.len() / 4) {
            self.sweep();
        }
    }

    /// Notes how long a turn is, and its vector, together with those that it hears.
    fn hear(&mut self, slot: Slot) {
        let before = self.sessions.turns_before(slot).zip(BESIDE);
        let beside: Vec<_> = before.chain(self.sessions.turns_after(slot).zip(BESIDE)).collect();
        self.vectors.set_context(slot, &beside);
        let mut length = WHOLE * u32::from(self.lexicon.length(slot));
        for (turn, parts) in self.heard_by(slot) {
            length += parts * u32::from(self.lexicon.length(turn));
        }
        let before = std::mem::replace(&mut self.lengths[slot as usize], length);
        if let Some(document) = &self.documents[slot as usize] {
            self.namespaces.change(document.namespace, before, length);
        }
    }

    /// The turns that one hears, and how much of a word's weight each lends it, in parts of [`WHOLE`].
    fn heard_by(&self, slot: Slot) -> impl Iterator<Item = (Slot, u32)> {
        let before = self.sessions.turns_before(slot).zip(BEFORE).map(move |(turn, parts)| {
            let answers = parts == BEFORE[0] && self.sessions.answers(turn, slot);
            (turn, if answers { ASKED_BEFORE } else { parts })
        });
        before.chain(self.sessions.turns_after(slot).zip(AFTER))
    }

    /// How long a text is, with what it hears, in parts of words.
    pub(super) fn length(&self, slot: Slot) -> u32 {
        self.lengths[slot as usize]
    }

    fn sweep(&mut self) {
        self.lexicon.sweep(|slot| self.vacant.contains(slot));
        self.facets.sweep(&self.vacant);
        self.free.extend(std::mem::take(&mut self.vacant));
    }

    /// A slot that nothing names.
    fn vacancy(&mut self) -> Result<Slot, Full> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        let slot = Slot::try_from(self.documents.len()).ok().filter(|&slot| slot < SLOTS_MAX).ok_or(Full)?;
        self.documents.push(None);
        self.owners.push(VACANT);
        self.lengths.push(0);
        Ok(slot)
    }

    fn slot(&self, path: &EntryPath) -> Option<Slot> {
        let namespace = self.namespaces.id(&path.namespace)?;
        let is_it = |slot: &Slot| {
            let document = self.documents[*slot as usize].as_ref();
            document.is_some_and(|d| d.namespace == namespace && d.key == path.key)
        };
        self.by_path.find(hash_of(namespace, &path.key), is_it).copied()
    }
}

fn hash_of(namespace: NamespaceId, key: &Key) -> u64 {
    let mut hasher = Xxh3DefaultBuilder.build_hasher();
    namespace.hash(&mut hasher);
    hasher.write(key.as_str().as_bytes());
    hasher.finish()
}

fn hash_of_slot(documents: &[Option<Document>], slot: Slot) -> u64 {
    documents[slot as usize].as_ref().map_or(0, |document| hash_of(document.namespace, &document.key))
}

/// The first two segments of a namespace: the mirror that it belongs to.
#[must_use]
pub fn root(namespace: &Namespace) -> &str {
    namespace.cut(2)
}
