//! A swarm's lane: one task that commits what is waiting, batch after batch. While one commit is in flight the next
//! batch gathers; only behind a slow commit the lane waits a little for those it has just answered (ADR 11). Knows the
//! store's contract, no backend.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

use super::{
    Shared,
    error::Error,
    queue::{LaneLimits, Pending, Queue, Ticket},
};
use crate::{
    domain::{
        access::Principal,
        apply::{Applied, Outcome},
        request::Request,
        swarm::{Incarnation, Mark, Nonce, Revision, SwarmId},
    },
    metrics::Phase,
    store::{self, Batch, CommitError},
};

/// How long to wait before a full lane is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Behind a commit the lane waits at most for this part of the time that the commit took,
const GATHER_SHARE: u32 = 4;
/// not at all if that is less than the timer can tell,
const GATHER_MIN: Duration = Duration::from_millis(1);
/// and never longer than this.
const GATHER_MAX: Duration = Duration::from_millis(5);
/// After so many commits it is tried again at the latest, even if nobody ever came.
const GATHER_VAIN_MAX: u32 = 63;
/// Where processors are scarce, requests wait in sockets and not in the lane. So often others may run before the next
/// batch is taken; with nobody to run it costs some microseconds.
const YIELDS: usize = 8;
/// First and last pause between questions about an unknown outcome.
const RESOLVE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A request that was committed, or decided without a change.
#[derive(Clone, Debug)]
pub struct Written {
    /// What it came to.
    pub outcome: Outcome,
    /// The swarm's history.
    pub incarnation: Incarnation,
    /// A state that includes it.
    pub mark: Mark,
}

/// Where requests of one swarm wait.
pub(super) struct Lane {
    swarm: SwarmId,
    state: Mutex<State>,
    arrived: Notify,
}

/// While the task is at work, nothing has to wake it: it looks at the queue before it sleeps.
const BUSY: usize = usize::MAX;

struct State {
    queue: Queue,
    /// How many requests must wait before the task is woken: it sleeps through the others.
    wanted: usize,
    /// The task is gone; requests need a new lane.
    closed: bool,
}

impl Lane {
    fn new(swarm: SwarmId, limits: LaneLimits) -> Self {
        let state = Mutex::new(State { queue: Queue::new(limits), wanted: BUSY, closed: false });
        Self { swarm, state, arrived: Notify::new() }
    }

    /// Answers those whose commit has not begun that the store is unavailable.
    fn refuse_waiting(&self) {
        let waiting = self.state().queue.clear();
        waiting.into_iter().for_each(|p| drop(p.reply.send(Err(Error::Unavailable))));
    }

