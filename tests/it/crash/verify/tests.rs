//! Shows that the verifier finds each kind of violation, and nothing where there is none.

use swarmem::wire::v1::Kind;

use super::{super::history::Selection, *};

fn put(revision: u64, ordinal: u32, key: &str, content: &str) -> Event {
    let entry = Entry {
        namespace: "shared/a".into(),
        key: key.into(),
        kind: Kind::Fact.into(),
        content: content.into(),
        revision,
        etag: format!("etag {revision}.{ordinal}"),
        ..Default::default()
    };
    Event {
        r#type: Type::Put.into(),
        cause: Cause::Write.into(),
        entry: Some(entry),
        revision,
        ordinal,
        ..Default::default()
    }
}

fn done(name: &str, events: &[&Event], expected: Option<&str>) -> Write {
    let change = |event: &&Event| {
        let Entry { namespace, key, content, etag, .. } = entry(event).clone();
        match event.r#type() {
            Type::Put => Change::Put { namespace, key, content, etag, expected: expected.map(str::to_owned) },
            _ => Change::Delete { namespace, key },
        }
    };
    let revision = Some(events[0].revision);
    Write {
        name: name.into(),
        outcome: Outcome::Done { revision, changes: events.iter().map(change).collect() },
    }
}

/// A put, a batch of two, a conditional put over one of them, and the delete of the other.
fn history() -> History {
    let mut log = vec![
        put(1, 0, "k", "a"),
        put(2, 0, "x", "b"),
        put(2, 1, "y", "c"),
        put(3, 0, "x", "d"),
        put(4, 0, "y", ""),
    ];
    log[4].r#type = Type::Delete.into();
    let writes = vec![
        done("a", &[&log[0]], None),
        done("bc", &[&log[1], &log[2]], None),
        done("d", &[&log[3]], Some("etag 2.0")),
        done("e", &[&log[4]], None),
        Write { name: "f".into(), outcome: Outcome::Refused },
    ];
    let snapshot = Start::Snapshot { revision: 1, entries: vec![entry(&log[0]).clone()] };
    let watches = vec![watched("all", Start::Beginning, &log), watched("snapshot", snapshot, &log[1..])];
    let state = vec![entry(&log[0]).clone(), entry(&log[3]).clone()];
    History { writes, watches, log, head: 4, state }
}

fn watched(name: &str, start: Start, events: &[Event]) -> Watched {
    Watched {
        name: name.into(),
        selection: Selection::Below(vec!["shared/a".into()]),
        start,
        events: events.to_vec(),
        reached: 4,
        refused: None,
    }
}

fn only(found: &[Violation], expected: &Violation) {
    assert!(found.contains(expected), "{found:?}");
}

#[test]
fn a_history_that_keeps_all_promises_passes() {
    assert_eq!(verify(&history()), []);
}

#[test]
fn a_lost_acknowledgement_is_found() {
    let mut history = history();
    let mut lost = history.log[0].clone();
    lost.entry.as_mut().unwrap().content = "lost".into();
    history.writes.push(done("lost", &[&lost], None));
    only(&verify(&history), &Violation::LostWrite { write: "lost".into() });
}

#[test]
fn a_write_under_another_etag_than_acknowledged_is_found() {
    let mut history = history();
    history.log[0].entry.as_mut().unwrap().etag = "another".into();
    only(&verify(&history), &Violation::LostWrite { write: "a".into() });
}

#[test]
fn a_gap_is_found() {
    let mut between = history();
    between.log.remove(3);
    only(&verify(&between), &Violation::Gap { after: (2, 1) });
    let mut inside = history();
    inside.log.remove(1);
    only(&verify(&inside), &Violation::Gap { after: (1, 0) });
    let mut end = history();
    end.log.pop();
    only(&verify(&end), &Violation::Gap { after: (3, 0) });
}

#[test]
fn a_repeat_is_found() {
    let mut history = history();
    history.log.insert(1, history.log[0].clone());
    only(&verify(&history), &Violation::Repeated { position: (1, 0) });
}

#[test]
fn a_reordering_is_found() {
    let mut history = history();
    history.log.swap(1, 2);
    only(&verify(&history), &Violation::Reordered { position: (2, 0) });
}

