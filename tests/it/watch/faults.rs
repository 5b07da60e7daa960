//! A store and a bus that misbehave on request. They know nothing of coordinators.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use swarmem::{
    bus::{Bus, Message, State, Subscription, local::LocalBus},
    domain::{
        apply::{Applied, Loaded},
        commit::Commit,
        namespace::EntryPath,
        position::TokenKey,
        swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
        time::Timestamp,
    },
    store::{
        At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage, Store,
    },
};

use tokio::sync::watch;

use super::history::Rng;

/// Whether a commit of which nobody heard happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happens {
    Yes,
    No,
}

/// How long a store waits for an answer that does not come.
pub const SILENCE: Duration = Duration::from_secs(2);

/// A store that takes its time, fails, counts, or turns into another, as it is told.
pub struct Faulty {
    inner: Mutex<Arc<dyn Store>>,
    /// So many calls in a hundred fail.
    pub fails_percent: AtomicU64,
    /// Calls wait for [`SILENCE`], and fail.
    pub silent: AtomicBool,
    /// How many wait,
    waiting: AtomicUsize,
    /// and how many ever did at the same time.
    pub waiting_max: AtomicUsize,
    /// Up to so many other tasks run before and after each call; 0: none.
    pub yields: AtomicU64,
    /// How often heads were asked for.
    pub polls: AtomicUsize,
    /// How long a commit takes, besides.
    pub commit_takes: Mutex<Duration>,
    /// How often something was committed.
    pub commits: AtomicUsize,
    /// How often the log was read.
    pub log_reads: AtomicUsize,
    /// How many read the log now,
    log_readers: AtomicUsize,
    /// and how many ever did at the same time.
    pub log_readers_max: AtomicUsize,
    /// The next commit panics.
    pub panics: AtomicBool,
    /// The outcome of the next commit is unknown: it happens, or does not.
    pub unknown: Mutex<Option<Happens>>,
    /// What is behind this revision is lost; [`u64::MAX`]: nothing.
    pub lost_behind: AtomicU64,
    /// What is behind this revision was committed by somebody else; [`u64::MAX`]: nothing.
    pub forked_behind: AtomicU64,
    /// The log is read backwards.
    pub log_reversed: AtomicBool,
    calls: AtomicU64,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner: Mutex::new(inner),
            fails_percent: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            waiting_max: AtomicUsize::new(0),
            yields: AtomicU64::new(0),
            polls: AtomicUsize::new(0),
            commit_takes: Mutex::new(Duration::ZERO),
            commits: AtomicUsize::new(0),
            log_reads: AtomicUsize::new(0),
            log_readers: AtomicUsize::new(0),
            log_readers_max: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
            unknown: Mutex::new(None),
            lost_behind: AtomicU64::new(u64::MAX),
            forked_behind: AtomicU64::new(u64::MAX),
            log_reversed: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        }
    }

    pub fn inner(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    async fn dawdle(&self) {
        let most = self.yields.load(Ordering::SeqCst);
        if most > 0 {
            for _ in 0..Rng(self.calls.load(Ordering::SeqCst)).next() % (most + 1) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The mark as the history at hand has it.
    fn mark(&self, mark: Mark) -> Mark {
        match mark.revision.0 > self.forked_behind.load(Ordering::SeqCst) {
            true => Mark { nonce: Nonce([7; 16]), ..mark },
            false => mark,
        }
    }

    /// The head as the history at hand has it.
    async fn head(&self, id: &SwarmId, head: Head) -> Result<Head, Error> {
        let lost_behind = self.lost_behind.load(Ordering::SeqCst);
        let mark = match head.mark.revision.0 > lost_behind {
            true => self.inner().mark_at(id, Revision(lost_behind)).await?.1,
            false => head.mark,
        };
        Ok(Head { mark: self.mark(mark), ..head })
    }

    /// What a commit came to, or would have come to.
    async fn commit_unheard(
        &self,
        id: &SwarmId,
        batch: &Batch,
        happens: Happens,
    ) -> Result<Applied, CommitError> {
        let inner = self.inner();
        if happens == Happens::Yes {
            return inner.commit(id, batch).await;
        }
        let (entries, truncated, records) = Default::default();
        let head = inner.swarm(id).await?.head;
        Ok(batch.apply(Loaded { head, entries, truncated, records }, head.time))
    }

    async fn begin(&self) -> Result<Arc<dyn Store>, Error> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.dawdle().await;
        if self.silent.load(Ordering::SeqCst) {
            let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
            self.waiting_max.fetch_max(waiting, Ordering::SeqCst);
            tokio::time::sleep(SILENCE).await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(Error::Unavailable("silent on purpose".into()));
        }
        if Rng(!call).chance(self.fails_percent.load(Ordering::SeqCst)) {
            return Err(Error::Unavailable("on purpose".into()));
        }
        Ok(self.inner())
    }
}

/// Begins a call, makes it, and takes its time to answer.
macro_rules! pass {
    ($self:ident.$method:ident($($argument:expr),*)) => {{
        let inner = $self.begin().await?;
        let answer = inner.$method($($argument),*).await;
        $self.dawdle().await;
        answer
    }};
}

#[async_trait]
impl Store for Faulty {
    async fn token_key(&self) -> Result<TokenKey, Error> {
        self.inner().token_key().await
    }

    async fn ping(&self) -> Result<(), Error> {
        pass!(self.ping())
    }

    async fn ping_write(&self) -> Result<(), Error> {
        pass!(self.ping_write())
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        pass!(self.create_swarm(id, retention))
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        let swarm = pass!(self.swarm(id))?;
        Ok(Swarm { head: self.head(id, swarm.head).await?, ..swarm })
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        pass!(self.list_swarms(after, limit))
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        pass!(self.delete_swarm(id))
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        let mut heads = pass!(self.heads(ids))?;
        for (head, id) in heads.iter_mut().zip(ids) {
            if let Some(there) = *head {
                *head = Some(self.head(id, there).await?);
            }
        }
        Ok(heads)
    }

    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        if self.panics.swap(false, Ordering::SeqCst) {
            panic!("on purpose");
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        let takes = *self.commit_takes.lock().unwrap();
        if takes > Duration::ZERO {
            tokio::time::sleep(takes).await;
        }
        let unknown = self.unknown.lock().unwrap().take();
        match unknown {
            None => pass!(self.commit(id, batch)),
            Some(happens) => {
                let applied = Box::new(self.commit_unheard(id, batch, happens).await?);
                Err(CommitError::Unknown { applied, cause: "on purpose".into() })
            }
        }
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        pass!(self.is_committed(id, nonce, after))
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        let (head, mark) = pass!(self.mark_at(id, revision))?;
        let head = self.head(id, head).await?;
        if revision > head.mark.revision {
            return Err(Error::Future { newest: head.mark.revision });
        }
        Ok((head, self.mark(mark)))
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        self.log_reads.fetch_add(1, Ordering::SeqCst);
        let readers = self.log_readers.fetch_add(1, Ordering::SeqCst) + 1;
        self.log_readers_max.fetch_max(readers, Ordering::SeqCst);
        let page = async { pass!(self.log(id, after, limit)) }.await;
        self.log_readers.fetch_sub(1, Ordering::SeqCst);
        let mut page = page?;
        if self.log_reversed.load(Ordering::SeqCst) {
            page.versions.reverse();
        }
        Ok(page)
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        pass!(self.entries(id, paths, at))
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        pass!(self.scan(id, scan))
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        pass!(self.history(id, path, before, limit))
    }

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        pass!(self.compact(id, floor, rows_max))
    }

    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error> {
        pass!(self.purge(clock, rows_max))
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        pass!(self.expiring(clock, after, limit))
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        pass!(self.expired(id, clock, limit))
    }
}

