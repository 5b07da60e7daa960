//! Reading entries: at the newest revision, at least at a token, or exactly at a revision. What the caller may not see,
//! and what has expired, is not there.

mod listing;

use std::sync::Arc;

pub use listing::{ListQuery, Listing, NamespaceQuery, Namespaces, View};

use super::{Coordinator, Error, Shared, admitted, detached};
use crate::{
    domain::{
        Invalid,
        access::Principal,
        apply::Effect,
        entry::Version,
        namespace::EntryPath,
        position::{Arguments, Place, Position, Purpose},
        swarm::{Head, Mark, Revision, SwarmId},
    },
    store::{self, At, PageLimit},
};

/// What one answer may hold, about: the most that gRPC clients take unless they are told otherwise.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024 - 64 * 1024;
/// Entries that are read by name in one go; in between it is seen whether they still fit into one answer.
const ENTRIES_AT_ONCE: usize = 64;

/// How fresh a read must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write acknowledged before it began.
    #[default]
    Strong,
    /// Sees at least what this token saw.
    AtLeast(String),
    /// Whatever is at hand.
    StaleOk,
    /// The state at exactly this revision.
    Exact(Revision),
}

/// Something read, and the state it was read from.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// The state.
    pub position: Position,
}

/// Entries asked for by name, in that order.
type Entries = Read<Vec<Option<Arc<Version>>>>;

/// A page of versions of one entry.
#[derive(Clone, Debug)]
pub struct Versions {
    /// Newest first.
    pub versions: Vec<Arc<Version>>,
    /// Goes on with the listing.
    pub next_page_token: Option<String>,
    /// The smallest revision that can be read.
    pub floor: Revision,
}

/// As of when a read sees the swarm, and what counts as expired then.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    at: At,
    /// A state of the past is shown as the log has it.
    hides_expired: bool,
}

impl Snapshot {
    const NEWEST: Self = Self { at: At::Newest, hides_expired: true };

    /// Of a later page: what the first page showed.
    fn of_page(position: &Position, consistency: &Consistency) -> Self {
        let hides_expired = !matches!(consistency, Consistency::Exact(_));
        Self { at: At::Revision(position.mark.revision), hides_expired }
    }

    fn shows(self, shared: &Shared, head: &Head, version: &Version) -> bool {
        !self.hides_expired || version.is_live(head.now(shared.clock.now()))
    }
}

impl Coordinator {
    /// Reads entries at one state, in the order asked for.
    ///
    /// # Errors
    /// Of tokens and revisions; [`Error::AnswerTooLarge`] past 4 MiB; [`Error::NotCached`] for a stale read of what only
    /// the store knows, which does not answer. What the caller may not see is simply not there.
    pub async fn entries(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        paths: Vec<EntryPath>,
        consistency: Consistency,
    ) -> Result<Entries, Error> {
        if consistency != Consistency::StaleOk {
            return self.stored_entries(caller, swarm, paths, consistency).await;
        }
        // While the store does not answer, nobody is to wait for it who need not.
        if self.shared.trouble.reads_fail()
            && let Some(held) = held(&self.shared, caller, swarm, &paths)
        {
            return held;
        }
        unless_silent(&self.shared, &consistency)?;
        match self.stored_entries(caller, swarm, paths.clone(), consistency).await {
            Err(error) if error.is_store_trouble() => {
                held(&self.shared, caller, swarm, &paths).unwrap_or(Err(Error::NotCached))
            }
            read => read,
        }
    }

    async fn stored_entries(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        paths: Vec<EntryPath>,
        consistency: Consistency,
    ) -> Result<Entries, Error> {
        if let Some(read) = at_hand(&self.shared, caller, swarm, &paths, &consistency) {
            return Ok(read);
        }
        let (shared, swarm, scope) = (Arc::clone(&self.shared), swarm.clone(), caller.readable());
        admitted(&self.shared, async move {
            let snapshot = begin(&shared, &swarm, &consistency).await?;
            let mut position = None;
            let (mut value, mut bytes) = (Vec::with_capacity(paths.len()), 0);
            for some in paths.chunks(ENTRIES_AT_ONCE) {
                let at = position.as_ref().map_or(snapshot.at, |p: &Position| At::Revision(p.mark.revision));
                let store::Entries { head, versions } = shared.store.entries(&swarm, some, at).await?;
                if position.is_none() {
                    position = Some(position_at(&shared, &swarm, &head, snapshot).await?);
                }
                let shown =
                    |v: &Arc<Version>| scope.covers(&v.path.namespace) && snapshot.shows(&shared, &head, v);
                for version in versions {
                    let version = version.filter(shown);
                    bytes += version.as_deref().map_or(0, Version::weight);
                    value.push(version);
                }
                if bytes > ANSWER_BYTES_MAX {
                    return Err(Error::AnswerTooLarge { max: ANSWER_BYTES_MAX });
                }
            }
            let position = match position {
                Some(position) => position,
                None => {
                    position_at(&shared, &swarm, &shared.store.swarm(&swarm).await?.head, snapshot).await?
                }
            };
            Ok(Read { value, position })
        })
        .await
    }

