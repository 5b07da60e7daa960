//! What clients that repeat notice of a fault, apart from waiting: nothing; and for how long those that do not are refused. Nobody
//! gives up a call here.

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
    // What a stream was refused is not sent again.
    let plan = Plan { cancels_percent: 0, streams: 0, call_timeout: PATIENT, ..plan(seed()) };
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

/// How long behind the database's return a write may still be refused: 2 s are promised, and this machine may be busy.
const LATE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_fails_writes_only_while_it_is_down() {
    let plan = Plan { cancels_percent: 0, repeats: false, streams: 0, ..plan(seed()) };
    let (history, windows) = course("unrepeated", &[vec![named("postgres restarted")]], plan).await;
    let Window { struck, healed, .. } = &windows[0];
    let failed: Vec<_> = writes(&history).filter(|call| is_error(call) && call.end.us >= struck.us).collect();
    let latest = failed.iter().map(|call| call.end.us.saturating_sub(healed.us) / 1_000).max();
    let open = failed.iter().filter(|call| matches!(call.outcome, Outcome::Unknown { .. })).count();
    say(&format!(
        "postgres restarted, down for {} ms: {} writes failed, {open} of them open, the last {} ms after its return",
        (healed.us - struck.us) / 1_000,
        failed.len(),
        latest.unwrap_or_default()
    ));
    assert!(failed.iter().any(|call| matches!(call.outcome, Outcome::Failed { .. })), "nobody noticed");
    for call in failed {
        let in_time =
            call.end.us >= struck.us && Duration::from_micros(call.end.us.saturating_sub(healed.us)) <= LATE;
        // Whose commit was under way cannot be told.
        let is_honest = match &call.outcome {
            Outcome::Failed { why } => why.starts_with("Unavailable"),
            _ => call.start.us <= healed.us,
        };
        assert!(in_time && is_honest, "{call:#?}");
    }
}
