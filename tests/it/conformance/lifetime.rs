//! Time to live, expiry, and swarm time.

use std::time::Duration;

use swarmem::domain::{
    apply::{Effect, Refusal},
    entry::{Cause, Change},
    request::Condition,
    swarm::{Revision, SwarmId},
    time::Timestamp,
};

use super::{
    Harness,
    requests::{delete, delete_below, op, path, put, put_for, put_if, write},
};

async fn next(h: &Harness, id: &SwarmId) -> Option<Timestamp> {
    h.store.swarm(id).await.unwrap().next_expiry
}

async fn expired(h: &Harness, id: &SwarmId, limit: usize) -> Vec<String> {
    let due = h.store.expired(id, h.now(), limit).await.unwrap();
    due.iter().map(|path| path.key.as_str().to_owned()).collect()
}

pub async fn an_expired_entry_is_absent_to_conditions(h: &Harness) {
    let id = h.create("a").await;
    let put = |condition| put_if("shared/x", "k", "v", condition);
    let mark = h.done(&id, put_for("shared/x", "k", "old", 10)).await;
    h.advance(9);
    assert!(h.run(&id, put(Condition::Absent)).await.is_err());
    h.advance(1);
    for condition in [Condition::Exists, super::requests::etag(mark)] {
        let refused = h.run(&id, put(condition)).await.unwrap_err();
        assert_eq!(refused, Refusal::ConditionFailed { path: path("shared/x", "k"), current: None });
    }
    let read = h.run(&id, write(vec![op::get("shared/x", "k")])).await.unwrap();
    assert_eq!(read.effects, [Effect::Get(None)]);
    // Reads of the store itself still have it: who reads knows the time.
    assert!(h.get(&id, "shared/x", "k").await.is_some_and(|v| v.is_expired(h.now())));
    h.done(&id, put(Condition::Absent)).await;
}

pub async fn an_expired_entry_is_deleted_before_it_is_written(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, put_for("shared/x", "k", "old", 10)).await;
    h.advance(10);
    let mark = h.put(&id, "shared/x", "k", "new").await;
    assert_eq!(mark.revision, Revision(3));
    let log = h.log(&id, 1).await.versions;
    let summary: Vec<_> = log.iter().map(|v| (v.mark.revision.0, v.change, v.cause)).collect();
    assert_eq!(summary, [(2, Change::Delete, Cause::Expiry), (3, Change::Put, Cause::Write)]);
    let entry = h.get(&id, "shared/x", "k").await.unwrap();
    assert_eq!((entry.version, entry.create_revision, entry.expire_time), (1, Revision(3), None));
    assert_eq!(next(h, &id).await, None);
}

pub async fn an_expired_entry_is_deleted_before_its_delete_finds_nothing(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, put_for("shared/x", "k", "old", 10)).await;
    h.advance(10);
    let outcome = h.run(&id, delete("shared/x", "k")).await.unwrap();
    assert_eq!(outcome.effects, [Effect::Delete(false)]);
}

pub async fn expiry_deletes_what_is_due_and_nothing_else(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, put_for("shared/x", "due", "v", 10)).await;
    h.done(&id, put_for("shared/x", "later", "v", 11)).await;
    h.put(&id, "shared/x", "never", "v").await;
    h.advance(10);
    let keys = ["due", "later", "never", "absent"];
    let outcome =
        h.run(&id, write(keys.iter().map(|key| op::expire("shared/x", key)).collect())).await.unwrap();
    let effects = [true, false, false, false].map(Effect::Delete);
    assert_eq!(outcome.effects, effects);
    let log = h.log(&id, 3).await.versions;
    let [tombstone] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!((tombstone.cause, tombstone.author.as_str()), (Cause::Expiry, "ann"));
    assert_eq!(h.head(&id).await.entries, 2);
}

