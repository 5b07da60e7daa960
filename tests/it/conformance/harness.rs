//! A store, its clock, and one swarm to try things on. Knows no case.

use std::{any::Any, sync::Arc, time::Duration};

use swarmem::{
    domain::{
        apply::{Applied, Outcome, Refusal},
        entry::{Change, Version},
        limits::Limits,
        namespace::{EntryPath, NamespaceRange},
        request::Request,
        swarm::{Head, Mark, Nonce, Retention, Revision, SwarmId},
        time::{Clock, ManualClock, Timestamp},
    },
    store::{
        At, Batch, CommitError, Error, LogCursor, Page, PageLimit, Scan, Store,
        memory::MemoryStore,
        postgres::{PostgresOptions, PostgresStore},
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use uuid::Uuid;

use super::requests::{path, put};
use crate::servers::postgres::Database;

/// Everything on one page.
pub const ALL: PageLimit = PageLimit { rows: 1_000_000, bytes: usize::MAX };
/// How long logs are kept; stores only keep the numbers.
pub const RETENTION: Retention = Retention { age: Duration::from_secs(3600), revisions: 1_000 };

/// A store under test.
pub struct Harness {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    pub limits: Limits,
    _files: Box<dyn Any + Send + Sync>,
}

/// The clock that tests begin with.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000)))
}

impl Harness {
    pub fn memory() -> Self {
        let clock = clock();
        Self::new(Arc::new(MemoryStore::new(clock.clone())), clock, Box::new(()))
    }

    pub async fn sqlite() -> Self {
        let clock = clock();
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(directory.path().join("new/swarmem.db"), clock.clone());
        let store = SqliteStore::open(options).await.unwrap();
        Self::new(Arc::new(store), clock, Box::new(directory))
    }

    pub async fn postgres() -> Self {
        let clock = clock();
        let database = Database::new();
        let mut options = PostgresOptions::new(database.url());
        options.clock = Some(clock.clone());
        let store = PostgresStore::open(options).await.unwrap();
        Self::new(Arc::new(store), clock, Box::new(database))
    }

    pub fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>, files: Box<dyn Any + Send + Sync>) -> Self {
        Self { store, clock, limits: Limits::default(), _files: files }
    }

    /// Creates a swarm of this name.
    pub async fn create(&self, name: &str) -> SwarmId {
        let id = SwarmId::parse(name).unwrap();
        self.store.create_swarm(&id, RETENTION).await.unwrap();
        id
    }

    /// Commits requests together.
    pub async fn commit(&self, swarm: &SwarmId, requests: impl IntoIterator<Item = Request>) -> Applied {
        self.try_commit(swarm, requests).await.unwrap()
    }

    pub async fn try_commit(
        &self,
        swarm: &SwarmId,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<Applied, CommitError> {
        let requests = requests.into_iter().map(Arc::new).collect();
        let batch = Batch::new(requests, Nonce(Uuid::new_v4().into_bytes()), self.limits);
        self.store.commit(swarm, &batch).await
    }

    /// Commits one request.
    pub async fn run(&self, swarm: &SwarmId, request: Request) -> Result<Outcome, Refusal> {
        let mut answers = self.commit(swarm, [request]).await.answers;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// Commits one request that is to succeed and to change something.
    pub async fn done(&self, swarm: &SwarmId, request: Request) -> Mark {
        self.run(swarm, request).await.unwrap().taken.unwrap()
    }

    /// Writes one entry.
    pub async fn put(&self, swarm: &SwarmId, namespace: &str, key: &str, content: &str) -> Mark {
        self.done(swarm, put(namespace, key, content)).await
    }

    pub async fn head(&self, swarm: &SwarmId) -> Head {
        self.store.swarm(swarm).await.unwrap().head
    }

    /// The entry now, if there is one.
    pub async fn get(&self, swarm: &SwarmId, namespace: &str, key: &str) -> Option<Arc<Version>> {
        self.get_at(swarm, namespace, key, At::Newest).await.unwrap()
    }

    pub async fn get_at(
        &self,
        swarm: &SwarmId,
        namespace: &str,
        key: &str,
        at: At,
    ) -> Result<Option<Arc<Version>>, Error> {
        let place = path(namespace, key);
        let at_hand = self.store.at_hand(swarm, &place);
        let mut entries = self.store.entries(swarm, std::slice::from_ref(&place), at).await?;
        assert_eq!(entries.versions.len(), 1);
        if at == At::Newest {
            // Whatever a store has at hand is what it would answer, before it is asked and afterwards.
            for (head, version) in at_hand.into_iter().chain(self.store.at_hand(swarm, &place)) {
                assert_eq!((head.mark, Some(version)), (entries.head.mark, entries.versions[0].clone()));
            }
        }
        Ok(entries.versions.remove(0))
    }

    /// The content now, if there is an entry.
    pub async fn content(&self, swarm: &SwarmId, namespace: &str, key: &str) -> Option<String> {
        self.get(swarm, namespace, key).await.map(|v| v.body.content.to_string())
    }

    /// Everything at a revision, read in pages of `rows`.
    pub async fn scan(
        &self,
        swarm: &SwarmId,
        range: &NamespaceRange,
        at: At,
        rows: usize,
    ) -> Vec<Arc<Version>> {
        let mut found = Vec::new();
        let mut after: Option<EntryPath> = None;
        loop {
            let limit = PageLimit { rows, bytes: usize::MAX };
            let scan = Scan { range: range.clone(), after: after.clone(), at, limit, content: true };
            let page = self.store.scan(swarm, &scan).await.unwrap();
            assert!(page.versions.len() <= rows);
            assert!(page.versions.iter().all(|v| after.as_ref().is_none_or(|after| v.path > *after)));
            found.extend(page.versions);
            match page.resume {
                Some(resume) => {
                    assert!(after.is_none_or(|after| resume > after), "a scan stands still");
                    after = Some(resume);
                }
                None => return found,
            }
        }
    }

    /// The log behind a revision, all of it.
    pub async fn log(&self, swarm: &SwarmId, after: u64) -> Page {
        self.store.log(swarm, LogCursor::after(Revision(after)), ALL).await.unwrap()
    }

    /// What holds for every swarm at every time.
    pub async fn check_invariants(&self) {
        for swarm in self.store.list_swarms(None, 1_000).await.unwrap() {
            let (id, head) = (&swarm.id, swarm.head);
            let now = self.scan(id, &NamespaceRange::all(), At::Newest, 7).await;
            assert!(now.is_sorted_by(|a, b| a.path < b.path), "a scan is out of order");
            assert_eq!(head.entries, now.len() as u64, "entries of {id}");
            let bytes: u64 = now.iter().map(|v| v.body.content.len() as u64).sum();
            assert_eq!(head.content_bytes, bytes, "content bytes of {id}");
            assert_eq!(swarm.next_expiry, now.iter().filter_map(|v| v.expire_time).min(), "next expiry");
            let log = self.log(id, head.floor.revision.0).await;
            check_log(&head, &log.versions);
            for version in now.iter().filter(|v| v.mark.revision > head.floor.revision) {
                assert!(log.versions.contains(version), "{} is not in the log", version.path);
            }
        }
    }
}

/// Nothing is missing above the floor, and time never runs back.
fn check_log(head: &Head, log: &[Arc<Version>]) {
    let mut before = (head.floor.revision, u32::MAX);
    for version in log {
        let (revision, ordinal) = (version.mark.revision, version.ordinal);
        let follows = if revision == before.0 { before.1.wrapping_add(1) } else { 0 };
        assert!(revision == before.0 || revision == before.0.next(), "a gap behind {before:?}");
        assert_eq!(ordinal, follows, "in revision {revision}");
        assert!(version.change == Change::Put || version.body.content.is_empty());
        before = (revision, ordinal);
    }
    assert_eq!(before.0, head.mark.revision, "the log ends before the head");
    assert!(log.is_sorted_by_key(|v| v.time), "time ran back");
    assert!(log.last().is_none_or(|v| v.time == head.time && v.mark == head.mark));
}

impl Harness {
    /// Moves the clock forwards.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
