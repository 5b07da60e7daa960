//! The proof: what many clients saw of a fleet under load and faults, and a checker that decides whether it keeps the promises
//! (ADR 15). Pure but for the recorder and the load.

mod course;
mod ending;
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
    let log = Log::of(history, &mut found);
    let tokens = log::tokens(history);
    let writers = Writers::of(history, &log, &mut found);
    let observed = Observed::of(history, &writers.started, &mut found);
    writers.check(&log, &observed, &mut found);
    readers::check(history, &log, &observed, &tokens, &mut found);
    let (floor, incarnations) = history.end.as_ref().map_or((0, 1), |end| (end.floor, end.incarnations));
    let oracle = Oracle { log: &log, observed: &observed, tokens: &tokens, floor, incarnations };
    watchers::check(history, &oracle, &mut found);
    ending::check(history, &log, &tokens, &mut found);
    found.0
}
