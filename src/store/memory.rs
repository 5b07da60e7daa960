//! The reference store: everything in ordered maps behind one lock. The plainest implementation of the contract, and
//! the oracle of the property tests. Keeps nothing across a restart.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage, Store,
};
use crate::domain::{
    apply::{Applied, Loaded, RECORD_AGE_MAX, Record},
    entry::{Body, Change, Version},
    namespace::{EntryPath, Key, Namespace, Prefix},
    position::TokenKey,
    request::{Footprint, RecordKey},
    swarm::{Head, Incarnation, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
    time::{Clock, Timestamp},
};

/// A store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    token_key: TokenKey,
    swarms: Mutex<BTreeMap<SwarmId, State>>,
}

struct State {
    head: Head,
    retention: Retention,
    create_time: Timestamp,
    log: BTreeMap<(Revision, u32), Arc<Version>>,
    versions: BTreeMap<EntryPath, BTreeMap<Revision, Arc<Version>>>,
    records: HashMap<RecordKey, Record>,
    /// Up to which revision superseded versions were removed.
    compacted: Revision,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let secret = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
        let secret = <[u8; 32]>::try_from(secret).expect("two UUIDs are 32 bytes");
        Self { clock, token_key: TokenKey::new(secret), swarms: Mutex::default() }
    }

    fn swarms(&self) -> MutexGuard<'_, BTreeMap<SwarmId, State>> {
        self.swarms.lock().expect("no holder of this lock panics")
    }

    fn read<T>(&self, id: &SwarmId, read: impl FnOnce(&State) -> Result<T, Error>) -> Result<T, Error> {
        read(self.swarms().get(id).ok_or(Error::SwarmNotFound)?)
    }
}

impl State {
    fn new(now: Timestamp, retention: Retention) -> Self {
        let nonce = Nonce(Uuid::new_v4().into_bytes());
        Self {
            head: Head::new(Incarnation(Uuid::new_v4()), nonce, now),
            retention,
            create_time: now,
            log: BTreeMap::new(),
            versions: BTreeMap::new(),
            records: HashMap::new(),
            compacted: Revision::ZERO,
        }
    }

    fn describe(&self, id: &SwarmId) -> Swarm {
        let next_expiry = self.current().filter_map(|v| v.expire_time).min();
        let State { head, retention, create_time, compacted, .. } = *self;
        Swarm { id: id.clone(), head, retention, create_time, next_expiry, compacted }
    }

    /// The revision meant, if it can be read.
    fn resolve(&self, at: At) -> Result<Revision, Error> {
        match at {
            At::Newest => Ok(self.head.mark.revision),
            At::Revision(r) if r < self.head.floor.revision => Err(self.compacted()),
            At::Revision(r) if r > self.head.mark.revision => {
                Err(Error::Future { newest: self.head.mark.revision })
            }
            At::Revision(r) => Ok(r),
        }
    }

    fn compacted(&self) -> Error {
        Error::Compacted { floor: self.head.floor.revision }
    }

    fn version_at(&self, path: &EntryPath, at: Revision) -> Option<&Arc<Version>> {
        let (_, version) = self.versions.get(path)?.range(..=at).next_back()?;
        (version.change == Change::Put).then_some(version)
    }

    /// The current versions of the entries that exist.
    fn current(&self) -> impl Iterator<Item = &Arc<Version>> {
        let newest = self.versions.values().filter_map(|versions| versions.values().next_back());
        newest.filter(|v| v.change == Change::Put)
    }

    fn below(&self, prefix: &Prefix) -> impl Iterator<Item = &Arc<Version>> {
        prefix.ranges().into_iter().flat_map(move |range| {
            let start = first_in(&range.start);
            let newest = self.head.mark.revision;
            self.versions
                .range(start..)
                .take_while(move |(path, _)| range.contains(path.namespace.as_str()))
                .filter_map(move |(path, _)| self.version_at(path, newest))
        })
    }