#[test]
fn a_request_that_took_effect_twice_is_found() {
    let mut history = history();
    history.log.push(put(5, 0, "k", "a"));
    history.head = 5;
    only(&verify(&history), &Violation::TookEffectTwice { write: "a".into() });
}

#[test]
fn a_write_that_nobody_made_is_found() {
    let mut history = history();
    history.log.push(put(5, 0, "k", "f"));
    history.head = 5;
    only(&verify(&history), &Violation::NobodysWrite { revision: 5, content: "f".into() });
}

#[test]
fn a_revision_given_to_two_writes_is_found() {
    let mut history = history();
    history.writes.push(done("again", &[&history.log[0]], None));
    only(&verify(&history), &Violation::RevisionReused { revision: 1 });
}

#[test]
fn a_condition_that_was_ignored_is_found() {
    let mut history = history();
    history.writes[2] = done("d", &[&history.log[3]], Some("etag 1.0"));
    only(&verify(&history), &Violation::ConditionIgnored { write: "d".into() });
}

#[test]
fn a_failed_write_is_found() {
    let mut history = history();
    history.writes.push(Write { name: "g".into(), outcome: Outcome::Failed("why".into()) });
    only(&verify(&history), &Violation::WriteFailed { write: "g".into(), why: "why".into() });
}

#[test]
fn what_a_watch_missed_is_found() {
    let mut history = history();
    history.watches[1].events.remove(1);
    let watch = "snapshot".into();
    only(&verify(&history), &Violation::WatchMissed { watch, position: (2, 1) });
}

#[test]
fn what_a_watch_was_told_twice_is_found() {
    let mut history = history();
    let events = &mut history.watches[0].events;
    events.push(events[0].clone());
    only(&verify(&history), &Violation::WatchRepeated { watch: "all".into(), position: (1, 0) });
}

#[test]
fn what_a_watch_was_told_out_of_order_is_found() {
    let mut history = history();
    history.watches[0].events.swap(0, 3);
    only(&verify(&history), &Violation::WatchReordered { watch: "all".into(), position: (2, 0) });
}

#[test]
fn what_a_watch_was_told_and_is_not_so_is_found() {
    let watch = || "all".to_owned();
    let mut other_content = history();
    other_content.watches[0].events[0].entry.as_mut().unwrap().content = "other".into();
    only(&verify(&other_content), &Violation::WatchInvented { watch: watch(), position: (1, 0) });
    let mut unselected = history();
    unselected.watches[0].selection = Selection::Tag("t".into());
    only(&verify(&unselected), &Violation::WatchInvented { watch: watch(), position: (1, 0) });
    let mut before_the_snapshot = history();
    before_the_snapshot.watches[1].events.insert(0, before_the_snapshot.log[0].clone());
    let watch = "snapshot".into();
    only(&verify(&before_the_snapshot), &Violation::WatchInvented { watch, position: (1, 0) });
}

#[test]
fn a_watch_that_could_not_resume_is_found() {
    let mut history = history();
    history.watches[0].refused = Some("why".into());
    only(&verify(&history), &Violation::WatchRefused { watch: "all".into(), why: "why".into() });
}

#[test]
fn a_snapshot_that_is_not_the_state_is_found() {
    let differs = |watch: &str, key: &str| Violation::SnapshotDiffers {
        watch: watch.into(),
        namespace: "shared/a".into(),
        key: key.into(),
    };
    let mut empty = history();
    empty.watches[1].start = Start::Snapshot { revision: 1, entries: Vec::new() };
    only(&verify(&empty), &differs("snapshot", "k"));
    let mut ahead = history();
    let entries = vec![entry(&ahead.log[0]).clone(), entry(&ahead.log[1]).clone()];
    ahead.watches[1].start = Start::Snapshot { revision: 1, entries };
    only(&verify(&ahead), &differs("snapshot", "x"));
}

#[test]
fn a_state_that_is_not_what_the_log_leads_to_is_found() {
    let mut history = history();
    history.state.pop();
    only(&verify(&history), &Violation::StateDiffers { namespace: "shared/a".into(), key: "x".into() });
}
