//! The mirrors of one swarm. They stand at one position, and move on together.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    super::{
        Shared, detached,
        error::Error,
        feed::{self, Interest, Stand},
    },
    computed,
    roots::Roots,
};
use crate::{
    domain::{
        entry::Version,
        position::Position,
        swarm::{Incarnation, Mark, Revision, SwarmId},
    },
    recall::mirror::{self, Mirror},
    store::{self, LogCursor, PageLimit},
};

/// About so many bytes of versions are taken in at once.
const STEP_BYTES: usize = 4 << 20;
/// So many versions are taken in where they come; more of them are work for another thread.
const FEW: usize = 8;

/// All that is held of a swarm.
pub struct Held {
    swarm: SwarmId,
    feed: Interest,
    /// Whoever moves them on.
    pub(super) moving: Mutex<()>,
    /// Whoever loads one.
    pub(super) loading: Mutex<()>,
    state: RwLock<State>,
    used: AtomicU64,
    over: AtomicBool,
}

/// Mirrors at a position.
#[derive(Default)]
pub struct State {
    /// None until the feed has started.
    at: Option<(Incarnation, Mark)>,
    pub(super) roots: Roots,
    mirrors: HashMap<Box<str>, (Mirror, AtomicU64)>,
}

impl State {
    /// Where they stand.
    pub fn position(&self) -> Option<Position> {
        self.at.map(|(incarnation, mark)| Position::after(incarnation, mark))
    }

    /// The roots of the swarm, as far as they are known.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The mirror of a root, which is used at `tick`.
    pub fn mirror(&self, root: &str, tick: u64) -> Option<&Mirror> {
        let (mirror, used) = self.mirrors.get(root)?;
        used.store(tick, Ordering::Relaxed);
        Some(mirror)
    }

    pub fn len(&self) -> usize {
        self.mirrors.len()
    }

    /// Each root, when it was last used, and how many bytes its mirror takes.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64, usize)> {
        self.mirrors
            .iter()
            .map(|(root, (mirror, used))| (&**root, used.load(Ordering::Relaxed), mirror.bytes()))
    }

    fn apply(&mut self, version: &Version) {
        let root = mirror::root(&version.path.namespace);
        self.roots.add(root);
        if let Some((mirror, _)) = self.mirrors.get_mut(root) {
            take_in(mirror, version);
        }
    }
}

/// What there is no room for is not recalled; it is there for every other read.
pub(super) fn take_in(mirror: &mut Mirror, version: &Version) {
    if let Err(full) = mirror.apply(version) {
        tracing::error!(error = %full, "an entry is not recalled");
    }
}

impl Held {
    pub fn new(shared: &Arc<Shared>, swarm: &SwarmId) -> Self {
        Self {
            swarm: swarm.clone(),
            feed: feed::attach(shared, swarm),
            moving: Mutex::new(()),
            loading: Mutex::new(()),
            state: RwLock::default(),
            used: AtomicU64::new(shared.mirrors.tick()),
            over: AtomicBool::new(false),
        }
    }

    pub fn swarm(&self) -> &SwarmId {
        &self.swarm
    }

    pub fn touch(&self, tick: u64) {
        self.used.store(tick, Ordering::Relaxed);
    }

    /// Whether their history is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether nobody has asked for them since long.
    pub fn is_idle(&self, now: u64, idle_ms: u64) -> bool {
        now.saturating_sub(self.used.load(Ordering::Relaxed)) >= idle_ms
    }

    /// As they are; not across an await.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the feed has come further.
    pub fn is_behind(&self) -> bool {
        let at = self.state().at;
        match &*self.feed.subscribe().borrow() {
            Stand::Starting => false,
            Stand::At(mark) => at.is_some_and(|(_, at)| at.revision < mark.revision),
            Stand::Ended(_) => true,
        }
    }

    /// Whether a mark is known to be of this history; none: only the store can tell.
    pub fn knows(&self, position: &Position) -> Option<bool> {
        let (incarnation, at) = self.state().at?;
        if position.incarnation != incarnation {
            return None;
        }
        if position.mark == at {
            return Some(true);
        }
        let before = Revision(position.mark.revision.0.checked_sub(1)?);
        let recent = self.feed.recent(incarnation, before, 1)?;
        let marks = recent.first()?.commit.versions.iter().map(|version| version.mark);
        marks
            .into_iter()
            .find(|mark| mark.revision == position.mark.revision)
            .map(|mark| mark == position.mark)
    }

    /// Moves on to where the feed stands, and waits for it to come at least as far as `revision`.
    ///
    /// # Errors
    /// When the history is over, the store does not answer, or the deadline passes.
    pub async fn reach(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        revision: Revision,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut stand = self.feed.subscribe();
        loop {
            stand.mark_unchanged();
            self.advance(shared).await?;
            if self.state().at.is_some_and(|(_, at)| at.revision >= revision) {
                return Ok(());
            }
            // Somebody has seen it, so it is in the log.
            self.feed.nudge();
            if timeout_at(deadline, stand.changed()).await.is_err() {
                return Err(if shared.trouble.is_silent() {
                    Error::Unavailable
                } else {
                    Error::DeadlineExceeded
                });
            }
        }
    }

