//! What the store's failures add up to: whether it counts as down, and what the process's log says of it. A failing
//! disk fails every call, and is worth a line when it begins, one now and then, and one when it is over. Knows of
//! stores only their errors.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::store;

/// How often a trouble that goes on is spoken of.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);
/// After a failure it takes so long without another until a success counts as the end of the trouble.
const QUIET: Duration = Duration::from_secs(3);
/// A store whose writes do not end for so long is stuck.
const STUCK: Duration = Duration::from_secs(1);
/// A store that failed, and has answered nothing for so long, is not waited for by those who need not. It is asked more
/// often than that, whether anybody reads or not.
const SILENT: Duration = Duration::from_millis(1500);

/// The state of a store's health, as its calls show it.
pub(super) struct Trouble {
    state: Mutex<State>,
    /// Whether reads are in trouble; for the many calls that have nothing to tell.
    reads_fail: AtomicBool,
    begun: Instant,
    /// When a read was last answered, in nanoseconds since it begun.
    answered_ns: AtomicU64,
}

struct State {
    reads: Episode,
    writes: Episode,
    corrupt: Reminder,
    in_flight: usize,
    /// When a write last ended, or began while no other was in flight.
    moved: Instant,
    /// Of the writes since the last look, the first failure,
    failed: Option<Instant>,
    /// and whether one succeeded.
    done: bool,
    writes_failing_since: Option<Instant>,
}

/// How writes are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Nothing speaks against them.
    Fine,
    /// They failed not long ago, and nobody has tried since.
    Suspect,
    /// They fail, or do not end, since then.
    Failing(Instant),
}

/// What a finished write says about the store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'e> {
    /// It takes writes.
    Good,
    /// Nothing: it did not come to the point of writing.
    Nothing,
    /// It failed.
    Bad(&'e store::Error),
    /// It failed, and nobody knows yet whether it was done.
    Unknown(&'e store::Cause),
}

/// A write in flight; dropped when it ends, in whatever way.
pub(super) struct InFlight<'t>(&'t Trouble);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.moved = Instant::now();
    }
}

impl Trouble {
    pub fn new() -> Self {
        let state = State {
            reads: Episode::new("reads"),
            writes: Episode::new("writes"),
            corrupt: Reminder::default(),
            in_flight: 0,
            moved: Instant::now(),
            failed: None,
            done: false,
            writes_failing_since: None,
        };
        let (reads_fail, answered_ns) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { state: Mutex::new(state), reads_fail, begun: Instant::now(), answered_ns }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// A write begins.
    pub fn write_begins(&self) -> InFlight<'_> {
        let mut state = self.state();
        if state.in_flight == 0 {
            state.moved = Instant::now();
        }
        state.in_flight += 1;
        InFlight(self)
    }

    /// A write that somebody asked for came to this.
    pub fn written(&self, said: Said<'_>) {
        let now = Instant::now();
        match said {
            Said::Good => self.state().done = true,
            Said::Bad(error) if is_passing(error) => drop(self.state().failed.get_or_insert(now)),
            Said::Unknown(_) => drop(self.state().failed.get_or_insert(now)),
            Said::Nothing | Said::Bad(_) => {}
        }
        self.probed(said);
    }

    /// A write of the coordinator's own came to this.
    pub fn probed(&self, said: Said<'_>) {
        let now = Instant::now();
        let mut state = self.state();
        match said {
            Said::Good => state.writes.succeeded(now),
            Said::Bad(error) if is_passing(error) => state.writes.failed(now, error),
            Said::Unknown(cause) => state.writes.failed(now, cause),
            Said::Bad(store::Error::Corrupt(what)) => state.is_corrupt(now, what),
            Said::Nothing | Said::Bad(_) => {}
        }
    }

    /// A read came to this.
    pub fn read(&self, error: Option<&store::Error>) {
        let now = Instant::now();
        match error {
            Some(error) if is_passing(error) => return self.read_failed(error),
            Some(store::Error::Corrupt(what)) => self.state().is_corrupt(now, what),
            _ if self.reads_fail.load(Ordering::Relaxed) => {
                let mut state = self.state();
                state.reads.succeeded(now);
                self.reads_fail.store(state.reads.is_on(), Ordering::Relaxed);
            }
            _ => {}
        }
        // Whatever it said, it answered.
        let since = u64::try_from(now.duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX);
        self.answered_ns.fetch_max(since, Ordering::Relaxed);
    }

    /// When the store last answered a read; at the beginning: then.
    pub fn answered(&self) -> Instant {
        self.begun + Duration::from_nanos(self.answered_ns.load(Ordering::Relaxed))
    }

    /// Whether the last that was heard of reads is a failure, and nothing was answered for a while.
    pub fn is_silent(&self) -> bool {
        self.reads_fail() && {
            let answered = self.answered();
            answered.elapsed() >= SILENT && self.state().reads.failed > answered
        }
    }

    /// A read got no answer in time.
    pub fn read_timed_out(&self) {
        self.read_failed(&"no answer in time");
    }

    fn read_failed(&self, why: &dyn fmt::Display) {
        self.state().reads.failed(Instant::now(), why);
        self.reads_fail.store(true, Ordering::Relaxed);
    }

    /// Whether the last reads failed.
    pub fn reads_fail(&self) -> bool {
        self.reads_fail.load(Ordering::Relaxed)
    }

