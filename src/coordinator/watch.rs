//! A watch stream: a cursor into the ring, or below it into the log. It holds no queue: what is ready is taken when the
//! transport asks. Knows nothing of the transport.

mod cursor;
mod gather;
mod select;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, watch::Receiver},
    time::{Instant, sleep, sleep_until},
};

use self::cursor::{Cursor, Phase};
use super::{
    Coordinator, Error, Permit, Shared, admitted, detached,
    feed::{self, Interest, Stand},
    lifetime::first_revision_since,
    read::verify,
};
use crate::{
    domain::{
        Invalid,
        access::Principal,
        position::{Arguments, Place, Position, Purpose},
        query::Filter,
        swarm::{Head, Revision, SwarmId},
        time::Timestamp,
    },
    store,
};

/// Where a stream starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest revision.
    Now,
    /// Behind a token.
    Token(String),
    /// At this revision.
    Revision(Revision),
    /// At the first revision at or after this time.
    Time(Timestamp),
    /// With the entries as they are, then behind that revision.
    Snapshot,
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct WatchQuery {
    /// Where to start.
    pub start: Start,
    /// Which events; prefixes as asked for, not narrowed.
    pub filter: Filter,
    /// Whether each event brings the entry before it.
    pub before: bool,
    /// Whether content and attributes are left out.
    pub keys_only: bool,
    /// How often an idle stream gets a bookmark; none: the default.
    pub bookmark_interval: Option<Duration>,
    /// When the stream ends, if its caller waits no longer than that.
    pub deadline: Option<Instant>,
    /// What a token of this stream may be used with.
    pub arguments: Arguments,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it carries.
    pub content: Content,
    /// Resumes behind it.
    pub token: String,
    /// Up to here the stream has seen everything; for a snapshot, what it is of.
    pub revision: Revision,
}

/// What a response carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Encoded events.
    Events {
        /// In order.
        events: Vec<Bytes>,
        /// Whether the last revision goes on in the next response.
        fragment: bool,
    },
    /// Encoded entries of the snapshot.
    Snapshot(Vec<Bytes>),
    /// The snapshot is complete.
    SnapshotEnd,
    /// Nothing new.
    Bookmark,
}

/// One watcher's stream. Ends with the error that ended it.
pub struct Stream {
    shared: Arc<Shared>,
    swarm: SwarmId,
    feed: Interest,
    stand: Receiver<Stand>,
    filter: Filter,
    before: bool,
    keys_only: bool,
    arguments: Arguments,
    bookmark_interval: Duration,
    cursor: Cursor,
    /// When the last response was handed over.
    delivered: Instant,
    deadline: Option<Instant>,
    /// When it ends because the coordinator shuts down.
    drained_at: Option<Instant>,
    /// What ends the stream once the bookmark before it is sent.
    last_words: Option<Error>,
    /// Counts among the open streams.
    _permit: Permit,
}

impl Coordinator {
    /// Opens a stream.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::IncarnationChanged`] and [`Error::FutureRevision`] for a start that is not there;
    /// [`Error::Exhausted`] when too many are open.
    pub async fn watch(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        query: WatchQuery,
    ) -> Result<Stream, Error> {
        if self.shared.lifecycle.soft.is_cancelled() {
            return Err(Error::Draining);
        }
        let permit = self.shared.streams.take(1)?;
        let (feed, mut cursor) = loop {
            // Interest before the start is read: what is committed from now on is in the ring.
            let feed = feed::attach(&self.shared, swarm);
            let (shared, id, start, arguments) =
                (Arc::clone(&self.shared), swarm.clone(), query.start.clone(), query.arguments);
            let turn = self.turn_to_open().await?;
            let cursor = admitted(&self.shared, async move {
                let _turn = turn;
                resolve(&shared, &id, &start, arguments).await
            })
            .await?;
            if !feed.follows_another(cursor.incarnation) {
                break (feed, cursor);
            }
            // The swarm was made anew, and the feed has not heard of it: it must not end this stream when it does.
            self.check_feed(swarm, &feed).await?;
        };
        let stand = feed.subscribe();
        // Tells the watcher that the stream stands, and from where.
        cursor.owes_bookmark = cursor.phase == Phase::Events;
        let prefixes = caller.readable().narrow(query.filter.prefixes.as_deref().unwrap_or_default());
        Ok(Stream {
            shared: Arc::clone(&self.shared),
            swarm: swarm.clone(),
            feed,
            stand,
            filter: Filter { prefixes, ..query.filter },
            before: query.before,
            keys_only: query.keys_only,
            arguments: query.arguments,
            bookmark_interval: query.bookmark_interval.unwrap_or(self.shared.settings.bookmark_interval),
            cursor,
            delivered: Instant::now(),
            deadline: query.deadline,
            drained_at: None,
            last_words: None,
            _permit: permit,
        })
    }