    /// Moves on to where the feed stands.
    ///
    /// # Errors
    /// When the history is over, or the store does not answer.
    pub async fn advance(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), Error> {
        let _turn = self.moving.lock().await;
        let moved = self.follow(shared).await;
        if let Err(error) = &moved
            && !error.is_store_trouble()
        {
            self.over.store(true, Ordering::Release);
        }
        moved
    }

    async fn follow(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), Error> {
        let mut stand = self.feed.subscribe();
        let started = stand.wait_for(|stand| !matches!(stand, Stand::Starting));
        let deadline = Instant::now() + shared.settings.store_timeout;
        let head = match timeout_at(deadline, started).await {
            Ok(Ok(stand)) => match &*stand {
                Stand::Ended(error) => return Err(error.clone()),
                Stand::At(mark) => *mark,
                Stand::Starting => return Err(Error::Unavailable),
            },
            _ => return Err(Error::Unavailable),
        };
        let at = self.state().at;
        let (incarnation, mut at) = match at {
            Some(at) => at,
            None => {
                let incarnation = self.feed.incarnation().ok_or(Error::Unavailable)?;
                self.state_mut().at = Some((incarnation, head));
                return Ok(());
            }
        };
        while at.revision < head.revision {
            let (versions, last) = self.behind(shared, incarnation, at).await?;
            at = last;
            self.take_in(shared, incarnation, versions, last).await?;
        }
        Ok(())
    }

    /// What is behind a mark, as far as one step goes, and where it ends.
    pub(super) async fn behind(
        &self,
        shared: &Arc<Shared>,
        incarnation: Incarnation,
        at: Mark,
    ) -> Result<(Vec<Arc<Version>>, Mark), Error> {
        if let Some(recent) = self.feed.recent(incarnation, at.revision, STEP_BYTES)
            && let Some(last) = recent.last().map(|recent| recent.commit.last)
        {
            let versions = recent.iter().flat_map(|recent| &recent.commit.versions);
            return Ok((versions.filter(|v| v.mark.revision > at.revision).cloned().collect(), last));
        }
        let (store, swarm) = (Arc::clone(&shared.store), self.swarm.clone());
        detached(shared, async move { log_behind(&*store, &swarm, incarnation, at).await }).await
    }

    async fn take_in(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        incarnation: Incarnation,
        versions: Vec<Arc<Version>>,
        last: Mark,
    ) -> Result<(), Error> {
        let (held, shared_too) = (Arc::clone(self), Arc::clone(shared));
        let few = versions.len() <= FEW;
        let work = move || {
            let mut state = held.state_mut();
            for version in &versions {
                state.apply(version);
            }
            state.at = Some((incarnation, last));
            drop(state);
            for version in versions {
                shared_too.mirrors.bodies.put(&held.swarm, version);
            }
        };
        if few {
            work();
            return Ok(());
        }
        computed(shared, work).await
    }

    /// Installs a mirror that stands where the others do, for whoever has the turn.
    pub(super) fn install(&self, root: &str, mirror: Mirror, tick: u64) {
        self.state_mut().mirrors.insert(root.into(), (mirror, AtomicU64::new(tick)));
    }

    /// Lets go of a mirror.
    pub fn give_up(&self, root: &str) {
        // Dropped outside the lock: it may be large.
        let _mirror = self.state_mut().mirrors.remove(root);
    }
}

/// A page of the log behind a mark, in whole revisions.
async fn log_behind(
    store: &dyn store::Store,
    swarm: &SwarmId,
    incarnation: Incarnation,
    at: Mark,
) -> Result<(Vec<Arc<Version>>, Mark), Error> {
    let mut limit = PageLimit { rows: 4_096, bytes: STEP_BYTES };
    loop {
        let page = match store.log(swarm, LogCursor::after(at.revision), limit).await {
            // What was missed is gone: all of it has to be loaded anew.
            Err(store::Error::Compacted { .. } | store::Error::Future { .. }) => {
                return Err(Error::IncarnationChanged);
            }
            page => page?,
        };
        if page.head.incarnation != incarnation {
            return Err(Error::IncarnationChanged);
        }
        let mut versions = page.versions;
        if page.more {
            let last = versions.last().map(|version| version.mark.revision);
            versions.retain(|version| Some(version.mark.revision) != last);
        }
        match versions.last().map(|version| version.mark) {
            Some(last) => return Ok((versions, last)),
            None if page.more => {
                limit =
                    PageLimit { rows: limit.rows.saturating_mul(4), bytes: limit.bytes.saturating_mul(4) };
            }
            None => return Err(Error::IncarnationChanged),
        }
    }
}
