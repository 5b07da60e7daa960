//! The deterministic pass: hundreds of seeds over virtual fleets, each held against every promise; and the seeded bugs, each
//! of which must be found and named.
//!
//! `SWARMEM_TEST_SEED` runs one seed alone, some times; `SWARMEM_SOAK_MINUTES` goes on with other seeds for so long. What a seed that fails
//! has seen is kept as a file that [`History::load`] reads.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    check,
    course::{Course, run},
    record::{History, Outcome},
    rules::{Rule, Violation},
    seeded_bugs::Bug,
};
use crate::crash::{SEED, number};

/// Seeds of each part of the pass; parts run at the same time.
const SEEDS: u64 = 50;
/// The load and the faults are the seed's; the branches of a `select!` that are ready at once are tried in an order that is
/// not. So a seed is run so often.
const REPLAYS: u32 = 10;
/// A bug that depends on chance has so many seeds to show.
const BUG_SEEDS: u64 = 40;

fn keep(history: &History, name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("histories");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("{name}.jsonl"));
    history.save(&path).unwrap();
    path
}

fn told(violations: &[Violation]) -> String {
    let lines =
        violations.iter().take(12).map(|violation| format!("{:?}: {}\n", violation.rule, violation.example));
    lines.collect()
}

fn hold(seed: u64) {
    let history = run(seed, Course::default());
    let violations = check(&history);
    if !violations.is_empty() {
        let path = keep(&history, &seed.to_string());
        panic!("{SEED}={seed}, {}:\n{}", path.display(), told(&violations));
    }
    let acknowledged = history.calls.iter().filter(|call| matches!(call.outcome, Outcome::Done { .. }));
    assert!(acknowledged.count() > 20, "{SEED}={seed}: hardly anything was written");
}

fn part(first: u64) {
    if let Some(seed) = number(SEED) {
        return (0..REPLAYS).for_each(|_| hold(seed));
    }
    let end = Instant::now() + Duration::from_secs(60 * number("SWARMEM_SOAK_MINUTES").unwrap_or(0));
    (first..first + SEEDS).for_each(hold);
    while Instant::now() < end {
        hold(uuid::Uuid::new_v4().as_u64_pair().0);
    }
}

macro_rules! parts {
    ($($name:ident from $first:expr),+ $(,)?) => {$(
        #[test]
        fn $name() {
            part($first);
        }
    )+};
}

parts! {
    seeds_of_the_first_part from 0,
    seeds_of_the_second_part from 1_000,
    seeds_of_the_third_part from 2_000,
    seeds_of_the_fourth_part from 3_000,
}

/// Runs a bug until the checker names it.
#[track_caller]
fn names(bug: Bug, rule: Rule) {
    let mut seen = BTreeSet::new();
    for seed in 0..BUG_SEEDS {
        let history = run(seed, Course { bug: Some(bug) });
        seen.extend(check(&history).iter().map(|violation| violation.rule));
        if seen.contains(&rule) {
            return;
        }
    }
    panic!("{bug:?} broke {seen:?}, not {rule:?}");
}

#[test]
fn a_dropped_event_is_named() {
    names(Bug::DropsEvent, Rule::WatchMissed);
}

#[test]
fn reordered_events_are_named() {
    names(Bug::ReordersEvents, Rule::WatchReordered);
}

#[test]
fn a_duplicated_event_is_named() {
    names(Bug::DuplicatesEvent, Rule::WatchRepeated);
}

#[test]
fn an_acknowledgement_before_the_commit_is_named() {
    names(Bug::AcknowledgesBeforeCommit, Rule::AcknowledgedLost);
}

#[test]
fn a_publish_before_the_commit_is_named() {
    names(Bug::PublishesBeforeCommit, Rule::WatchInvented);
}

#[test]
fn a_sequence_in_place_of_the_locked_head_is_named() {
    names(Bug::UsesSequence, Rule::WatchMissed);
}

#[test]
fn a_clamped_cursor_is_named() {
    names(Bug::ClampsCursor, Rule::CompactionSkipped);
}

#[test]
fn a_reused_slot_is_named() {
    names(Bug::ReusesSlot, Rule::RevisionTwice);
}

#[test]
fn a_forgotten_request_is_named() {
    names(Bug::ForgetsRequests, Rule::RequestTwice);
}

#[test]
fn a_stale_read_at_a_token_is_named() {
    names(Bug::ReadsStale, Rule::OlderThanToken);
}