    /// The kept versions of one entry, newest first.
    ///
    /// # Errors
    /// [`Error::EntryNotFound`] where the caller may not read, or nothing is kept.
    pub async fn history(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        path: EntryPath,
        page_size: usize,
        page_token: Option<String>,
        arguments: Arguments,
    ) -> Result<Versions, Error> {
        if !caller.readable().covers(&path.namespace) {
            return Err(Error::EntryNotFound);
        }
        let (shared, swarm) = (Arc::clone(&self.shared), swarm.clone());
        admitted(&self.shared, async move {
            let before = match &page_token {
                Some(token) => {
                    Some(open_page(&shared, &swarm, Purpose::History, token, arguments).await?.mark.revision)
                }
                None => None,
            };
            let limit = PageLimit { rows: page_size, bytes: shared.settings.limits.page_bytes_max };
            let store::Page { head, versions, more } =
                shared.store.history(&swarm, &path, before, limit).await?;
            if versions.is_empty() && before.is_none() {
                return Err(Error::EntryNotFound);
            }
            let next = versions.last().filter(|_| more).map(|v| {
                let position = Position { incarnation: head.incarnation, mark: v.mark, place: Place::After };
                shared.tokens.seal(&swarm, Purpose::History, arguments, &position)
            });
            Ok(Versions { versions, next_page_token: next, floor: head.floor.revision })
        })
        .await
    }

    /// What the reads of a repeated transaction saw when it was first done.
    ///
    /// # Errors
    /// [`Error::Compacted`] when it is not kept any more; when the store does not answer.
    pub async fn recall_effects(&self, swarm: &SwarmId, effects: Vec<Effect>) -> Result<Vec<Effect>, Error> {
        if !effects.iter().any(|e| matches!(e, Effect::GetRecorded { .. })) {
            return Ok(effects);
        }
        let (shared, swarm) = (Arc::clone(&self.shared), swarm.clone());
        // Part of a write that is done, so it is not refused.
        detached(&self.shared, async move {
            let mut recalled = Vec::with_capacity(effects.len());
            for effect in effects {
                recalled.push(match effect {
                    Effect::GetRecorded { path, revision: Some(revision) } => {
                        Effect::Get(version_of(&shared, &swarm, &path, revision).await?)
                    }
                    Effect::GetRecorded { revision: None, .. } => Effect::Get(None),
                    other => other,
                });
            }
            Ok(recalled)
        })
        .await
    }
}

async fn version_of(
    shared: &Shared,
    swarm: &SwarmId,
    path: &EntryPath,
    revision: Revision,
) -> Result<Option<Arc<Version>>, Error> {
    let one = PageLimit { rows: 1, bytes: 1 };
    let page = shared.store.history(swarm, path, Some(revision.next()), one).await?;
    match page.versions.into_iter().next() {
        Some(version) if version.mark.revision == revision => Ok(Some(version)),
        _ => Err(Error::Compacted { floor: page.head.floor.revision }),
    }
}

/// One entry as it is now, if the store need not be waited for.
fn at_hand(
    shared: &Shared,
    caller: &Principal,
    swarm: &SwarmId,
    paths: &[EntryPath],
    consistency: &Consistency,
) -> Option<Entries> {
    let ([path], Consistency::Strong | Consistency::StaleOk) = (paths, consistency) else { return None };
    let (head, version) = shared.store.at_hand(swarm, path)?;
    let visible =
        caller.readable().covers(&path.namespace) && Snapshot::NEWEST.shows(shared, &head, &version);
    Some(Read {
        value: vec![visible.then_some(version)],
        position: Position::after(head.incarnation, head.mark),
    })
}

