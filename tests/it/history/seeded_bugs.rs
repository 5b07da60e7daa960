//! A store with a bug on purpose, to show that the checker finds it. Knows nothing of the checker.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use swarmem::{
    bus::Bus,
    domain::{
        apply::{Applied, Loaded},
        commit::Commit,
        entry::Version,
        namespace::EntryPath,
        position::TokenKey,
        request::{Idempotency, Request, RequestId},
        swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
        time::{Clock as _, ManualClock, Timestamp},
    },
    store::{
        At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage, Store,
    },
};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An event of a commit is not passed on.
    DropsEvent,
    /// Two events of a commit change places.
    ReordersEvents,
    /// An event of a commit is passed on twice.
    DuplicatesEvent,
    /// A commit is acknowledged, and never happens.
    AcknowledgesBeforeCommit,
    /// A commit is published, and then fails.
    PublishesBeforeCommit,
    /// Revisions come from a sequence, so that one becomes visible before the one below it.
    UsesSequence,
    /// A reader from below the floor is put at the floor.
    ClampsCursor,
    /// Different request ids share a place.
    ReusesSlot,
    /// A request id is forgotten.
    ForgetsRequests,
    /// A read is answered from a state of the past.
    ReadsStale,
}

/// Between a coordinator and its store.
pub struct Buggy {
    bug: Bug,
    inner: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    clock: Arc<ManualClock>,
    commits: AtomicU64,
    /// What was once the mark of a revision.
    marks: Mutex<HashMap<Revision, Mark>>,
}

/// Every so many commits the bug shows.
const EVERY: u64 = 7;

impl Buggy {
    pub fn new(bug: Bug, inner: Arc<dyn Store>, bus: Arc<dyn Bus>, clock: Arc<ManualClock>) -> Self {
        Self { bug, inner, bus, clock, commits: AtomicU64::new(0), marks: Mutex::default() }
    }

    /// What a commit would come to; none where that takes more than a look at some entries.
    async fn imagine(&self, id: &SwarmId, batch: &Batch) -> Result<Option<Applied>, Error> {
        let footprint = batch.footprint();
        if !footprint.prefixes.is_empty() {
            return Ok(None);
        }
        let paths: Vec<EntryPath> = footprint.entries.keys().cloned().collect();
        let Entries { head, versions } = self.inner.entries(id, &paths, At::Newest).await?;
        let (truncated, records) = Default::default();
        let entries = paths.into_iter().zip(versions).filter_map(|(path, version)| Some((path, version?)));
        let loaded = Loaded { head, entries: entries.collect(), truncated, records };
        let applied = batch.apply(loaded, self.clock.now());
        Ok(applied.commit.is_some().then_some(applied))
    }

    fn respelled(&self, batch: &Batch) -> Batch {
        let respell = |request: &Arc<Request>| {
            let idempotency = request.idempotency().and_then(|idempotency| match self.bug {
                Bug::ReusesSlot => {
                    let slot = idempotency.digest[0] % 8;
                    let id = RequestId::trusted(&format!("slot {slot}"));
                    Some(Idempotency { id, digest: Default::default() })
                }
                _ => None,
            });
            let (author, limits) = (request.author().clone(), &batch.limits);
            let (success, failure) = (request.branch(true).to_vec(), request.branch(false).to_vec());
            let compares = request.compares().to_vec();
            Arc::new(Request::transaction(author, idempotency, compares, success, failure, limits).unwrap())
        };
        Batch { requests: batch.requests.iter().map(respell).collect(), ..batch.clone() }
    }

    /// What of a commit is passed on.
    fn spoil(&self, commit: &mut Commit) {
        let versions = &mut commit.versions;
        let last = versions.len() - 1;
        match self.bug {
            Bug::DropsEvent if last > 0 => drop(versions.remove(last - 1)),
            Bug::ReordersEvents => {
                let same = |pair: &[Arc<_>]| revision_of(&pair[0]) == revision_of(&pair[1]);
                if let Some(at) = versions.windows(2).position(same) {
                    versions.swap(at, at + 1);
                }
            }
            Bug::DuplicatesEvent => versions.push(Arc::clone(&versions[last])),
            _ => {}
        }
    }
}

