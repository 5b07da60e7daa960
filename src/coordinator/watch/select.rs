//! Which events go into the next response: those that match, whole revisions, about as many bytes as allowed.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{Error, Shared, detached, ring::Recent},
    Content, Cursor, Phase, Stand, Stream,
};
use crate::{
    domain::{
        entry::Version,
        query::Filter,
        swarm::{Revision, SwarmId},
    },
    store::{At, LogCursor, PageLimit, Scan},
};

/// A change on its way to a response.
struct Candidate {
    version: Arc<Version>,
    /// Where the ring holds its encoding.
    ring: Option<(Arc<Recent>, usize)>,
}

/// What a pass over candidates came to.
struct Selection {
    chosen: Vec<Candidate>,
    fragment: bool,
}

impl Stream {
    /// What is ready now; none if nothing is.
    pub(super) async fn take_ready(&mut self, stand: &Stand) -> Result<Option<Content>, Error> {
        match self.cursor.phase {
            Phase::Snapshot => self.take_snapshot().await.map(Some),
            Phase::Events => self.take_events(stand).await,
            Phase::Over => Ok(None),
        }
    }

    async fn take_events(&mut self, stand: &Stand) -> Result<Option<Content>, Error> {
        loop {
            let Stand::At(head) = stand else { return Ok(None) };
            if head.revision < self.cursor.mark.revision
                || (head.revision == self.cursor.mark.revision && self.cursor.inside.is_none())
            {
                return Ok(None);
            }
            let (candidates, cut) = self.candidates().await?;
            if candidates.is_empty() {
                return Ok(None);
            }
            let bytes_max = self.shared.settings.response_bytes_max;
            let selection = select(&mut self.cursor, &self.filter, candidates, cut, bytes_max);
            if !selection.chosen.is_empty() {
                let events = self.encode(selection.chosen).await?;
                return Ok(Some(Content::Events { events, fragment: selection.fragment }));
            }
        }
    }

    /// What comes next, from the ring or else from the log; and whether its last revision goes on behind it.
    async fn candidates(&self) -> Result<(Vec<Candidate>, bool), Error> {
        let bytes_max = self.shared.settings.response_bytes_max;
        // Within a revision, the ring is asked for the revision once more.
        let from = match self.cursor.inside {
            Some(_) => Revision(self.cursor.mark.revision.0 - 1),
            None => self.cursor.mark.revision,
        };
        if let Some(recent) = self.feed.recent(self.cursor.incarnation, from, bytes_max) {
            return Ok((recent.iter().flat_map(|r| behind(r, &self.cursor)).collect(), false));
        }
        let cursor = LogCursor { revision: self.cursor.mark.revision, ordinal: self.cursor.inside };
        let limit = PageLimit { rows: self.shared.settings.ring.events_max, bytes: bytes_max };
        let (shared, swarm, incarnation) =
            (Arc::clone(&self.shared), self.swarm.clone(), self.cursor.incarnation);
        let page = detached(&self.shared, async move {
            let page = shared.store.log(&swarm, cursor, limit).await;
            // A position was checked when the stream began; only another history can take it back.
            let page = page.map_err(|e| match Error::from(e) {
                Error::FutureRevision { .. } => Error::IncarnationChanged,
                Error::SwarmNotFound => Error::SwarmDeleted,
                other => other,
            })?;
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

    async fn encode_with_before(&self, chosen: Vec<Candidate>) -> Result<Vec<Bytes>, Error> {
        let (shared, swarm, keys_only) = (Arc::clone(&self.shared), self.swarm.clone(), self.keys_only);
        detached(&self.shared, async move {
            let mut events = Vec::with_capacity(chosen.len());
            for of_revision in chosen.chunk_by(|a, b| a.version.mark == b.version.mark) {
                let befores = entries_before(&shared, &swarm, of_revision).await?;
                for (candidate, before) in of_revision.iter().zip(befores) {
                    events.push(shared.encode.event(&candidate.version, before.as_deref(), keys_only));
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

/// Chooses what matches, revision by revision, and moves the cursor behind it. A revision that does not fit goes into the
/// next response; one that fits into none is sent in fragments. `cut`: the last candidate's revision goes on in the log.
fn select(
    cursor: &mut Cursor,
    filter: &Filter,
    candidates: Vec<Candidate>,
    cut: bool,
    bytes_max: usize,
) -> Selection {
    let mut chosen: Vec<Candidate> = Vec::new();
    let mut bytes = 0;
    let mut rest = candidates.into_iter().peekable();
    while let Some(mark) = rest.peek().map(|c| c.version.mark) {
        let (mut staged, mut staged_bytes, mut passed) = (Vec::new(), 0, 0);
        while let Some(candidate) = rest.next_if(|c| c.version.mark == mark) {
            passed = candidate.version.ordinal;
            if filter.matches(&candidate.version) {
                staged_bytes += candidate.version.weight();
                staged.push(candidate);
            }
            if staged_bytes >= bytes_max {
                break;
            }
        }
        let whole = match rest.peek() {
            Some(next) => next.version.mark != mark,
            None => !cut,
        };
        let fits = bytes + staged_bytes <= bytes_max || (whole && staged.is_empty());
        if !chosen.is_empty() && (!whole || !fits) {
            return Selection { chosen, fragment: false };
        }
        bytes += staged_bytes;
        chosen.append(&mut staged);
        if !whole {
            cursor.pass_within(mark, passed);
            let fragment = !chosen.is_empty();
            return Selection { chosen, fragment };
        }
        cursor.pass(mark);
    }
    Selection { chosen, fragment: false }
}

async fn entries_before(
    shared: &Shared,
    swarm: &SwarmId,
    of_revision: &[Candidate],
) -> Result<Vec<Option<Arc<Version>>>, Error> {
    let paths: Vec<_> = of_revision.iter().map(|c| c.version.path.clone()).collect();
    let before = Revision(of_revision[0].version.mark.revision.0 - 1);
    match shared.store.entries(swarm, &paths, At::Revision(before)).await.map_err(Error::from) {
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
            let page = shared.store.scan(swarm, &scan).await.map_err(|e| match Error::from(e) {
                Error::SwarmNotFound => Error::SwarmDeleted,
                Error::FutureRevision { .. } => Error::IncarnationChanged,
                other => other,
            })?;
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