    fn load(&self, footprint: &Footprint) -> Loaded {
        let mut entries = BTreeMap::new();
        let mut truncated = HashMap::new();
        for (prefix, &limit) in &footprint.prefixes {
            let mut below = self.below(prefix);
            let loaded: Vec<_> = below.by_ref().take(limit).map(without_content).collect();
            if let (Some(last), Some(_)) = (loaded.last(), below.next()) {
                truncated.insert(prefix.clone(), last.path.clone());
            }
            entries.extend(loaded.into_iter().map(|v| (v.path.clone(), v)));
        }
        for (path, &content_bytes_max) in &footprint.entries {
            if let Some(version) = self.version_at(path, self.head.mark.revision) {
                let wanted = version.content_bytes <= content_bytes_max;
                let version = if wanted { Arc::clone(version) } else { without_content(version) };
                entries.insert(path.clone(), version);
            }
        }
        let record = |key: &RecordKey| Some((key.clone(), self.records.get(key)?.clone()));
        Loaded {
            head: self.head,
            entries,
            truncated,
            records: footprint.records.iter().filter_map(record).collect(),
        }
    }

    fn persist(&mut self, applied: &Applied) {
        self.head = applied.head;
        self.records.extend(applied.records.iter().cloned());
        for version in applied.commit.iter().flat_map(|c| &c.versions) {
            let revision = version.mark.revision;
            self.log.insert((revision, version.ordinal), Arc::clone(version));
            self.versions.entry(version.path.clone()).or_default().insert(revision, Arc::clone(version));
        }
    }

    fn mark_at(&self, revision: Revision) -> Result<Mark, Error> {
        self.resolve(At::Revision(revision))?;
        if revision == self.head.floor.revision {
            return Ok(self.head.floor);
        }
        let first =
            self.log.get(&(revision, 0)).ok_or_else(|| Error::Corrupt(format!("no revision {revision}")))?;
        Ok(first.mark)
    }

