//! What clients that repeat notice of a fault, apart from waiting: nothing. Nobody gives up a call here.

use std::time::Duration;

use super::{
    course, named, plan,
    report::{Window, say},
    seed,
};
use crate::history::{
    load::Plan,
    record::{Call, History, Outcome, Request},
};

/// How patient a call is: longer than anything is away.
const PATIENT: Duration = Duration::from_secs(30);

/// Writes through one fault.
async fn through(fault: &str) -> History {
    let plan = Plan { cancels_percent: 0, call_timeout: PATIENT, ..plan(seed()) };
    let (history, windows) = course("availability", &[vec![named(fault)]], plan).await;
    let Window { struck, healed, .. } = &windows[0];
    let mut took: Vec<_> = writes(&history)
        .filter(|call| call.end.us >= struck.us && call.start.us <= healed.us)
        .map(|call| (call.end.us - call.start.us) / 1_000)
        .collect();
    took.sort_unstable();
    let p99 = took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    let failed = writes(&history).filter(|call| is_error(call)).count();
    say(&format!("{fault}: {} writes meanwhile, p99 {p99} ms, {failed} failed", took.len()));
    history
}

fn writes(history: &History) -> impl Iterator<Item = &Call> {
    history.calls.iter().filter(|call| matches!(call.request, Request::Write(_)))
}

fn is_error(call: &Call) -> bool {
    matches!(call.outcome, Outcome::Failed { .. } | Outcome::Unknown { .. })
}

async fn fails_nothing(fault: &str) {
    let history = through(fault).await;
    let failed: Vec<_> = writes(&history).filter(|call| is_error(call)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_write() {
    fails_nothing("rolling restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_fails_no_write() {
    fails_nothing("redis killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_fails_no_write() {
    fails_nothing("postgres restarted").await;
}
