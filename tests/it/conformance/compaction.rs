//! The floor, and what goes below it.

use std::collections::BTreeMap;

use swarmem::{
    domain::{
        namespace::NamespaceRange,
        swarm::{Revision, SwarmId},
    },
    store::{At, Error, LogCursor},
};

use super::{
    Harness,
    harness::ALL,
    requests::{delete, delete_below, op, path, put_for, write},
};

/// Ten revisions of two keys that are written in turn, one key deleted in the fifth, one batch.
async fn history(h: &Harness) -> SwarmId {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "a", "1").await;
    h.put(&id, "shared/x", "b", "2").await;
    h.put(&id, "shared/x", "a", "3").await;
    h.put(&id, "shared/x", "b", "4").await;
    h.done(&id, delete("shared/x", "a")).await;
    h.done(&id, write(vec![op::put("shared/x", "b", "6"), op::put("shared/y", "c", "6")])).await;
    h.put(&id, "shared/x", "a", "7").await;
    h.done(&id, delete_below("shared/y", None)).await;
    h.put(&id, "shared/x", "b", "9").await;
    h.done(&id, put_for("shared/x", "d", "10", 100)).await;
    id
}

async fn compact(h: &Harness, id: &SwarmId, floor: u64, rows_max: usize) -> u64 {
    let mut removed = 0;
    loop {
        let step = h.store.compact(id, Revision(floor), rows_max).await.unwrap();
        removed += step.removed;
        assert_eq!(step.floor, h.head(id).await.floor);
        if !step.more {
            return removed;
        }
    }
}

/// Every entry's content at a revision.
async fn state(h: &Harness, id: &SwarmId, at: u64) -> BTreeMap<String, String> {
    let found = h.scan(id, &NamespaceRange::all(), At::Revision(Revision(at)), 2).await;
    found.iter().map(|v| (v.path.to_string(), v.body.content.to_string())).collect()
}

async fn kept(h: &Harness, id: &SwarmId, key: &str) -> Vec<u64> {
    let namespace = if key == "c" { "shared/y" } else { "shared/x" };
    let page = h.store.history(id, &path(namespace, key), None, ALL).await.unwrap();
    page.versions.iter().map(|v| v.mark.revision.0).collect()
}

pub async fn the_floor_is_the_smallest_readable_revision(h: &Harness) {
    let id = history(h).await;
    let mark = h.store.mark_at(&id, Revision(6)).await.unwrap().1;
    compact(h, &id, 6, 100).await;
    assert_eq!(h.head(&id).await.floor, mark);
    let compacted = |error: Option<Error>| {
        assert!(matches!(error, Some(Error::Compacted { floor: Revision(6) })), "{error:?}");
    };
    let below = Revision(5);
    compacted(h.store.mark_at(&id, below).await.err());
    compacted(h.store.log(&id, LogCursor::after(below), ALL).await.err());
    compacted(h.get_at(&id, "shared/x", "b", At::Revision(below)).await.err());
    let scan = swarmem::store::Scan {
        range: NamespaceRange::all(),
        after: None,
        at: At::Revision(below),
        limit: ALL,
        content: true,
    };
    compacted(h.store.scan(&id, &scan).await.err());
    for revision in [6, 7] {
        assert_eq!(h.store.mark_at(&id, Revision(revision)).await.unwrap().1.revision.0, revision);
        assert_eq!(h.log(&id, revision).await.versions[0].mark.revision.0, revision + 1);
        assert!(h.get_at(&id, "shared/x", "b", At::Revision(Revision(revision))).await.unwrap().is_some());
    }
    // Of the floor's own revision some changes may be gone, so nobody can stand inside it.
    let inside = |revision| LogCursor { revision: Revision(revision), ordinal: Some(0) };
    compacted(h.store.log(&id, inside(6), ALL).await.err());
    assert!(h.store.log(&id, inside(7), ALL).await.is_ok());
}

pub async fn the_floor_is_never_lowered_or_above_the_newest(h: &Harness) {
    let id = history(h).await;
    compact(h, &id, 6, 100).await;
    assert_eq!(compact(h, &id, 3, 100).await, 0);
    assert_eq!(h.head(&id).await.floor.revision, Revision(6));
    compact(h, &id, 1_000, 100).await;
    let head = h.head(&id).await;
    assert_eq!((head.floor, head.floor.revision), (head.mark, Revision(10)));
    assert!(h.log(&id, 10).await.versions.is_empty());
    h.put(&id, "shared/x", "a", "11").await;
    assert_eq!(h.log(&id, 10).await.versions.len(), 1);
}

pub async fn superseded_versions_and_tombstones_go(h: &Harness) {
    let id = history(h).await;
    assert_eq!(compact(h, &id, 6, 100).await, 5);
    assert_eq!(kept(h, &id, "a").await, [7]);
    assert_eq!(kept(h, &id, "b").await, [9, 6]);
    assert_eq!(kept(h, &id, "c").await, [8, 6]);
    assert_eq!(compact(h, &id, 8, 100).await, 2);
    assert!(kept(h, &id, "c").await.is_empty());
    assert_eq!(compact(h, &id, 10, 100).await, 1);
    assert_eq!(kept(h, &id, "b").await, [9]);
    assert_eq!(compact(h, &id, 10, 100).await, 0);
    assert_eq!(h.head(&id).await.entries, 3);
}

pub async fn compaction_comes_in_small_steps(h: &Harness) {
    let id = history(h).await;
    let first = h.store.compact(&id, Revision(9), 1).await.unwrap();
    assert!(first.more);
    assert_eq!(first.floor.revision, Revision(9), "the floor is raised first");
    let readable = h.store.log(&id, LogCursor::after(Revision(8)), ALL).await;
    assert!(matches!(readable, Err(Error::Compacted { floor: Revision(9) })));
    assert_eq!(compact(h, &id, 9, 1).await + first.removed, 8);
    assert_eq!(kept(h, &id, "b").await, [9]);
    let last = h.store.compact(&id, Revision(9), 1).await.unwrap();
    assert_eq!((last.removed, last.more), (0, false));
}

pub async fn compaction_keeps_every_readable_state(h: &Harness) {
    let id = history(h).await;
    let mut before = Vec::new();
    for revision in 0..=10 {
        before.push(state(h, &id, revision).await);
    }
    for floor in [1, 2, 4, 5, 6, 8, 9, 10] {
        compact(h, &id, floor, 2).await;
        for revision in floor..=10 {
            assert_eq!(state(h, &id, revision).await, before[revision as usize], "{floor} {revision}");
        }
        h.check_invariants().await;
    }
}

pub async fn a_key_can_come_back_after_compaction(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    h.done(&id, delete("shared/x", "k")).await;
    assert_eq!(compact(h, &id, 2, 10).await, 2);
    let again = h.put(&id, "shared/x", "k", "2").await;
    let entry = h.get(&id, "shared/x", "k").await.unwrap();
    assert_eq!((entry.version, entry.create_revision), (1, again.revision));
    assert_eq!(kept(h, &id, "k").await, [3]);
}

pub async fn purging_removes_deleted_swarms(h: &Harness) {
    let id = history(h).await;
    let other = h.create("b").await;
    h.put(&other, "shared/x", "k", "v").await;
    h.store.delete_swarm(&id).await.unwrap();
    let mut calls = 0;
    while h.store.purge(h.now(), 3).await.unwrap() {
        calls += 1;
        assert!(calls < 100, "purging does not end");
    }
    assert!(!h.store.purge(h.now(), 3).await.unwrap());
    assert_eq!(h.content(&other, "shared/x", "k").await.as_deref(), Some("v"));
}