pub async fn due_entries_come_earliest_first(h: &Harness) {
    let id = h.create("a").await;
    for (key, seconds) in [("c", 5), ("b", 7), ("d", 5), ("a", 9), ("e", 3)] {
        h.done(&id, put_for("shared/x", key, "v", seconds)).await;
    }
    h.advance(4);
    assert_eq!(expired(h, &id, 9).await, ["e"]);
    h.advance(3);
    assert_eq!(expired(h, &id, 9).await, ["e", "c", "d", "b"]);
    assert_eq!(expired(h, &id, 2).await, ["e", "c"]);
    h.run(&id, write(vec![op::expire("shared/x", "e"), op::expire("shared/x", "c")])).await.unwrap();
    assert_eq!(expired(h, &id, 9).await, ["d", "b"]);
}

pub async fn the_next_expiry_follows_every_change(h: &Harness) {
    let id = h.create("a").await;
    let start = h.now();
    let at = |seconds| Some(start.plus(Duration::from_secs(seconds)));
    h.done(&id, put_for("shared/x", "k", "v", 10)).await;
    assert_eq!(next(h, &id).await, at(10));
    h.done(&id, put_for("shared/x", "sooner", "v", 5)).await;
    assert_eq!(next(h, &id).await, at(5));
    h.done(&id, put_for("shared/x", "sooner", "v", 20)).await;
    assert_eq!(next(h, &id).await, at(10));
    h.done(&id, put("shared/x", "k", "for good")).await;
    assert_eq!(next(h, &id).await, at(20));
    h.done(&id, delete("shared/x", "sooner")).await;
    assert_eq!(next(h, &id).await, None);
    let applied = h.commit(&id, [put_for("shared/x", "k", "v", 3), put("shared/x", "k", "for good")]).await;
    assert!(applied.commit.is_some());
    assert_eq!(next(h, &id).await, None);
}

pub async fn swarms_with_due_entries_are_found(h: &Harness) {
    let (a, b, c) = (h.create("a").await, h.create("b").await, h.create("c").await);
    h.done(&a, put_for("shared/x", "k", "v", 10)).await;
    h.done(&b, put_for("shared/x", "k", "v", 5)).await;
    h.put(&c, "shared/x", "k", "v").await;
    let due = async |limit| h.store.expiring(h.now(), limit).await.unwrap();
    assert!(due(9).await.is_empty());
    h.advance(5);
    assert_eq!(due(9).await, std::slice::from_ref(&b));
    h.advance(5);
    assert_eq!(due(9).await, [a.clone(), b.clone()]);
    assert_eq!(due(1).await.len(), 1);
    // By swarm time: a write has seen the entry's time pass, so it stays past.
    h.put(&a, "shared/x", "other", "v").await;
    h.clock.set(h.now().minus(Duration::from_secs(9)));
    assert_eq!(due(9).await, std::slice::from_ref(&a));
    assert_eq!(expired(h, &a, 9).await, ["k"]);
    assert!(expired(h, &b, 9).await.is_empty());
}

pub async fn swarm_time_never_runs_back(h: &Harness) {
    let id = h.create("a").await;
    let start = h.now();
    h.put(&id, "shared/x", "1", "v").await;
    h.clock.set(start.minus(Duration::from_secs(3600)));
    h.done(&id, put_for("shared/x", "2", "v", 10)).await;
    let entry = h.get(&id, "shared/x", "2").await.unwrap();
    assert_eq!((entry.time, entry.create_time), (start, start));
    assert_eq!(entry.expire_time, Some(start.plus(Duration::from_secs(10))));
    h.clock.set(start.plus(Duration::from_secs(1)));
    h.put(&id, "shared/x", "3", "v").await;
    assert_eq!(h.head(&id).await.time, h.now());
}

pub async fn deleting_below_a_prefix_expires_what_is_due(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, put_for("shared/x", "due", "v", 1)).await;
    h.put(&id, "shared/x", "live", "v").await;
    h.advance(1);
    let outcome = h.run(&id, delete_below("shared/x", None)).await.unwrap();
    assert_eq!(outcome.effects, [Effect::DeletePrefix { deleted: 1, more: false }]);
    let log = h.log(&id, 2).await.versions;
    let causes: Vec<_> = log.iter().map(|v| (v.path.key.as_str(), v.cause)).collect();
    assert_eq!(causes, [("due", Cause::Expiry), ("live", Cause::Write)]);
    assert_eq!(h.head(&id).await.entries, 0);
}