/// Entries as they were last heard of, if all are in the ring of a feed.
fn held(
    shared: &Shared,
    caller: &Principal,
    swarm: &SwarmId,
    paths: &[EntryPath],
) -> Option<Result<Entries, Error>> {
    let (position, versions) = shared.feeds.get(swarm)?.held(paths)?;
    let (scope, clock) = (caller.readable(), shared.clock.now());
    let shown = |v: &Arc<Version>| scope.covers(&v.path.namespace) && v.is_live(clock.max(v.time));
    let value: Vec<_> = versions.into_iter().map(|version| Some(version).filter(shown)).collect();
    let bytes: usize = value.iter().flatten().map(|version| version.weight()).sum();
    Some(match bytes > ANSWER_BYTES_MAX {
        true => Err(Error::AnswerTooLarge { max: ANSWER_BYTES_MAX }),
        false => Ok(Read { value, position }),
    })
}

/// A stale read that only the store could answer does not wait for one that is known to say nothing.
fn unless_silent(shared: &Shared, consistency: &Consistency) -> Result<(), Error> {
    match *consistency == Consistency::StaleOk && shared.trouble.is_silent() {
        true => Err(Error::NotCached),
        false => Ok(()),
    }
}

/// What a read came to: a stale one that only the store could have answered was not cached.
fn unless_cached<T>(read: Result<T, Error>, consistency: &Consistency) -> Result<T, Error> {
    match read {
        Err(error) if *consistency == Consistency::StaleOk && error.is_store_trouble() => {
            Err(Error::NotCached)
        }
        read => read,
    }
}

/// Settles as of when a read sees the swarm, and holds a token against its history.
async fn begin(shared: &Shared, swarm: &SwarmId, consistency: &Consistency) -> Result<Snapshot, Error> {
    match consistency {
        // A store is read at its newest revision in any case; what is merely at hand comes with mirrors.
        Consistency::Strong | Consistency::StaleOk => Ok(Snapshot::NEWEST),
        Consistency::Exact(revision) => Ok(Snapshot { at: At::Revision(*revision), hides_expired: false }),
        Consistency::AtLeast(token) => {
            let (position, _) =
                shared.tokens.open(swarm, Purpose::Position, token).map_err(|e| e.within("consistency"))?;
            match verify(shared, swarm, &position).await {
                // Below the floor there is nothing left to compare with, and the newest state is past it for certain.
                Err(Error::Compacted { .. }) | Ok(()) => Ok(Snapshot::NEWEST),
                Err(error) => Err(error),
            }
        }
    }
}

/// Whether a position belongs to the swarm's history. [`Error::Compacted`] when it is below the floor.
pub(super) async fn verify(shared: &Shared, swarm: &SwarmId, position: &Position) -> Result<(), Error> {
    match shared.store.mark_at(swarm, position.mark.revision).await {
        Ok((head, mark)) if head.incarnation == position.incarnation && mark == position.mark => Ok(()),
        Ok(_) | Err(store::Error::Future { .. }) => Err(Error::IncarnationChanged),
        Err(store::Error::Compacted { floor }) => {
            let swarm = shared.store.swarm(swarm).await?;
            let same = swarm.head.incarnation == position.incarnation;
            Err(if same { Error::Compacted { floor } } else { Error::IncarnationChanged })
        }
        Err(error) => Err(error.into()),
    }
}

async fn open_page(
    shared: &Shared,
    swarm: &SwarmId,
    purpose: Purpose,
    token: &str,
    arguments: Arguments,
) -> Result<Position, Error> {
    let (position, given) = shared.tokens.open(swarm, purpose, token).map_err(|_| bad_page_token())?;
    if given != arguments {
        let problem =
            "belongs to a call with other arguments; only page_size and how fresh may change between pages";
        return Err(Invalid::new("page_token", problem).into());
    }
    match verify(shared, swarm, &position).await {
        // A page of versions goes on below the floor with what is kept there.
        Err(Error::Compacted { .. }) if purpose == Purpose::History => Ok(position),
        Err(error) => Err(error),
        Ok(()) => Ok(position),
    }
}

fn bad_page_token() -> Error {
    Invalid::new("page_token", "is not a page token that this call gave out").into()
}

/// The position of the state that was read.
async fn position_at(
    shared: &Shared,
    swarm: &SwarmId,
    head: &Head,
    snapshot: Snapshot,
) -> Result<Position, Error> {
    let mark: Mark = match snapshot.at {
        At::Revision(revision) if revision != head.mark.revision => {
            shared.store.mark_at(swarm, revision).await?.1
        }
        _ => head.mark,
    };
    Ok(Position::after(head.incarnation, mark))
}
