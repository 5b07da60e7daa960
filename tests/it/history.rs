//! The proof: what many clients saw of a fleet under load and faults, and a checker that decides whether it keeps the promises
//! (ADR 15). Pure but for the recorder and the load.

mod course;
mod ending;
mod lives;
pub mod load;
mod log;
mod model;
mod observed;
mod pass;
mod processes;
mod readers;
pub mod record;
pub mod recorder;
pub mod rules;
mod seeded_bugs;
mod virtual_fleet;
mod watchers;
mod wired;
mod writers;

#[cfg(test)]
mod tests;

use self::{
    log::Log,
    observed::Observed,
    record::History,
    rules::{Findings, Violation},
    watchers::Oracle,
    writers::Writers,
};

/// Every rule that a history breaks; none: it keeps them all.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Findings::default();
    match &history.lost {
        Some(lost) => lives::check(history, lost, &mut found),
        None => check_one_life(history, &mut found),
    }
    found.0
}

fn check_one_life(history: &History, found: &mut Findings) {
    let log = Log::of(history, found);
    let tokens = log::tokens(history);
    let writers = Writers::of(history, &log, found);
    let observed = Observed::of(history, &writers.started, found);
    writers.check(&log, &observed, found);
    readers::check(history, &log, &observed, &tokens, found);
    let floor = history.end.as_ref().map_or(0, |end| end.floor);
    let oracle = Oracle { log: &log, observed: &observed, tokens: &tokens, floor, told: None };
    watchers::check(&history.streams, &oracle, found);
    ending::check(history, &log, &tokens, found);
}
