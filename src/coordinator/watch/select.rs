//! What goes into the next response: events from the ring or the log, or entries of the snapshot. The cursor moves only
//! with what is handed over, so whatever fails on the way can be tried again.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    super::{Error, Shared, detached, ring::Recent},
    Content, Cursor, Phase, Stand, Stream,
    gather::{Candidate, Gathered, Gathering},
};
use crate::{
    domain::{
        entry::Version,
        query::Filter,
        swarm::{Revision, SwarmId},
    },
    store::{self, At, LogCursor, PageLimit, Scan},
};

/// Entries before events that are read in one go; contents of 256 KiB make this 4 MiB.
const BEFORES_MAX: usize = 16;

/// What a look at the log came to.
enum Ready {
    Events(Gathered),
    /// Nothing matched for so long that a bookmark is due.
    Bookmark,
    Nothing,
}

impl Stream {
    /// What is ready now; none if nothing is.
    pub(super) async fn take_ready(
        &mut self,
        stand: &Stand,
        bookmark_at: Instant,
    ) -> Result<Option<Content>, Error> {
        match self.cursor.phase {
            Phase::Snapshot => self.take_snapshot().await.map(Some),
            Phase::Events => self.take_events(stand, bookmark_at).await,
            Phase::Over => Ok(None),
        }
    }

    async fn take_events(&mut self, stand: &Stand, bookmark_at: Instant) -> Result<Option<Content>, Error> {
        let mut limit = PageLimit { rows: usize::MAX, bytes: self.shared.settings.response_bytes_max };
        loop {
            let Gathered { chosen, fragment, cursor } = match self.gather(stand, limit, bookmark_at).await? {
                Ready::Events(gathered) => gathered,
                Ready::Bookmark => return Ok(Some(Content::Bookmark)),
                Ready::Nothing => return Ok(None),
            };
            let count = chosen.len();
            // Of what comes from the log the age says how far back somebody reads, not how long it took.
            let live = chosen.first().filter(|first| first.ring.is_some()).map(|first| first.version.time);
            let events = self.encode(chosen).await?;
            if events.len() == count {
                self.cursor = cursor;
                let lag = live.map(|time| self.shared.clock.now().since(time));
                self.shared.metrics.delivered(count, lag);
                return Ok(Some(Content::Events { events, fragment }));
            }
            // With the entries before them, fewer fit.
            limit.rows = events.len();
        }
    }

    /// What is ready, up to a limit. The cursor passes by what does not match, and stays before what does.
    async fn gather(
        &mut self,
        stand: &Stand,
        limit: PageLimit,
        bookmark_at: Instant,
    ) -> Result<Ready, Error> {
        let Stand::At(head) = stand else { return Ok(Ready::Nothing) };
        if head.revision < self.cursor.mark.revision {
            return Ok(Ready::Nothing);
        }
        let mut gathering = Gathering::new(self.cursor.clone(), &self.filter, limit);
        // A revision that a page cut off goes on in the next page.
        while !gathering.is_ready() {
            let cursor = gathering.cursor();
            if cursor.inside.is_none() && cursor.mark.revision >= head.revision {
                break;
            }
            let (candidates, cut) = self.candidates(cursor).await?;
            let is_last = candidates.is_empty();
            gathering.extend(candidates);
            if is_last || !cut {
                gathering.end_revision();
            }
            if gathering.is_empty() {
                // What does not match is not looked at again, should the next page fail.
                self.cursor = gathering.cursor().clone();
                // Nor does it keep the stream from saying how far it came.
                if Instant::now() >= bookmark_at {
                    return Ok(Ready::Bookmark);
                }
            }
            if is_last {
                break;
            }
        }
        let gathered = gathering.finish();
        Ok(if gathered.chosen.is_empty() { Ready::Nothing } else { Ready::Events(gathered) })
    }

    /// What comes behind the cursor, from the ring or else from the log; and whether its last revision may go on.
    async fn candidates(&self, cursor: &Cursor) -> Result<(Vec<Candidate>, bool), Error> {
        let bytes_max = self.shared.settings.response_bytes_max;
        // Within a revision, the ring is asked for the revision once more.
        let from = match cursor.inside {
            Some(_) => Revision(cursor.mark.revision.0 - 1),
            None => cursor.mark.revision,
        };
        if let Some(recent) = self.feed.recent(cursor.incarnation, from, bytes_max) {
            let found: Vec<_> = recent.iter().flat_map(|r| behind(r, cursor)).collect();
            // The log may have been read further than the ring reaches; of the rest of a revision only it knows then.
            if !found.is_empty() || cursor.inside.is_none() {
                return Ok((found, false));
            }
        }
        self.shared.metrics.ring_misses.inc();
        let after = LogCursor { revision: cursor.mark.revision, ordinal: cursor.inside };
        let limit = PageLimit { rows: self.shared.settings.ring.events_max, bytes: bytes_max };
        let (shared, swarm, incarnation) = (Arc::clone(&self.shared), self.swarm.clone(), cursor.incarnation);
        let page = detached(&self.shared, async move {
            let page = shared.store.log(&swarm, after, limit).await.map_err(lost)?;
            if page.head.incarnation == incarnation { Ok(page) } else { Err(Error::IncarnationChanged) }
        })
        .await?;
        let candidates = page.versions.into_iter().map(|version| Candidate { version, ring: None });
        Ok((candidates.collect(), page.more))
    }

