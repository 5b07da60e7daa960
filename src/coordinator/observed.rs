//! A store that is watched: every call goes through, and what it came to is told to [`Trouble`]. So nobody who calls
//! the store has to think of reporting its failures. Changes nothing.

use std::sync::Arc;

use async_trait::async_trait;

use super::trouble::{Said, Trouble};
use crate::{
    domain::{
        apply::Applied,
        entry::Version,
        namespace::EntryPath,
        position::TokenKey,
        swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
        time::Timestamp,
    },
    metrics::{Metrics, Phase, Went},
    store::{
        At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Phases, Pool, Scan,
        ScanPage, Store,
    },
};

pub(super) struct Observed {
    inner: Arc<dyn Store>,
    trouble: Arc<Trouble>,
    metrics: Arc<Metrics>,
}

impl Observed {
    pub fn new(inner: Arc<dyn Store>, trouble: Arc<Trouble>, metrics: Arc<Metrics>) -> Self {
        Self { inner, trouble, metrics }
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let result = call.await;
        self.trouble.read(result.as_ref().err());
        result
    }

    fn measure(&self, batch: &Batch, result: &Result<Applied, CommitError>) {
        self.metrics.commit(batch.requests.len(), Went::of(result));
        let Ok(Applied { commit: Some(_), .. }) = result else { return };
        let Phases { lock, load, apply, persist, commit } = batch.progress.phases();
        for (phase, took) in [
            (Phase::Lock, lock),
            (Phase::Load, load),
            (Phase::Apply, apply),
            (Phase::Persist, persist),
            (Phase::Commit, commit),
        ] {
            self.metrics.phase(phase, took);
        }
    }

    /// A write that somebody asked for; `good` is what its success says.
    async fn write<T>(
        &self,
        good: Said<'static>,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let in_flight = self.trouble.write_begins();
        let result = call.await;
        drop(in_flight);
        self.trouble.written(result.as_ref().err().map_or(good, Said::Bad));
        result
    }
}

#[async_trait]
impl Store for Observed {
    async fn token_key(&self) -> Result<TokenKey, Error> {
        self.read(self.inner.token_key()).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read(self.inner.ping()).await
    }

    async fn ping_write(&self) -> Result<(), Error> {
        let in_flight = self.trouble.write_begins();
        let result = self.inner.ping_write().await;
        drop(in_flight);
        self.trouble.probed(result.as_ref().err().map_or(Said::Good, Said::Bad));
        result
    }

    fn pool(&self) -> Pool {
        self.inner.pool()
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        self.write(Said::Good, self.inner.create_swarm(id, retention)).await
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        self.read(self.inner.swarm(id)).await
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        self.read(self.inner.list_swarms(after, limit)).await
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        self.write(Said::Good, self.inner.delete_swarm(id)).await
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        self.read(self.inner.heads(ids)).await
    }

    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        let in_flight = self.trouble.write_begins();
        let result = self.inner.commit(id, batch).await;
        drop(in_flight);
        self.measure(batch, &result);
        self.trouble.written(match &result {
            Ok(applied) if applied.commit.is_some() => Said::Good,
            Ok(_) => Said::Nothing,
            Err(CommitError::Failed(error)) => Said::Bad(error),
            Err(CommitError::Unknown { cause, .. }) => Said::Unknown(cause),
        });
        result
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        let in_flight = self.trouble.write_begins();
        let result = self.inner.is_committed(id, nonce, after).await;
        drop(in_flight);
        self.trouble.probed(result.as_ref().err().map_or(Said::Good, Said::Bad));
        result
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        self.read(self.inner.mark_at(id, revision)).await
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        self.read(self.inner.log(id, after, limit)).await
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        self.read(self.inner.entries(id, paths, at)).await
    }

    fn at_hand(&self, id: &SwarmId, path: &EntryPath) -> Option<(Head, Arc<Version>)> {
        self.inner.at_hand(id, path)
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        self.read(self.inner.scan(id, scan)).await
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        self.read(self.inner.history(id, path, before, limit)).await
    }

    // There may be nothing to remove, and then nothing is written.

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        self.write(Said::Nothing, self.inner.compact(id, floor, rows_max)).await
    }

    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error> {
        self.write(Said::Nothing, self.inner.purge(clock, rows_max)).await
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        self.read(self.inner.expiring(clock, after, limit)).await
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        self.read(self.inner.expired(id, clock, limit)).await
    }
}
