//! What ends by itself: entries whose time ran out become ordinary committed deletes, and the log is compacted behind
//! its retention. Knows nothing of who reads.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Shared, error::Error, lane};
use crate::{
    domain::{
        access::{Principal, Role},
        limits::Limits,
        namespace::AgentId,
        request::{Operation, Request},
        swarm::{Head, Revision, Swarm, SwarmId},
        time::Timestamp,
    },
    store::{LogCursor, PageLimit, Store},
};

/// How often and how much.
#[derive(Clone, Copy, Debug)]
pub struct LifetimeSettings {
    /// How often due entries are looked for.
    pub expiry_interval: Duration,
    /// Entries that expire in one revision.
    pub expiry_entries_max: usize,
    /// How often the logs are compacted.
    pub compaction_interval: Duration,
    /// Rows that one transaction of a compaction removes, about.
    pub compaction_rows_max: usize,
}

/// Swarms that one round looks at in one statement.
const SWARMS_PAGE: usize = 100;
/// How long an expiry may wait in a lane.
const LANE_PATIENCE: Duration = Duration::from_secs(10);

/// Lets entries expire until the coordinator shuts down.
pub(super) async fn expire(shared: Arc<Shared>) {
    while pause(&shared, shared.settings.lifetime.expiry_interval).await {
        report("expiry", expire_due(&shared).await);
    }
}

/// Compacts logs until the coordinator shuts down.
pub(super) async fn compact(shared: Arc<Shared>) {
    while pause(&shared, shared.settings.lifetime.compaction_interval).await {
        report("compaction", compact_all(&shared).await);
    }
}

/// Waits; false when the coordinator shuts down.
async fn pause(shared: &Shared, interval: Duration) -> bool {
    tokio::select! {
        () = sleep(interval) => true,
        () = shared.lifecycle.soft.cancelled() => false,
    }
}

/// A failure is logged, and the next round tries again.
fn report(work: &str, result: Result<(), Error>) {
    match result {
        // A swarm that was deleted in the meantime is nothing to speak of.
        Ok(()) | Err(Error::SwarmNotFound) => {}
        // The store's troubles are spoken of elsewhere, and not each time.
        Err(error) if error.is_store_trouble() || matches!(error, Error::Corrupt | Error::OutcomeUnknown) => {
            tracing::debug!(%error, "{work} did not finish; the next round goes on");
        }
        Err(error) => tracing::warn!(%error, "{work} did not finish; the next round goes on"),
    }
}

async fn expire_due(shared: &Arc<Shared>) -> Result<(), Error> {
    let mut after: Option<SwarmId> = None;
    loop {
        let page = shared.store.expiring(shared.clock.now(), after.as_ref(), SWARMS_PAGE).await?;
        for swarm in &page {
            // One swarm's failure is not another's.
            report("expiry", expire_swarm(shared, swarm).await);
        }
        match page.into_iter().nth(SWARMS_PAGE - 1) {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

async fn compact_all(shared: &Shared) -> Result<(), Error> {
    let mut after: Option<SwarmId> = None;
    loop {
        let page = shared.store.list_swarms(after.as_ref(), SWARMS_PAGE).await?;
        for swarm in &page {
            // One swarm's failure is not another's.
            report("compaction", compact_swarm(shared, swarm).await);
        }
        match page.into_iter().nth(SWARMS_PAGE - 1) {
            Some(last) => after = Some(last.id),
            None => break,
        }
    }
    while shared.store.purge(shared.clock.now(), shared.settings.lifetime.compaction_rows_max).await? {}
    Ok(())
}

async fn expire_swarm(shared: &Arc<Shared>, swarm: &SwarmId) -> Result<(), Error> {
    let most = shared.settings.lifetime.expiry_entries_max.clamp(1, Limits::default().operations_max);
    loop {
        let due = shared.store.expired(swarm, shared.clock.now(), most).await?;
        let all = due.len() < most;
        if due.is_empty() {
            return Ok(());
        }
        let operations = due.into_iter().map(|path| Operation::Expire { path }).collect();
        // The author of an expiry is the author of what expired; this name only decides whose turn it is in the lane.
        let caller = Principal { agent: AgentId::trusted("expiry"), role: Role::Orchestrator };
        let request = Request::write(caller.agent.clone(), None, operations, &Limits::default())?;
        let deadline = Instant::now() + LANE_PATIENCE;
        let writing = lane::submit(shared, swarm, Arc::new(request), deadline, &caller)?;
        let written = lane::finish(writing, deadline).await?;
        // Where the store's clock is behind ours nothing was due after all: the next round will see it.
        if all || written.outcome.taken.is_none() {
            return Ok(());
        }
    }
}

async fn compact_swarm(shared: &Shared, swarm: &Swarm) -> Result<(), Error> {
    let head = &swarm.head;
    let by_count = Revision(head.mark.revision.0.saturating_sub(swarm.retention.revisions));
    if by_count <= head.floor.revision {
        return finish(shared, swarm, head.floor.revision).await;
    }
    let keep_from = head.now(shared.clock.now()).minus(swarm.retention.age);
    let kept = first_revision_since(&*shared.store, &swarm.id, head, keep_from).await?;
    let floor = by_count.min(Revision(kept.0.saturating_sub(1))).max(head.floor.revision);
    finish(shared, swarm, floor).await
}

/// Compacts up to `floor`. Where that is done already the swarm is not touched: most rest, most of the time.
async fn finish(shared: &Shared, swarm: &Swarm, floor: Revision) -> Result<(), Error> {
    if floor <= swarm.compacted {
        return Ok(());
    }
    let swarm = &swarm.id;
    let rows_max = shared.settings.lifetime.compaction_rows_max;
    loop {
        let done = shared.store.compact(swarm, floor, rows_max).await?;
        if done.removed > 0 {
            tracing::debug!(swarm.id = %swarm, floor = done.floor.revision.0, removed = done.removed, "compacted");
        }
        if !done.more {
            return Ok(());
        }
    }
}

/// The first kept revision that was committed at or after `time`; the one after the newest if there is none.
///
/// Times never run back in a log, so it is found by bisection.
pub(super) async fn first_revision_since(
    store: &dyn Store,
    swarm: &SwarmId,
    head: &Head,
    time: Timestamp,
) -> Result<Revision, Error> {
    let (mut low, mut high) = (head.floor.revision.next(), head.mark.revision.next());
    while low < high {
        let middle = Revision(low.0 + (high.0 - low.0) / 2);
        let before = LogCursor::after(Revision(middle.0 - 1));
        let page = store.log(swarm, before, PageLimit { rows: 1, bytes: 1 }).await?;
        if page.versions.first().is_some_and(|v| v.time < time) {
            low = middle.next();
        } else {
            high = middle;
        }
    }
    Ok(low)
}
