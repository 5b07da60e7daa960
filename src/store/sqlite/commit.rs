//! Commits, from the lock to the outcome: those that wait share one transaction. Knows neither how rows look nor what a
//! request means.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    affected,
    identity::Identity,
    load, persist,
    recent::Recent,
    rows::signed,
    swarms,
    writer::{Failure, Seat, Verdict},
};
use crate::{
    domain::{
        apply::Applied,
        swarm::{Nonce, Revision, SwarmId},
        time::Clock,
    },
    store::{Batch, CommitError, Error},
};

/// Commits in one transaction at most,
const GROUP_MAX: usize = 128;
/// and no further one once their requests weigh so much: the first must not wait long for the last.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a commit came to.
pub(super) type Committed = Result<Applied, CommitError>;
/// Who is told.
pub(super) type Reply = oneshot::Sender<Committed>;

/// A commit that waits.
pub(super) struct Pending {
    pub swarm: SwarmId,
    pub batch: Batch,
    pub reply: Reply,
}

/// Commits that share a transaction. No two are of one swarm, as a rule, since a lane has one at a time; nothing depends on
/// that.
pub(super) struct Group {
    commits: Vec<Pending>,
    bytes: usize,
}

impl Group {
    pub fn of(first: Pending) -> Self {
        let mut group = Self { commits: Vec::new(), bytes: 0 };
        group.add(first);
        group
    }

    pub fn add(&mut self, pending: Pending) {
        self.bytes += pending.batch.requests.iter().map(|request| request.weight()).sum::<usize>();
        self.commits.push(pending);
    }

    pub fn is_full(&self) -> bool {
        self.commits.len() >= GROUP_MAX || self.bytes >= GROUP_BYTES_MAX
    }
}

/// What every commit needs.
pub(super) struct Committer {
    pub clock: Arc<dyn Clock>,
    pub recent: Arc<Recent>,
    pub identity: Arc<Identity>,
}

impl Committer {
    /// Commits all of a group. Where something fails within their transaction, each is tried alone, so that none
    /// fails for what another's rows met.
    pub fn commit(&self, seat: &mut Seat, group: Group) {
        let mut commits = group.commits;
        let is_alone = commits.len() == 1;
        match self.attempt(seat, &mut commits) {
            Ok(came) => self.answer(commits, came.into_iter().map(|came| came.map_err(CommitError::from))),
            Err(Failed { failure: Failure::Within(_), .. }) if !is_alone => {
                commits.into_iter().for_each(|alone| self.commit(seat, Group::of(alone)));
            }
            Err(Failed { failure, came }) => self.answer(commits, failed(failure, came)),
        }
    }

    fn attempt(
        &self,
        seat: &mut Seat,
        commits: &mut [Pending],
    ) -> Result<Vec<Result<Applied, Error>>, Failed> {
        let mut came = Vec::with_capacity(commits.len());
        let done = self.identity.check().map_err(Failure::NotBegun).and_then(|()| {
            seat.transact(|connection| {
                for Pending { swarm, batch, .. } in commits.iter() {
                    came.push(match apply(connection, &*self.clock, swarm, batch) {
                        Err(Error::SwarmNotFound) => Err(Error::SwarmNotFound),
                        applied => Ok(applied?),
                    });
                }
                #[cfg(debug_assertions)]
                if super::seeded_bug::acknowledges_before_commit() {
                    super::seeded_bug::acknowledge(commits, &came);
                }
                let changed = came.iter().flatten().any(|applied| applied.commit.is_some());
                Ok(if changed { Verdict::Commit(()) } else { Verdict::Rollback(()) })
            })
        });
        // Before anything is acknowledged: a commit to a file that nobody can open again is none.
        match done.and_then(|()| self.identity.check().map_err(Failure::AtCommit)) {
            Ok(()) => Ok(came),
            Err(failure) => Err(Failed { failure, came }),
        }
    }

    fn answer(&self, commits: Vec<Pending>, came: impl IntoIterator<Item = Committed>) {
        for (Pending { swarm, reply, .. }, came) in commits.into_iter().zip(came) {
            match &came {
                Ok(applied) => self.recent.follow(&swarm, applied),
                Err(_) => self.recent.forget(),
            }
            // Nobody may wait any more; what was committed stays committed.
            drop(reply.send(came));
        }
    }
}

/// A transaction that came to nothing, and what its commits would have come to, as far as they went.
struct Failed {
    failure: Failure,
    came: Vec<Result<Applied, Error>>,
}

/// What a failure means to each of a group.
fn failed(failure: Failure, came: Vec<Result<Applied, Error>>) -> Box<dyn Iterator<Item = Committed>> {
    match failure {
        Failure::Unknown(cause) => Box::new(came.into_iter().map(move |came| {
            let cause = cause.to_string().into();
            Err(match came {
                // Nothing was to be written for it, but what it looked at may not last.
                Ok(applied) if applied.commit.is_none() => CommitError::Failed(Error::Unavailable(cause)),
                Ok(applied) => CommitError::Unknown { applied: Box::new(applied), cause },
                Err(error) => CommitError::Failed(error),
            })
        })),
        known => {
            let error = Error::from(known);
            Box::new(std::iter::repeat_with(move || Err(CommitError::Failed(error.again()))))
        }
    }
}

fn apply(connection: &Connection, clock: &dyn Clock, id: &SwarmId, batch: &Batch) -> Result<Applied, Error> {
    let swarm = swarms::find(connection, id)?;
    let head = swarm.head()?;
    batch.progress.locked();
    let loaded = load::footprint(connection, swarm.swarm_id, head, &batch.footprint())?;
    let applied = batch.apply(loaded, clock.now());
    if applied.commit.is_some() {
        persist::persist(connection, swarm.swarm_id, head.mark.revision, &applied)?;
        batch.progress.persisted();
    }
    Ok(applied)
}

pub(super) fn is_committed(
    connection: &Connection,
    id: &SwarmId,
    nonce: Nonce,
    after: Revision,
) -> Result<Verdict<bool>, Error> {
    let swarm = swarms::find(connection, id)?;
    let found = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM log WHERE swarm_id = ?1 AND revision > ?2 AND nonce = ?3)",
        )?
        .query_row((swarm.swarm_id, signed(after.0), nonce.0), |row| row.get(0))?;
    // A "no" has to stay one: a commit of our own overwrites what the failed one may have left in the write-ahead log.
    settle(connection)?;
    Ok(Verdict::Commit(found))
}

/// Makes a change that nobody sees.
pub(super) fn settle(connection: &Connection) -> Result<(), Error> {
    let settled =
        connection.prepare_cached("UPDATE settlements SET settled = settled + 1 WHERE id = 1")?.execute([])?;
    affected(settled, 1)
}