    /// Asks to be woken once so many requests wait; false if they do already.
    fn wants(&self, requests: impl FnOnce(usize) -> usize) -> bool {
        let mut state = self.state();
        let waiting = state.queue.len();
        let wanted = requests(waiting);
        if waiting < wanted {
            state.wanted = wanted;
        }
        waiting < wanted
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// A request on its swarm's lane: a future of what it came to, without a timer of its own. Dropping it withdraws the
/// request if its commit has not begun; it never disturbs the lane.
#[derive(Debug)]
pub struct Writing {
    answer: oneshot::Receiver<Result<Written, Error>>,
    ticket: Arc<Ticket>,
    /// Whoever waits: what it may not read is not shown to it.
    caller: Principal,
}

impl Writing {
    /// Why there is no answer, for a caller that stops waiting for `reason`: that, if the request could still be
    /// withdrawn, or else that its outcome is unknown.
    #[must_use]
    pub fn give_up(&self, reason: Error) -> Error {
        if self.ticket.withdraw() { reason } else { Error::OutcomeUnknown }
    }
}

impl Future for Writing {
    type Output = Result<Written, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(match answer {
            Ok(Err(Error::ConditionFailed { path, current })) => {
                let readable = self.caller.readable();
                let current = current.filter(|_| readable.covers(&path.namespace));
                Err(Error::ConditionFailed { path, current })
            }
            Ok(result) => result,
            // The lane's task went away: only a hard shutdown does that, or a panic.
            Err(_) => Err(self.give_up(Error::Unavailable)),
        })
    }
}

/// Waits for what a request came to, no longer than until `deadline`.
pub(super) async fn finish(mut writing: Writing, deadline: Instant) -> Result<Written, Error> {
    match timeout_at(deadline, &mut writing).await {
        Ok(result) => result,
        Err(_) => Err(writing.give_up(Error::DeadlineExceeded)),
    }
}

/// Puts a request on its swarm's lane, which drops it at `deadline` if its commit has not begun by then.
pub(super) fn submit(
    shared: &Arc<Shared>,
    swarm: &SwarmId,
    request: Arc<Request>,
    deadline: Instant,
    caller: &Principal,
) -> Result<Writing, Error> {
    // Held until the request is answered or withdrawn and nobody waits for it any more.
    let permit = shared.in_flight.take(request.weight() + request.load_bytes_max())?;
    let (reply, answer) = oneshot::channel();
    let ticket = Arc::new(Ticket::new(permit));
    let pending = Pending { request, since: Instant::now(), deadline, ticket: Arc::clone(&ticket), reply };
    enqueue(shared, swarm, pending)?;
    Ok(Writing { answer, ticket, caller: caller.clone() })
}

fn enqueue(shared: &Arc<Shared>, swarm: &SwarmId, pending: Pending) -> Result<(), Error> {
    loop {
        if shared.lifecycle.hard.is_cancelled() {
            return Err(Error::Draining);
        }
        let lane = lane(shared, swarm);
        let mut state = lane.state();
        if state.closed {
            drop(state);
            forget(shared, &lane);
            continue;
        }
        if state.queue.push(pending).is_err() {
            return Err(Error::Overloaded { retry_after: RETRY_AFTER });
        }
        let wakes = state.queue.len() >= state.wanted;
        drop(state);
        if wakes {
            lane.arrived.notify_one();
        }
        return Ok(());
    }
}

fn lane(shared: &Arc<Shared>, swarm: &SwarmId) -> Arc<Lane> {
    if let Some(lane) = shared.lanes.get(swarm) {
        return Arc::clone(&lane);
    }
    let lane = shared.lanes.entry(swarm.clone()).or_insert_with(|| {
        let lane = Arc::new(Lane::new(swarm.clone(), shared.settings.lanes));
        shared.lifecycle.spawn("lane", run(Arc::clone(shared), Arc::clone(&lane)));
        lane
    });
    Arc::clone(&lane)
}

fn forget(shared: &Shared, lane: &Arc<Lane>) {
    shared.lanes.remove_if(&lane.swarm, |_, current| Arc::ptr_eq(current, lane));
}

/// Closes the lane however its task ends, so that no request waits in a lane that nobody serves.
struct Close {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

impl Drop for Close {
    fn drop(&mut self) {
        forget(&self.shared, &self.lane);
        let mut state = self.lane.state();
        state.closed = true;
        // Those who wait learn that nothing was begun.
        let waiting = state.queue.clear();
        drop(state);
        drop(waiting);
    }
}

async fn run(shared: Arc<Shared>, lane: Arc<Lane>) {
    let _close = Close { shared: Arc::clone(&shared), lane: Arc::clone(&lane) };
    let mut gathering = Gathering::default();
    loop {
        let batch = lane.state().queue.take(Instant::now());
        if !batch.is_empty() {
            let (answered, begun) = (batch.len(), Instant::now());
            commit(&shared, &lane, batch).await;
            gathering.gather(&shared, &lane, answered, begun.elapsed()).await;
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
        } else if wait(&shared, &lane).await == Next::End {
            return;
        }
    }
}

/// The wait behind a slow commit.
#[derive(Default)]
struct Gathering {
    /// So many commits more are not waited behind,
    skipped: u32,
    /// because so many would have been waited behind in vain.
    vain: u32,
}

impl Gathering {
    /// Behind a commit that took long, waits a little for those who were just answered, so that they share the next
    /// commit with those who came meanwhile. Without it clients that write one after the other fall into two groups
    /// that take turns, each waiting for the other's sync. Where they do not come back, it is tried ever more rarely.
    async fn gather(&mut self, shared: &Shared, lane: &Lane, answered: usize, took: Duration) {
        let patience = (took / GATHER_SHARE).min(GATHER_MAX);
        if patience < GATHER_MIN {
            return;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        let most = shared.settings.lanes.batch_requests_max;
        if !lane.wants(|waiting| (waiting + answered).min(most)) {
            return;
        }
        let came = timeout(patience, lane.arrived.notified()).await.is_ok();
        lane.state().wanted = BUSY;
        self.vain = if came { 0 } else { (self.vain * 2 + 1).min(GATHER_VAIN_MAX) };
        self.skipped = self.vain;
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// Waits for requests; ends the lane when none came for long, or when the coordinator shuts down.
async fn wait(shared: &Shared, lane: &Lane) -> Next {
    if !lane.wants(|_| 1) {
        return Next::GoOn;
    }
    tokio::select! {
        biased;
        waited = timeout(shared.settings.lane_idle, lane.arrived.notified()) => {
            if waited.is_ok() {
                lane.state().wanted = BUSY;
                return Next::GoOn;
            }
        }
        () = shared.lifecycle.soft.cancelled() => {}
    }
    let mut state = lane.state();
    state.wanted = BUSY;
    state.closed = state.queue.is_empty();
    if state.closed { Next::End } else { Next::GoOn }
}

async fn commit(shared: &Arc<Shared>, lane: &Lane, batch: Vec<Pending>) {
    let swarm = &lane.swarm;
    let taken = Instant::now();
    batch.iter().for_each(|p| shared.metrics.phase(Phase::Queue, taken.duration_since(p.since)));
    let requests = batch.iter().map(|p| Arc::clone(&p.request)).collect();
    let nonce = Nonce(Uuid::new_v4().into_bytes());
    let attempt = Batch::new(requests, nonce, shared.settings.limits);
    let result = match shared.store.commit(swarm, &attempt).await {
        Err(CommitError::Unknown { applied, .. }) => resolve(shared, lane, taken, nonce, *applied).await,
        Err(CommitError::Failed(error)) => {
            let error = Error::from(error);
            // Whoever waits already would wait as long a second time.
            if error.is_store_trouble() && taken.elapsed() >= shared.settings.store_timeout {
                lane.refuse_waiting();
            }
            Err(error)
        }
        Ok(applied) => Ok(applied),
    };
    match result {
        Ok(applied) => announce(shared, swarm, applied, batch),
        Err(error) => batch.into_iter().for_each(|p| drop(p.reply.send(Err(error.clone())))),
    }
}

/// Feeds, answers, publishes: in this order, and nothing of it can undo the commit.
fn announce(shared: &Arc<Shared>, swarm: &SwarmId, applied: Applied, batch: Vec<Pending>) {
    let Applied { head, commit, answers, .. } = applied;
    let commit = commit.map(Arc::new);
    if let (Some(commit), Some(feed)) = (&commit, shared.feeds.get(swarm)) {
        feed.offer(commit);
    }
    for (pending, answer) in batch.into_iter().zip(answers) {
        let written = answer.map_err(Error::from).map(|outcome| Written {
            mark: outcome.taken.unwrap_or(head.mark),
            incarnation: head.incarnation,
            outcome,
        });
        // Nobody may wait any more; what was committed stays committed.
        let _ = pending.reply.send(written);
    }
    if let Some(commit) = &commit {
        let begun = std::time::Instant::now();
        shared.bus.publish(swarm, commit);
        shared.metrics.phase(Phase::Publish, begun.elapsed());
    }
}

/// Finds out whether a commit that was begun at `begun` happened, by its nonce under the swarm's lock. Does not give up before the process ends:
/// until it is known, nothing else may be committed, and after a while nobody else is kept waiting.
async fn resolve(
    shared: &Shared,
    lane: &Lane,
    begun: Instant,
    nonce: Nonce,
    applied: Applied,
) -> Result<Applied, Error> {
    let after = applied.commit.as_ref().map_or(Revision::ZERO, |c| c.prev.revision);
    let (mut pause, longest) = RESOLVE_PAUSE;
    loop {
        if begun.elapsed() >= shared.settings.store_timeout {
            lane.refuse_waiting();
        }
        match shared.store.is_committed(&lane.swarm, nonce, after).await {
            Ok(true) => return Ok(applied),
            Ok(false) => return Err(Error::Unavailable),
            // Deleted in the meantime, with whatever was committed.
            Err(store::Error::SwarmNotFound) => return Err(Error::SwarmNotFound),
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(longest),
            () = shared.lifecycle.hard.cancelled() => return Err(Error::OutcomeUnknown),
        }
    }
}