    /// How writes have been doing since this was last asked.
    pub fn look(&self) -> Writes {
        let mut state = self.state();
        let (failed, done) = (state.failed.take(), std::mem::take(&mut state.done));
        match failed {
            _ if state.in_flight > 0 && state.moved.elapsed() >= STUCK => Writes::Failing(state.moved),
            Some(first) if !done => Writes::Failing(first),
            _ if state.writes.is_on() => Writes::Suspect,
            _ => Writes::Fine,
        }
    }

    /// Takes whether writes fail now and since when, and returns since when they have failed all along.
    pub fn judge_writes(&self, fail: Option<Instant>) -> Option<Instant> {
        let mut state = self.state();
        state.writes_failing_since = match (state.writes_failing_since, fail) {
            (Some(known), Some(now)) => Some(known.min(now)),
            (_, fail) => fail,
        };
        state.writes_failing_since
    }
}

/// Whether the store itself is in trouble, and may be well again by itself.
fn is_passing(error: &store::Error) -> bool {
    use store::Error as E;
    match error {
        E::Unavailable(_) | E::Full(_) | E::ReadOnly(_) | E::OutcomeUnknown(_) => true,
        E::SwarmNotFound | E::SwarmExists | E::Compacted { .. } | E::Future { .. } | E::Corrupt(_) => false,
    }
}

impl State {
    fn is_corrupt(&mut self, now: Instant, what: &str) {
        if let Some(times) = self.corrupt.is_due(now) {
            tracing::error!(error = what, times, "the store holds something unreadable; restore a backup");
        }
    }
}

/// Failures of one sort, from the first to the end of the trouble.
struct Episode {
    what: &'static str,
    begun: Option<Instant>,
    failed: Instant,
    failures: u64,
    reminder: Reminder,
}

impl Episode {
    fn new(what: &'static str) -> Self {
        Self { what, begun: None, failed: Instant::now(), failures: 0, reminder: Reminder::default() }
    }

    fn is_on(&self) -> bool {
        self.begun.is_some()
    }

    fn failed(&mut self, now: Instant, error: &dyn fmt::Display) {
        self.failed = now;
        self.failures += 1;
        let is_first = self.begun.replace(self.begun.unwrap_or(now)).is_none();
        let Some(times) = self.reminder.is_due(now) else { return };
        let what = self.what;
        if is_first {
            tracing::warn!(%error, "the store is in trouble: {what} fail");
        } else {
            tracing::warn!(%error, times, "the store is still in trouble: {what} fail");
        }
    }

    fn succeeded(&mut self, now: Instant) {
        let Some(begun) = self.begun.filter(|_| now.duration_since(self.failed) >= QUIET) else { return };
        let (what, failures, lasted_ms) = (self.what, self.failures, now.duration_since(begun).as_millis());
        tracing::info!(failures, lasted_ms = lasted_ms as u64, "the store is well again: {what} succeed");
        *self = Self::new(what);
    }
}

/// Says the same thing at once, and then now and then.
#[derive(Debug, Default)]
struct Reminder {
    said: Option<Instant>,
    unsaid: u64,
}

impl Reminder {
    /// Whether to say it now, and for how many times.
    fn is_due(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.said.is_some_and(|said| now.duration_since(said) < REMINDER_INTERVAL) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn full() -> store::Error {
        store::Error::Full("on purpose".into())
    }

    fn written(trouble: &Trouble, said: Said<'_>) {
        let _in_flight = trouble.write_begins();
        trouble.written(said);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_fail_until_one_succeeds_and_are_suspect_for_a_while() {
        let trouble = Trouble::new();
        assert_eq!(trouble.look(), Writes::Fine);
        let begun = Instant::now();
        for _ in 0..2 {
            written(&trouble, Said::Bad(&full()));
            assert_eq!(trouble.look(), Writes::Failing(Instant::now()));
            assert_eq!(trouble.look(), Writes::Suspect);
            advance(Duration::from_secs(2)).await;
        }
        assert_eq!(trouble.judge_writes(Some(begun)), Some(begun));
        assert_eq!(trouble.judge_writes(Some(Instant::now())), Some(begun));
        assert_eq!(trouble.judge_writes(None), None);
        // A small write may fit where a large one does not.
        written(&trouble, Said::Bad(&full()));
        written(&trouble, Said::Good);
        assert_eq!(trouble.look(), Writes::Suspect);
        advance(QUIET).await;
        trouble.probed(Said::Good);
        assert_eq!(trouble.look(), Writes::Fine);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_or_a_bad_page_does_not_make_the_store_fail() {
        let trouble = Trouble::new();
        for error in [store::Error::SwarmNotFound, store::Error::Corrupt("on purpose".into())] {
            written(&trouble, Said::Bad(&error));
            assert_eq!(trouble.look(), Writes::Fine);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_do_not_end_are_stuck_and_slow_ones_are_not() {
        let trouble = Trouble::new();
        let first = trouble.write_begins();
        advance(STUCK - Duration::from_millis(1)).await;
        let second = trouble.write_begins();
        assert_eq!(trouble.look(), Writes::Fine);
        drop(first);
        let moved = Instant::now();
        advance(STUCK).await;
        assert_eq!(trouble.look(), Writes::Failing(moved));
        drop(second);
        assert_eq!(trouble.look(), Writes::Fine);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_failures_is_few_lines() {
        let mut reminder = Reminder::default();
        let mut said = Vec::new();
        for _ in 0..1_000 {
            said.extend(reminder.is_due(Instant::now()));
            advance(Duration::from_millis(100)).await;
        }
        assert_eq!(said, [1, 600]);
    }
}
