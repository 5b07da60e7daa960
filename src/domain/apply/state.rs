//! The part of a swarm that a commit looks at, while it changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{ExpiryMove, Loaded, RECORD_AGE_MAX, Record};
use crate::domain::{
    entry::{Body, Cause, Change, Version},
    namespace::{AgentId, EntryPath, Key, Namespace, Prefix},
    request::RecordKey,
    swarm::{Head, Mark, Nonce},
    time::Timestamp,
};

/// What was loaded, with what the requests so far made of it.
pub(super) struct State {
    pub head: Head,
    pub now: Timestamp,
    pub versions: Vec<Arc<Version>>,
    pub new_records: Vec<(RecordKey, Record)>,
    nonce: Nonce,
    entries: BTreeMap<EntryPath, Arc<Version>>,
    truncated: HashMap<Prefix, EntryPath>,
    records: HashMap<RecordKey, Record>,
    expiries: BTreeMap<EntryPath, Option<Timestamp>>,
}

/// One change that a request decided on, before it has a revision.
pub(super) enum Decision {
    /// Write this.
    Put { path: EntryPath, body: Body, expire_time: Option<Timestamp> },
    /// Delete what is there.
    Delete { path: EntryPath },
}

impl State {
    pub fn new(loaded: Loaded, nonce: Nonce, clock: Timestamp) -> Self {
        let now = loaded.head.now(clock);
        Self {
            head: loaded.head,
            now,
            versions: Vec::new(),
            new_records: Vec::new(),
            nonce,
            entries: loaded.entries,
            truncated: loaded.truncated,
            records: loaded.records,
            expiries: BTreeMap::new(),
        }
    }

    /// The entry, unless it is absent or its time ran out.
    pub fn live(&self, path: &EntryPath) -> Option<&Arc<Version>> {
        self.entries.get(path).filter(|v| v.is_live(self.now))
    }

    /// The newest version of an entry that exists, expired or not.
    pub fn newest(&self, path: &EntryPath) -> Option<&Arc<Version>> {
        self.entries.get(path)
    }

    /// Whether the entry's time ran out and its delete is still to come.
    pub fn is_expired(&self, path: &EntryPath) -> bool {
        self.entries.get(path).is_some_and(|v| v.is_expired(self.now))
    }

    /// Whether something below `prefix` was not loaded.
    pub fn is_truncated(&self, prefix: &Prefix) -> bool {
        self.truncated.contains_key(prefix)
    }

    /// Everything known below `prefix`, expired entries included, in order and without a hole.
    pub fn below(&self, prefix: &Prefix) -> impl Iterator<Item = &Arc<Version>> {
        let last = self.truncated.get(prefix);
        prefix.ranges().into_iter().flat_map(move |range| {
            let start = EntryPath { namespace: Namespace::trusted(&range.start), key: Key::trusted("") };
            self.entries
                .range(start..)
                .take_while(move |(path, _)| range.contains(path.namespace.as_str()))
                .take_while(move |(path, _)| last.is_none_or(|last| *path <= last))
                .map(|(_, version)| version)
        })
    }

    /// A recorded outcome that is not too old.
    pub fn record(&self, key: &RecordKey) -> Option<&Record> {
        self.records.get(key).filter(|r| self.now < r.time.plus(RECORD_AGE_MAX))
    }

    /// Records an outcome.
    pub fn remember(&mut self, key: RecordKey, record: Record) {
        self.records.insert(key.clone(), record.clone());
        self.new_records.push((key, record));
    }

    /// Takes the next revision for `decisions`, which are not empty.
    pub fn commit(&mut self, decisions: Vec<Decision>, cause: Cause, author: &AgentId) -> Mark {
        let mark = Mark { revision: self.head.mark.revision.next(), nonce: self.nonce };
        self.head.mark = mark;
        self.head.time = self.now;
        for (ordinal, decision) in (0_u32..).zip(decisions) {
            let version = match decision {
                Decision::Put { path, body, expire_time } => self.put(path, body, expire_time),
                Decision::Delete { path } => self.tombstone(path),
            };
            let author = if cause == Cause::Expiry { version.author.clone() } else { author.clone() };
            self.record_version(Version { mark, ordinal, cause, author, ..version });
        }
        mark
    }

    /// Deletes expired entries in a revision of their own.
    pub fn expire(&mut self, paths: BTreeSet<EntryPath>) {
        if paths.is_empty() {
            return;
        }
        let decisions = paths.into_iter().map(|path| Decision::Delete { path }).collect();
        // The author of an expiry is the author of what expired; the name given here is not used.
        self.commit(decisions, Cause::Expiry, &AgentId::trusted(""));
    }

    /// How expiries moved between what was loaded and now.
    pub fn expiry_moves(&self) -> Vec<ExpiryMove> {
        let moves = self.expiries.iter().filter_map(|(path, &from)| {
            let to = self.entries.get(path).and_then(|v| v.expire_time);
            (from != to).then(|| ExpiryMove { path: path.clone(), from, to })
        });
        moves.collect()
    }

    fn put(&self, path: EntryPath, body: Body, expire_time: Option<Timestamp>) -> Version {
        let before = self.entries.get(&path);
        let mark = self.head.mark;
        Version {
            mark,
            ordinal: 0,
            change: Change::Put,
            cause: Cause::Write,
            author: AgentId::trusted(""),
            time: self.now,
            create_revision: before.map_or(mark.revision, |v| v.create_revision),
            create_time: before.map_or(self.now, |v| v.create_time),
            version: before.map_or(1, |v| v.version + 1),
            expire_time,
            content_bytes: body.content.len() as u64,
            body,
            path,
        }
    }

    fn tombstone(&self, path: EntryPath) -> Version {
        let before = self.entries.get(&path).expect("only entries that exist are deleted");
        Version {
            change: Change::Delete,
            time: self.now,
            expire_time: None,
            content_bytes: 0,
            body: Body { content: "".into(), ..before.body.clone() },
            ..(**before).clone()
        }
    }

    fn record_version(&mut self, version: Version) {
        let version = Arc::new(version);
        let path = version.path.clone();
        let before = match version.change {
            Change::Put => self.entries.insert(path.clone(), Arc::clone(&version)),
            Change::Delete => self.entries.remove(&path),
        };
        self.head.entries += u64::from(version.change == Change::Put);
        self.head.content_bytes += version.content_bytes;
        if let Some(before) = &before {
            self.head.entries -= 1;
            self.head.content_bytes -= before.content_bytes;
        }
        self.expiries.entry(path).or_insert_with(|| before.and_then(|v| v.expire_time));
        self.versions.push(version);
    }
}