fn revision_of(version: &Version) -> Revision {
    version.mark.revision
}

#[async_trait]
impl Store for Buggy {
    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        let shows = self.commits.fetch_add(1, Ordering::SeqCst) % EVERY == EVERY - 1;
        let mut applied = match self.bug {
            Bug::AcknowledgesBeforeCommit if shows => match self.imagine(id, batch).await? {
                Some(imagined) => return Ok(imagined),
                None => self.inner.commit(id, batch).await?,
            },
            Bug::PublishesBeforeCommit if shows => match self.imagine(id, batch).await? {
                Some(Applied { commit: Some(commit), .. }) => {
                    self.bus.publish(id, &Arc::new(commit));
                    return Err(Error::Unavailable("on purpose".into()).into());
                }
                _ => self.inner.commit(id, batch).await?,
            },
            Bug::ReusesSlot | Bug::ForgetsRequests => self.inner.commit(id, &self.respelled(batch)).await?,
            _ => self.inner.commit(id, batch).await?,
        };
        if let Some(commit) = &mut applied.commit {
            let marks = commit.versions.iter().map(|version| (version.mark.revision, version.mark));
            self.marks.lock().unwrap().extend(marks);
            self.spoil(commit);
        }
        Ok(applied)
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        let page = self.inner.log(id, after, limit).await;
        match (self.bug, page) {
            (Bug::ClampsCursor, Err(Error::Compacted { floor })) => {
                self.inner.log(id, LogCursor::after(floor), limit).await
            }
            (Bug::UsesSequence, Ok(mut page)) => {
                // The newest but one has its revision, and is not committed yet.
                let newest = page.head.mark.revision.0;
                page.versions.retain(|version| {
                    let revision = version.mark.revision.0;
                    revision + 1 != newest || revision % 3 != 0
                });
                Ok(page)
            }
            (_, page) => page,
        }
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        match (self.bug, self.inner.mark_at(id, revision).await) {
            (Bug::ClampsCursor, Err(Error::Compacted { .. })) => {
                let head = self.inner.swarm(id).await?.head;
                let mark = self.marks.lock().unwrap().get(&revision).copied();
                Ok((head, mark.unwrap_or(Mark { revision, ..Mark::default() })))
            }
            (_, answer) => answer,
        }
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        let newest = self.inner.entries(id, paths, at).await?;
        if self.bug != Bug::ReadsStale || at != At::Newest {
            return Ok(newest);
        }
        let past = Revision(newest.head.mark.revision.0.saturating_sub(2)).max(newest.head.floor.revision);
        let (head, mark) = self.inner.mark_at(id, past).await?;
        let Entries { versions, .. } = self.inner.entries(id, paths, At::Revision(past)).await?;
        Ok(Entries { head: Head { mark, ..head }, versions })
    }

    async fn token_key(&self) -> Result<TokenKey, Error> {
        self.inner.token_key().await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
    }

    async fn ping_write(&self) -> Result<(), Error> {
        self.inner.ping_write().await
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        self.inner.create_swarm(id, retention).await
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        self.inner.swarm(id).await
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        self.inner.list_swarms(after, limit).await
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        self.inner.delete_swarm(id).await
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        self.inner.heads(ids).await
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        self.inner.is_committed(id, nonce, after).await
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        self.inner.scan(id, scan).await
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        self.inner.history(id, path, before, limit).await
    }

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        self.inner.compact(id, floor, rows_max).await
    }

    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error> {
        self.inner.purge(clock, rows_max).await
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        self.inner.expiring(clock, after, limit).await
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        self.inner.expired(id, clock, limit).await
    }
}