/// How a bus treats what is published, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    pub dropped: u64,
    pub repeated: u64,
    /// Kept back, and sent after something later.
    pub delayed: u64,
}

impl Losses {
    pub const ALL: Self = Self { dropped: 100, repeated: 0, delayed: 0 };
    pub const SOME: Self = Self { dropped: 20, repeated: 30, delayed: 30 };
}

/// A bus that loses, repeats and delays.
pub struct LossyBus {
    inner: LocalBus,
    losses: Losses,
    state: Mutex<(Rng, Vec<Arc<Commit>>)>,
}

impl LossyBus {
    pub fn new(seed: u64, losses: Losses) -> Self {
        Self { inner: LocalBus::default(), losses, state: Mutex::new((Rng(seed), Vec::new())) }
    }

    /// What becomes of a message: what is sent in its place.
    fn treat(&self, commit: &Arc<Commit>) -> Vec<Arc<Commit>> {
        let mut state = self.state.lock().unwrap();
        let (rng, delayed) = &mut *state;
        let mut sent = Vec::new();
        if rng.chance(self.losses.dropped) {
        } else if rng.chance(self.losses.delayed) {
            delayed.push(Arc::clone(commit));
        } else {
            sent.push(Arc::clone(commit));
        }
        if rng.chance(self.losses.repeated) {
            sent.extend(sent.clone());
        }
        if rng.chance(50) {
            sent.append(delayed);
        }
        sent
    }
}

#[async_trait]
impl Bus for LossyBus {
    fn publish(&self, swarm: &SwarmId, commit: &Arc<Commit>) {
        for commit in self.treat(commit) {
            self.inner.publish(swarm, &commit);
        }
    }

    async fn subscribe(&self, swarm: &SwarmId) -> Box<dyn Subscription> {
        self.inner.subscribe(swarm).await
    }

    fn state(&self) -> watch::Receiver<State> {
        self.inner.state()
    }
}

/// A bus that delivers nothing; it says that it works, or whatever it is told to say.
pub struct BrokenBus(pub watch::Sender<State>);

impl Default for BrokenBus {
    fn default() -> Self {
        Self(watch::Sender::new(State::Up))
    }
}

#[async_trait]
impl Bus for BrokenBus {
    fn publish(&self, _: &SwarmId, _: &Arc<Commit>) {}

    async fn subscribe(&self, _: &SwarmId) -> Box<dyn Subscription> {
        Box::new(Closed)
    }

    fn state(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }
}

struct Closed;

#[async_trait]
impl Subscription for Closed {
    async fn next(&mut self) -> Message {
        tokio::task::yield_now().await;
        Message::Closed
    }
}