    /// However many are opened at once, they come to the store a few at a time: none of them fails because all of them
    /// wait for a connection, nor do others. While the store is silent nobody waits behind those who wait for it.
    async fn turn_to_open(&self) -> Result<Option<OwnedSemaphorePermit>, Error> {
        let turn = Arc::clone(&self.shared.openings).acquire_owned().await;
        if self.shared.trouble.is_silent() {
            return Err(Error::Unavailable);
        }
        // It is never closed.
        Ok(turn.ok())
    }

    /// Compares a feed with the head, as the poll does.
    async fn check_feed(&self, swarm: &SwarmId, feed: &Interest) -> Result<(), Error> {
        let stand = feed.subscribe().borrow().clone();
        let (store, id) = (Arc::clone(&self.shared.store), swarm.clone());
        let heads = detached(&self.shared, async move { Ok(store.heads(&[id]).await?) }).await?;
        feed.compare(&stand, heads.into_iter().next().flatten().as_ref());
        Ok(())
    }
}

/// Where a stream begins.
async fn resolve(
    shared: &Shared,
    swarm: &SwarmId,
    start: &Start,
    arguments: Arguments,
) -> Result<Cursor, Error> {
    match start {
        Start::Now => Ok(Cursor::after(&shared.store.swarm(swarm).await?.head)),
        Start::Snapshot => Ok(Cursor::snapshot(&shared.store.swarm(swarm).await?.head)),
        Start::Revision(revision) => before(shared, swarm, *revision).await,
        Start::Time(time) => {
            let head = shared.store.swarm(swarm).await?.head;
            if *time > head.now(shared.clock.now()) {
                return Err(Invalid::new("time", "lies in the future").into());
            }
            let first = first_revision_since(&*shared.store, swarm, &head, *time).await?;
            // What is compacted may have been as late as the first that is kept: rather refuse than skip it.
            let may_be_compacted = *time <= head.time && first == head.floor.revision.next();
            if head.floor.revision > Revision::ZERO && may_be_compacted {
                return Err(Error::Compacted { floor: head.floor.revision });
            }
            before(shared, swarm, first).await
        }
        Start::Token(token) => {
            let (position, given) = shared.tokens.open(swarm, Purpose::Position, token)?;
            if given != Arguments::default() && given != arguments {
                return Err(Invalid::new("token", "belongs to a watch with another filter or view").into());
            }
            verify(shared, swarm, &position).await?;
            from_token(shared, swarm, position).await
        }
    }
}

async fn from_token(shared: &Shared, swarm: &SwarmId, position: Position) -> Result<Cursor, Error> {
    if let Place::Inside(_) = position.place {
        // The rest of the revision is needed, and at the floor it may be gone.
        let floor = shared.store.swarm(swarm).await?.head.floor.revision;
        if position.mark.revision <= floor {
            return Err(Error::Compacted { floor });
        }
    }
    Cursor::at(position).ok_or_else(|| Invalid::new("token", "is not of a watch").into())
}

async fn before(shared: &Shared, swarm: &SwarmId, revision: Revision) -> Result<Cursor, Error> {
    let Some(previous) = revision.0.checked_sub(1).map(Revision) else {
        return Err(Invalid::new("revision", "the first revision is 1").into());
    };
    match shared.store.mark_at(swarm, previous).await {
        Ok((head, mark)) => Ok(Cursor::after(&Head { mark, ..head })),
        Err(store::Error::Future { newest }) => Err(Error::FutureRevision { newest }),
        Err(error) => Err(error.into()),
    }
}