    async fn encode(&self, chosen: Vec<Candidate>) -> Result<Vec<Bytes>, Error> {
        let encode = &self.shared.encode;
        if self.before {
            return self.encode_with_before(chosen).await;
        }
        let events = chosen.into_iter().map(|Candidate { version, ring }| match ring {
            Some((recent, index)) if !self.keys_only => {
                recent.encoded(index, |v| encode.event(v, None, false))
            }
            _ => encode.event(&version, None, self.keys_only),
        });
        Ok(events.collect())
    }

    /// Encodes as many events, at least one, as make a response together with the entries before them.
    async fn encode_with_before(&self, chosen: Vec<Candidate>) -> Result<Vec<Bytes>, Error> {
        let (shared, swarm, keys_only) = (Arc::clone(&self.shared), self.swarm.clone(), self.keys_only);
        detached(&self.shared, async move {
            let mut events = Vec::with_capacity(chosen.len());
            let mut bytes = 0;
            for of_revision in chosen.chunk_by(|a, b| a.version.mark == b.version.mark) {
                for candidates in of_revision.chunks(BEFORES_MAX) {
                    let befores = entries_before(&shared, &swarm, candidates).await?;
                    for (candidate, before) in candidates.iter().zip(befores) {
                        let event = shared.encode.event(&candidate.version, before.as_deref(), keys_only);
                        bytes += event.len();
                        if !events.is_empty() && bytes > shared.settings.response_bytes_max {
                            return Ok(events);
                        }
                        events.push(event);
                    }
                }
            }
            Ok(events)
        })
        .await
    }

    async fn take_snapshot(&mut self) -> Result<Content, Error> {
        let (shared, swarm, filter, keys_only) =
            (Arc::clone(&self.shared), self.swarm.clone(), self.filter.clone(), self.keys_only);
        let mut cursor = self.cursor.clone();
        let (entries, cursor) = detached(&self.shared, async move {
            let entries = snapshot_page(&shared, &swarm, &filter, &mut cursor, keys_only).await?;
            Ok((entries, cursor))
        })
        .await?;
        self.cursor = cursor;
        if entries.is_empty() {
            self.cursor.phase = Phase::Events;
            return Ok(Content::SnapshotEnd);
        }
        Ok(Content::Snapshot(entries))
    }
}

/// What it means for a stream that the store does not know its position any more. It was checked when the stream began,
/// so only another history can have taken it back.
fn lost(error: store::Error) -> Error {
    match Error::from(error) {
        Error::FutureRevision { .. } => Error::IncarnationChanged,
        Error::SwarmNotFound => Error::SwarmDeleted,
        other => other,
    }
}

/// The part of a commit that lies behind the cursor.
fn behind(recent: &Arc<Recent>, cursor: &Cursor) -> Vec<Candidate> {
    let revision = cursor.mark.revision;
    let seen = |v: &Version| match cursor.inside {
        Some(ordinal) if v.mark.revision == revision => v.ordinal <= ordinal,
        Some(_) => v.mark.revision < revision,
        None => v.mark.revision <= revision,
    };
    let from = recent.commit.versions.partition_point(|v| seen(v));
    let rest = recent.commit.versions.iter().enumerate().skip(from);
    rest.map(|(index, version)| Candidate {
        version: Arc::clone(version),
        ring: Some((Arc::clone(recent), index)),
    })
    .collect()
}

async fn entries_before(
    shared: &Shared,
    swarm: &SwarmId,
    of_revision: &[Candidate],
) -> Result<Vec<Option<Arc<Version>>>, Error> {
    let paths: Vec<_> = of_revision.iter().map(|c| c.version.path.clone()).collect();
    let before = Revision(of_revision[0].version.mark.revision.0 - 1);
    match shared.store.entries(swarm, &paths, At::Revision(before)).await.map_err(lost) {
        Ok(entries) => Ok(entries.versions),
        // The entry before is promised only as long as it is kept.
        Err(Error::Compacted { .. }) => Ok(vec![None; paths.len()]),
        Err(error) => Err(error),
    }
}

/// The next entries of the snapshot, at least one unless it is complete.
async fn snapshot_page(
    shared: &Shared,
    swarm: &SwarmId,
    filter: &Filter,
    cursor: &mut Cursor,
    keys_only: bool,
) -> Result<Vec<Bytes>, Error> {
    let limit =
        PageLimit { rows: shared.settings.limits.page_size_max, bytes: shared.settings.response_bytes_max };
    for range in filter.ranges() {
        loop {
            let past = cursor.listed.as_ref().zip(range.end.as_deref());
            if past.is_some_and(|(listed, end)| listed.namespace.as_str() >= end) {
                break;
            }
            let at = At::Revision(cursor.mark.revision);
            let scan =
                Scan { range: range.clone(), after: cursor.listed.clone(), at, limit, content: !keys_only };
            let page = shared.store.scan(swarm, &scan).await.map_err(lost)?;
            if page.head.incarnation != cursor.incarnation {
                return Err(Error::IncarnationChanged);
            }
            let now = page.head.now(shared.clock.now());
            let matching = page.versions.iter().filter(|v| v.is_live(now) && filter.matches(v));
            let entries: Vec<_> = matching.map(|v| shared.encode.entry(v, keys_only)).collect();
            let done = page.resume.is_none();
            cursor.listed =
                page.resume.or_else(|| page.versions.last().map(|v| v.path.clone())).or(cursor.listed.take());
            if !entries.is_empty() {
                return Ok(entries);
            }
            if done {
                break;
            }
        }
    }
    Ok(Vec::new())
}
