//! A swarm's feed: keeps its ring current, from the own lane, from the bus, and from the log where something is missing.
//! Runs only while somebody is interested. Knows nothing of streams but that they wait for the head to move.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, error::Elapsed, sleep, timeout},
};

use super::{
    Shared, detached,
    error::Error,
    ring::{Offer, Recent, Ring},
};
use crate::{
    bus::{Message, Subscription},
    domain::{
        commit::Commit,
        entry::Version,
        namespace::EntryPath,
        position::Position,
        swarm::{Head, Incarnation, Mark, Revision, SwarmId},
    },
    store::{self, LogCursor, PageLimit},
};

/// Where a feed stands.
#[derive(Clone, Debug)]
pub(super) enum Stand {
    /// It has not read the head yet.
    Starting,
    /// Its ring reaches up to here.
    At(Mark),
    /// It is over, and every stream on it.
    Ended(Error),
}

/// The feed of one swarm.
pub(super) struct Feed {
    swarm: SwarmId,
    ring: Mutex<Option<Ring>>,
    stand: watch::Sender<Stand>,
    /// Something may be missing.
    gap: Notify,
    interest: AtomicUsize,
}

/// Keeps a feed running while it lives.
pub(super) struct Interest(Arc<Feed>);

impl std::ops::Deref for Interest {
    type Target = Feed;