impl Stream {
    /// The next response, or what ended the stream; none after that. Cancel-safe: a dropped call loses nothing.
    pub async fn next(&mut self) -> Option<Result<Delivery, Error>> {
        if self.cursor.phase == Phase::Over {
            return None;
        }
        let next = self.advance().await;
        self.delivered = Instant::now();
        if next.is_err() {
            self.cursor.phase = Phase::Over;
        }
        Some(next)
    }

    async fn advance(&mut self) -> Result<Delivery, Error> {
        let bookmark_at = self.delivered + self.bookmark_interval;
        self.check_pace()?;
        loop {
            // Seen before looking, so that whatever comes while looking wakes the wait below.
            let stand = self.stand.borrow_and_update().clone();
            if let Some(error) = self.last_words.take() {
                return Err(error);
            }
            if let Stand::Ended(error) = stand {
                return Err(error);
            }
            if std::mem::take(&mut self.cursor.owes_bookmark) {
                return Ok(self.deliver(Content::Bookmark));
            }
            // However much there is to send: the caller has said how long it listens.
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.last_words = Some(Error::DeadlineExceeded);
                return Ok(self.deliver(Content::Bookmark));
            }
            let store_failed = match self.take_ready(&stand, bookmark_at).await {
                Ok(Some(content)) => return Ok(self.deliver(content)),
                Ok(None) => false,
                // Nothing was taken, so nothing is lost: the stream stays open and tries again.
                Err(error) if error.is_store_trouble() => true,
                Err(error) => return Err(error),
            };
            if self.is_drained() {
                self.last_words = Some(Error::Draining);
                return Ok(self.deliver(Content::Bookmark));
            }
            let ends_at = self.drained_at.into_iter().chain(self.deadline).min();
            tokio::select! {
                changed = self.stand.changed() => {
                    // The feed's task holds the sender as long as this stream's interest lives.
                    changed.map_err(|_| Error::Draining)?;
                }
                () = sleep_until(bookmark_at) => self.cursor.owes_bookmark = true,
                () = sleep(self.shared.settings.retry_pause), if store_failed => {}
                () = sleep_until(ends_at.unwrap_or(bookmark_at)), if ends_at.is_some() => {}
                () = self.shared.lifecycle.soft.cancelled(), if self.drained_at.is_none() => {}
            }
        }
    }

    /// Whether the coordinator shuts down and it is this stream's turn to end.
    fn is_drained(&mut self) -> bool {
        if !self.shared.lifecycle.soft.is_cancelled() {
            return false;
        }
        let now = Instant::now();
        *self.drained_at.get_or_insert_with(|| now + self.shared.drain.delay()) <= now
    }

    fn deliver(&self, content: Content) -> Delivery {
        let position = self.cursor.position();
        let revision = position.mark.revision;
        // Inside a revision, everything before it has been seen.
        let revision = match (&content, &position.place) {
            (Content::Events { .. } | Content::Bookmark, Place::Inside(_)) => {
                Revision(revision.0.saturating_sub(1))
            }
            _ => revision,
        };
        let token = self.shared.tokens.seal(&self.swarm, Purpose::Position, self.arguments, &position);
        Delivery { content, token, revision }
    }

    /// Ends a stream whose transport took nothing for too long although there was something to take.
    ///
    /// The transport asks for a response only when it can send one, so the time between two calls is the time it was
    /// stuck, as far as data was there.
    fn check_pace(&self) -> Result<(), Error> {
        let now = Instant::now();
        let patience = self.shared.settings.slow_consumer;
        if now.saturating_duration_since(self.delivered) <= patience {
            return Ok(());
        }
        let pending_since = match self.cursor.phase {
            Phase::Events if self.cursor.inside.is_none() => {
                self.feed.pending_since(self.cursor.mark.revision)
            }
            // The rest of a snapshot, or of a revision.
            _ => Some(self.delivered),
        };
        match pending_since {
            Some(since) if now.saturating_duration_since(since.max(self.delivered)) > patience => {
                Err(Error::SlowConsumer)
            }
            _ => Ok(()),
        }
    }
}
