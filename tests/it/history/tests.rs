//! For every rule a history that breaks it, and one that breaks none.

mod lives;
mod story;
mod streams;
mod writes;

use std::collections::BTreeSet;

use self::story::{Places, Story, good};
use super::{check, record::History, rules::Rule};

/// Asserts that the good history, spoiled so, breaks just these rules.
#[track_caller]
fn spoiled(rules: &[Rule], spoil: impl FnOnce(&mut Story, &Places)) {
    let (mut story, places) = good();
    spoil(&mut story, &places);
    assert_breaks(rules, &story.history);
}

#[track_caller]
fn assert_breaks(rules: &[Rule], history: &History) {
    let found = check(history);
    let broken: BTreeSet<Rule> = found.iter().map(|violation| violation.rule).collect();
    assert_eq!(broken, rules.iter().copied().collect(), "{found:#?}");
}

#[test]
fn a_good_history_breaks_no_rule() {
    spoiled(&[], |_, _| {});
}

#[test]
fn a_history_survives_the_journey_to_a_file() {
    let (story, _) = good();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    story.history.save(&path).unwrap();
    let text = std::fs::read(path).unwrap();
    assert_eq!(History::load(&text[..]).unwrap(), story.history);
}