    /// Removes versions that are superseded by the one at this place of the log.
    fn compact_row(&mut self, version: &Version) -> u64 {
        let revision = version.mark.revision;
        let Some(versions) = self.versions.get_mut(&version.path) else { return 0 };
        let mut gone: Vec<_> = versions.range(..revision).map(|(r, v)| (*r, v.ordinal)).collect();
        if version.change == Change::Delete {
            gone.push((revision, version.ordinal));
        }
        for (revision, ordinal) in &gone {
            versions.remove(revision);
            self.log.remove(&(*revision, *ordinal));
        }
        if versions.is_empty() {
            self.versions.remove(&version.path);
        }
        gone.len() as u64
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn token_key(&self) -> Result<TokenKey, Error> {
        Ok(self.token_key.clone())
    }

    async fn ping_write(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        let mut swarms = self.swarms();
        if swarms.contains_key(id) {
            return Err(Error::SwarmExists);
        }
        let state = swarms.entry(id.clone()).or_insert_with(|| State::new(self.clock.now(), retention));
        Ok(state.describe(id))
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        self.read(id, |state| Ok(state.describe(id)))
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.clone()));
        let swarms = self.swarms();
        let page = swarms.range((start, Bound::Unbounded)).take(limit);
        Ok(page.map(|(id, state)| state.describe(id)).collect())
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        self.swarms().remove(id).map(drop).ok_or(Error::SwarmNotFound)
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        let swarms = self.swarms();
        Ok(ids.iter().map(|id| swarms.get(id).map(|s| s.head)).collect())
    }

    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        let mut swarms = self.swarms();
        let state = swarms.get_mut(id).ok_or(Error::SwarmNotFound)?;
        let applied = batch.apply(state.load(&batch.footprint()), self.clock.now());
        state.persist(&applied);
        Ok(applied)
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        self.read(id, |state| Ok(state.log.range((after.next(), 0)..).any(|(_, v)| v.mark.nonce == nonce)))
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        self.read(id, |state| Ok((state.head, state.mark_at(revision)?)))
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        self.read(id, |state| {
            state.resolve(At::Revision(after.revision))?;
            if after.ordinal.is_some() && after.revision == state.head.floor.revision {
                return Err(state.compacted());
            }
            let start = (after.revision, after.ordinal.unwrap_or(u32::MAX));
            let behind = state.log.range((Bound::Excluded(start), Bound::Unbounded));
            Ok(page(state.head, behind.map(|(_, v)| Arc::clone(v)), limit))
        })
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        self.read(id, |state| {
            let at = state.resolve(at)?;
            let versions = paths.iter().map(|path| state.version_at(path, at).cloned()).collect();
            Ok(Entries { head: state.head, versions })
        })
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        self.read(id, |state| {
            let at = state.resolve(scan.at)?;
            let start = match &scan.after {
                Some(path) if *path >= first_in(&scan.range.start) => Bound::Excluded(path.clone()),
                _ => Bound::Included(first_in(&scan.range.start)),
            };
            let inside = state
                .versions
                .range((start, Bound::Unbounded))
                .take_while(|(path, _)| scan.range.contains(path.namespace.as_str()))
                .filter_map(|(path, _)| state.version_at(path, at))
                .map(|v| if scan.content { Arc::clone(v) } else { without_content(v) });
            let Page { head, versions, more } = page(state.head, inside, scan.limit);
            let resume = if more { versions.last().map(|v| v.path.clone()) } else { None };
            Ok(ScanPage { head, versions, resume })
        })
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        self.read(id, |state| {
            let end = before.map_or(Bound::Unbounded, Bound::Excluded);
            let versions = state.versions.get(path).into_iter();
            let newest_first = versions.flat_map(|v| v.range((Bound::Unbounded, end)).rev());
            Ok(page(state.head, newest_first.map(|(_, v)| Arc::clone(v)), limit))
        })
    }

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        let mut swarms = self.swarms();
        let state = swarms.get_mut(id).ok_or(Error::SwarmNotFound)?;
        let floor = floor.min(state.head.mark.revision);
        if floor > state.head.floor.revision {
            state.head.floor = state.mark_at(floor)?;
        }
        let floor = state.head.floor;
        if state.compacted >= floor.revision {
            return Ok(Compaction { floor, removed: 0, more: false });
        }
        let due = state.log.range((state.compacted.next(), 0)..=(floor.revision, u32::MAX));
        let due: Vec<_> = due.map(|(_, v)| Arc::clone(v)).collect();
        let (mut removed, mut seen) = (0, 0);
        for of_revision in due.chunk_by(|a, b| a.mark.revision == b.mark.revision) {
            if seen >= rows_max {
                return Ok(Compaction { floor, removed, more: true });
            }
            seen += of_revision.len();
            removed += of_revision.iter().map(|v| state.compact_row(v)).sum::<u64>();
            state.compacted = of_revision[0].mark.revision;
        }
        state.compacted = floor.revision;
        Ok(Compaction { floor, removed, more: false })
    }

    async fn purge(&self, clock: Timestamp, _rows_max: usize) -> Result<bool, Error> {
        for state in self.swarms().values_mut() {
            let now = state.head.now(clock);
            state.records.retain(|_, record| now < record.time.plus(RECORD_AGE_MAX));
        }
        Ok(false)
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.clone()));
        let swarms = self.swarms();
        let due = swarms
            .range((start, Bound::Unbounded))
            .filter(|(_, s)| s.current().any(|v| v.is_expired(s.head.now(clock))));
        Ok(due.map(|(id, _)| id.clone()).take(limit).collect())
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        self.read(id, |state| {
            let now = state.head.now(clock);
            let mut due: Vec<_> = state
                .current()
                .filter(|v| v.is_expired(now))
                .map(|v| (v.expire_time, v.path.clone()))
                .collect();
            due.sort();
            Ok(due.into_iter().take(limit).map(|(_, path)| path).collect())
        })
    }
}

fn first_in(namespace: &str) -> EntryPath {
    EntryPath { namespace: Namespace::trusted(namespace), key: Key::trusted("") }
}

fn without_content(version: &Arc<Version>) -> Arc<Version> {
    let body = Body { content: "".into(), ..version.body.clone() };
    Arc::new(Version { body, ..(**version).clone() })
}

fn page(head: Head, versions: impl Iterator<Item = Arc<Version>>, limit: PageLimit) -> Page {
    let mut page = Page { head, versions: Vec::new(), more: false };
    let mut bytes = 0;
    for version in versions {
        if page.versions.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            page.more = true;
            break;
        }
        bytes += version.weight();
        page.versions.push(version);
    }
    page
}