    fn deref(&self) -> &Feed {
        &self.0
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.interest.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Feed {
    fn new(swarm: SwarmId) -> Self {
        Self {
            swarm,
            ring: Mutex::new(None),
            stand: watch::Sender::new(Stand::Starting),
            gap: Notify::new(),
            interest: AtomicUsize::new(0),
        }
    }

    /// Hears of every change of the stand.
    pub fn subscribe(&self) -> watch::Receiver<Stand> {
        self.stand.subscribe()
    }

    /// Takes in a commit, if it follows what is known; else sees to it that what is missing is read from the log.
    pub fn offer(&self, commit: &Arc<Commit>) {
        let mut ring = self.ring();
        // Before the feed has read the head it cannot tell what is missing: it reads again once it has started.
        let offer = ring.as_mut().map_or(Offer::Gap, |ring| ring.offer(commit));
        drop(ring);
        match offer {
            Offer::Appended => self.moved(commit.last),
            Offer::Known => {}
            // A message may be late and of a history that is over: the log tells whether it is this one or ours.
            Offer::Gap | Offer::Diverged => self.gap.notify_one(),
        }
    }

    /// Recent commits behind `revision` of a history; none if the ring does not reach back so far, or is of another.
    pub fn recent(
        &self,
        incarnation: Incarnation,
        revision: Revision,
        bytes_max: usize,
    ) -> Option<Vec<Arc<Recent>>> {
        let ring = self.ring();
        ring.as_ref().filter(|ring| ring.incarnation() == incarnation)?.after(revision, bytes_max)
    }

    /// The newest versions of these entries, and the state of which they are, if all are held.
    pub fn held(&self, paths: &[EntryPath]) -> Option<(Position, Vec<Arc<Version>>)> {
        let ring = self.ring();
        let ring = ring.as_ref()?;
        let versions: Option<Vec<_>> = paths.iter().map(|path| ring.newest(path)).collect();
        Some((Position::after(ring.incarnation(), ring.head()), versions?))
    }

    /// Looks into the log at once: somebody has seen more than the feed has heard of.
    pub fn nudge(&self) {
        self.gap.notify_one();
    }

    /// The history it follows; none before it has read the head.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.ring().as_ref().map(Ring::incarnation)
    }

    /// Since when there is something behind `revision`.
    pub fn pending_since(&self, revision: Revision) -> Option<Instant> {
        self.ring().as_ref()?.pending_since(revision)
    }

    /// Whether this feed follows another history than that one, as far as it knows.
    pub fn follows_another(&self, incarnation: Incarnation) -> bool {
        self.ring().as_ref().is_some_and(|ring| ring.incarnation() != incarnation)
    }

    /// Whether the ring reaches up to here, or further.
    fn knows(&self, incarnation: Incarnation, mark: Mark) -> bool {
        let ring = self.ring();
        ring.as_ref().is_some_and(|r| r.incarnation() == incarnation && r.head().revision >= mark.revision)
    }

    /// Compares with the store's head, which was read after `before`, the feed's own stand, was taken.
    pub fn compare(&self, before: &Stand, head: Option<&Head>) {
        let Stand::At(known) = before else { return };
        let Some(head) = head else { return self.end(Error::SwarmDeleted) };
        let incarnation = self.ring().as_ref().map(Ring::incarnation);
        let same = incarnation == Some(head.incarnation);
        if !same
            || head.mark.revision < known.revision
            || (head.mark.revision == known.revision && head.mark != *known)
        {
            self.end(Error::IncarnationChanged);
        } else if head.mark.revision > known.revision {
            self.gap.notify_one();
        }
    }

    /// How many events the ring holds.
    pub fn ring_events(&self) -> usize {
        self.ring().as_ref().map_or(0, Ring::events)
    }

    /// Ends the feed and every stream on it.
    pub fn end(&self, why: Error) {
        self.stand.send_if_modified(|stand| match stand {
            Stand::Ended(_) => false,
            _ => {
                *stand = Stand::Ended(why);
                true
            }
        });
    }

    fn has_ended(&self) -> bool {
        matches!(*self.stand.borrow(), Stand::Ended(_))
    }

    fn has_started(&self) -> bool {
        self.ring().is_some()
    }

    fn ring(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock().expect("no holder of this lock panics")
    }

    fn moved(&self, to: Mark) {
        self.stand.send_if_modified(|stand| match stand {
            Stand::At(mark) if mark.revision >= to.revision => false,
            Stand::Ended(_) => false,
            _ => {
                *stand = Stand::At(to);
                true
            }
        });
    }

    /// Starts the ring over at a head that was read from the store, unless it came further in the meantime: streams
    /// are not woken twice for the same revision.
    fn restart(&self, shared: &Shared, head: &Head) {
        let mut ring = self.ring();
        let is_ahead = |ring: &Ring| {
            ring.incarnation() == head.incarnation && ring.head().revision >= head.mark.revision
        };
        if !ring.as_ref().is_some_and(is_ahead) {
            *ring = Some(Ring::new(shared.settings.ring, shared.settings.slow_consumer, head));
        }
        drop(ring);
        self.moved(head.mark);
    }
}

/// The feed of a swarm, started if need be, and kept running as long as the answer lives.
pub(super) fn attach(shared: &Arc<Shared>, swarm: &SwarmId) -> Interest {
    let start = || {
        let feed = Arc::new(Feed::new(swarm.clone()));
        shared.lifecycle.spawn("feed", run(Arc::clone(shared), Arc::clone(&feed)));
        feed
    };
    let mut feed = shared.feeds.entry(swarm.clone()).or_insert_with(start);
    if feed.has_ended() {
        *feed = start();
    }
    // Under the registry's lock, so that the feed cannot be found idle at the same time.
    feed.interest.fetch_add(1, Ordering::AcqRel);
    Interest(Arc::clone(&feed))
}

async fn run(shared: Arc<Shared>, feed: Arc<Feed>) {
    tokio::select! {
        () = shared.lifecycle.soft.cancelled() => {}
        () = follow(&shared, &feed) => {}
    }
    shared.feeds.remove_if(&feed.swarm, |_, current| Arc::ptr_eq(current, &feed));
}

/// Follows the swarm until the feed has ended or nobody is interested any more.
async fn follow(shared: &Arc<Shared>, feed: &Arc<Feed>) {
    // Subscribed before the head is read: what is committed in between is heard of.
    let mut subscription = None;
    let mut stand = feed.subscribe();
    let mut may_be_behind = true;
    loop {
        if subscription.is_none() {
            subscription = Some(shared.bus.subscribe(&feed.swarm).await);
            may_be_behind = true;
        }
        if std::mem::take(&mut may_be_behind) {
            shared.metrics.catch_ups.inc();
            catch_up(shared, feed).await;
        }
        if feed.has_ended() || is_idle(shared, feed) {
            return;
        }
        tokio::select! {
            () = feed.gap.notified() => may_be_behind = true,
            () = listen(shared, feed, &mut subscription) => may_be_behind = true,
            _ = stand.wait_for(|stand| matches!(stand, Stand::Ended(_))) => {}
            // Only to see whether anybody is still interested: a swarm that rests is asked for by the poll alone.
            () = sleep(shared.settings.feed_idle) => {}
        }
    }
}

/// Removes the feed from the registry if nobody is interested.
fn is_idle(shared: &Shared, feed: &Arc<Feed>) -> bool {
    let idle = |current: &Arc<Feed>| Arc::ptr_eq(current, feed) && feed.interest.load(Ordering::Acquire) == 0;
    shared.feeds.remove_if(&feed.swarm, |_, current| idle(current)).is_some()
}

/// Takes in what the bus says; returns when something may be missing.
async fn listen(shared: &Shared, feed: &Feed, subscription: &mut Option<Box<dyn Subscription>>) {
    loop {
        let Some(open) = subscription else { return std::future::pending().await };
        match open.next().await {
            Message::Commit(commit) => feed.offer(&commit),
            Message::Moved(incarnation, mark) if feed.knows(incarnation, mark) => {}
            Message::Moved(..) => return,
            // What was missed, if anything: the heads tell, for all feeds at once.
            Message::Gap => shared.look.notify_one(),
            Message::Closed => {
                *subscription = None;
                // A bus that closes at once is not asked all the time.
                sleep(shared.settings.retry_pause).await;
                return;
            }
        }
    }
}

/// Reads from the log what the ring lacks. When the store does not answer, the poll will bring the feed back here.
async fn catch_up(shared: &Arc<Shared>, feed: &Arc<Feed>) {
    let read = in_turn(shared, feed, read_up(Arc::clone(shared), Arc::clone(feed))).await;
    match read {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is_store_trouble() => try_again(shared, feed).await,
        Err(_) => {
            shared.trouble.read_timed_out();
            try_again(shared, feed).await;
        }
        Ok(Err(Error::SwarmNotFound)) => feed.end(Error::SwarmDeleted),
        Ok(Err(Error::FutureRevision { .. })) => feed.end(Error::IncarnationChanged),
        Ok(Err(error)) => feed.end(error),
    }
}

/// Reads for a feed while not too many others do. Whoever starts a watch does not wait for those who catch up.
async fn in_turn(
    shared: &Shared,
    feed: &Feed,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<Result<(), Error>, Elapsed> {
    let turns = if feed.has_started() { &shared.backfills } else { &shared.openings };
    let _turn = turns.acquire().await.ok();
    if shared.trouble.is_silent() {
        return Ok(Err(Error::Unavailable));
    }
    timeout(shared.settings.store_timeout, detached(shared, work)).await
}

async fn try_again(shared: &Shared, feed: &Feed) {
    sleep(shared.settings.retry_pause).await;
    feed.gap.notify_one();
}

async fn read_up(shared: Arc<Shared>, feed: Arc<Feed>) -> Result<(), Error> {
    let Some(known) = feed.ring().as_ref().map(Ring::head) else { return start(&shared, &feed).await };
    check_history(&shared, &feed, known).await?;
    while read_on(&shared, &feed).await? {}
    Ok(())
}

async fn start(shared: &Shared, feed: &Feed) -> Result<(), Error> {
    let swarm = shared.store.swarm(&feed.swarm).await?;
    // Offers that came before this have left a gap behind.
    feed.restart(shared, &swarm.head);
    Ok(())
}

/// Whether the log still holds the revision that the ring ends with.
async fn check_history(shared: &Shared, feed: &Feed, known: Mark) -> Result<(), Error> {
    match shared.store.mark_at(&feed.swarm, known.revision).await {
        Ok((_, mark)) if mark == known => Ok(()),
        Ok(_) => Err(Error::IncarnationChanged),
        // Too old to compare; the incarnation is compared with each page.
        Err(store::Error::Compacted { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Appends one page of the log; says whether there is more.
async fn read_on(shared: &Shared, feed: &Feed) -> Result<bool, Error> {
    let Some((known, incarnation)) = feed.ring().as_ref().map(|r| (r.head(), r.incarnation())) else {
        return Ok(false);
    };
    let mut limit =
        PageLimit { rows: shared.settings.ring.events_max, bytes: shared.settings.ring.bytes_max };
    loop {
        let page = match shared.store.log(&feed.swarm, LogCursor::after(known.revision), limit).await {
            Err(store::Error::Compacted { .. }) => return jump(shared, feed).await,
            page => page?,
        };
        if page.head.incarnation != incarnation {
            return Err(Error::IncarnationChanged);
        }
        let behind = page.head.mark.revision.0.saturating_sub(known.revision.0);
        if behind > shared.settings.ring.events_max as u64 {
            return jump(shared, feed).await;
        }
        let mut versions = page.versions;
        if !goes_on(known.revision, &versions) {
            tracing::error!(swarm.id = %feed.swarm, after = known.revision.0, "the log is not in order");
            return Err(Error::Corrupt);
        }
        if page.more {
            // The page may end inside a revision, and a revision is never split.
            let last = versions.last().map(|v| v.mark.revision);
            versions.retain(|v| Some(v.mark.revision) != last);
        }
        if let Some(last) = versions.last().map(|v| v.mark) {
            shared.metrics.backfills.inc();
            feed.offer(&Arc::new(Commit { incarnation, prev: known, last, versions }));
            return Ok(page.more);
        }
        if !page.more {
            return Ok(false);
        }
        limit = PageLimit { rows: limit.rows.saturating_mul(4), bytes: limit.bytes.saturating_mul(4) };
    }
}

/// Whether a page of the log goes on behind a revision without a gap, in order. Taken in as it is, another would be read over and over,
/// or shown.
fn goes_on(after: Revision, versions: &[Arc<Version>]) -> bool {
    let mut newest = after;
    versions.iter().all(|version| {
        let revision = version.mark.revision;
        let follows = revision == newest.next() || (revision == newest && newest > after);
        newest = revision;
        follows
    })
}

/// Gives up on filling a gap that the ring could not hold: streams read it from the log themselves.
async fn jump(shared: &Shared, feed: &Feed) -> Result<bool, Error> {
    let swarm = shared.store.swarm(&feed.swarm).await?;
    if feed.ring().as_ref().is_some_and(|ring| ring.incarnation() != swarm.head.incarnation) {
        return Err(Error::IncarnationChanged);
    }
    feed.restart(shared, &swarm.head);
    Ok(true)
}
