//! Request ids.

use swarmem::domain::{
    apply::{Effect, RECORD_AGE_MAX, Refusal},
    request::Condition,
    swarm::{Revision, SwarmId},
};

use super::{
    Harness,
    requests::{delete, once, op, put},
};

fn request(author: &str, id: &str, digest: u8) -> swarmem::domain::request::Request {
    once(author, id, digest, vec![op::put("shared/x", "k", &format!("{author} {id} {digest}"))])
}

async fn revision(h: &Harness, id: &SwarmId) -> Revision {
    h.head(id).await.mark.revision
}

pub async fn a_repeated_request_is_answered_not_done(h: &Harness) {
    let id = h.create("a").await;
    let first = h.run(&id, request("ann", "1", 1)).await.unwrap();
    h.put(&id, "shared/x", "k", "later").await;
    let again = h.run(&id, request("ann", "1", 1)).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("later"));
    assert_eq!(revision(h, &id).await, Revision(2));
    // Also where what it was conditioned on no longer holds.
    let create = || once("ann", "2", 2, vec![op::put_if("shared/x", "new", "v", Condition::Absent)]);
    let first = h.run(&id, create()).await.unwrap();
    assert_eq!(h.run(&id, create()).await.unwrap(), first);
}

pub async fn a_repeat_in_the_same_batch_is_answered(h: &Harness) {
    let id = h.create("a").await;
    let repeats = [request("ann", "1", 1), request("ann", "1", 1), request("ann", "1", 2)];
    let applied = h.commit(&id, repeats).await;
    assert_eq!(applied.answers[0], applied.answers[1]);
    assert_eq!(applied.answers[2], Err(Refusal::RequestIdReused));
    assert_eq!((applied.head.mark.revision, applied.records.len()), (Revision(1), 1));
}

pub async fn another_request_under_the_same_id_is_refused(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, request("ann", "1", 1)).await;
    assert_eq!(h.run(&id, request("ann", "1", 2)).await, Err(Refusal::RequestIdReused));
    assert_eq!(revision(h, &id).await, Revision(1));
}

pub async fn ids_belong_to_an_agent(h: &Harness) {
    let (a, b) = (h.create("a").await, h.create("b").await);
    h.done(&a, request("ann", "1", 1)).await;
    assert_eq!(h.done(&a, request("bob", "1", 2)).await.revision, Revision(2));
    assert_eq!(h.done(&b, request("ann", "1", 3)).await.revision, Revision(1));
    h.run(&a, request("ann", "1", 1)).await.unwrap();
    h.run(&a, request("bob", "1", 2)).await.unwrap();
    assert_eq!(revision(h, &a).await, Revision(2));
}

pub async fn a_request_that_changed_nothing_is_done_again(h: &Harness) {
    let id = h.create("a").await;
    let remove = || once("ann", "1", 1, vec![op::delete("shared/x", "k")]);
    assert_eq!(h.run(&id, remove()).await.unwrap().taken, None);
    h.put(&id, "shared/x", "k", "v").await;
    assert_eq!(h.run(&id, remove()).await.unwrap().effects, [Effect::Delete(true)]);
}

pub async fn what_a_transaction_read_is_remembered_by_name(h: &Harness) {
    let id = h.create("a").await;
    let seen = h.put(&id, "shared/x", "seen", "v").await;
    let operations = || {
        vec![
            op::get("shared/x", "seen"),
            op::get("shared/x", "absent"),
            op::put("shared/x", "k", "v"),
            op::delete("shared/x", "nothing"),
            op::delete_below("shared/y", Some(3)),
        ]
    };
    let first = h.run(&id, once("ann", "1", 1, operations())).await.unwrap();
    let again = h.run(&id, once("ann", "1", 1, operations())).await.unwrap();
    assert_eq!(again.effects[1..], first.effects[1..]);
    assert_eq!(again.taken, first.taken);
    assert!(matches!(&first.effects[0], Effect::Get(Some(v)) if v.mark == seen));
    let remembered = &again.effects[0];
    assert!(matches!(remembered, Effect::GetRecorded { revision: Some(r), .. } if *r == seen.revision));
}

pub async fn ids_are_forgotten_after_a_day_of_swarm_time(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, request("ann", "1", 1)).await;
    h.clock.advance(RECORD_AGE_MAX - std::time::Duration::from_secs(1));
    h.run(&id, request("ann", "1", 1)).await.unwrap();
    assert_eq!(revision(h, &id).await, Revision(1));
    h.advance(1);
    assert_eq!(h.done(&id, request("ann", "1", 2)).await.revision, Revision(2));
    // From then on the new outcome counts, in swarm time: a clock that runs back changes nothing.
    h.clock.set(h.now().minus(RECORD_AGE_MAX));
    h.run(&id, request("ann", "1", 2)).await.unwrap();
    assert_eq!(h.run(&id, request("ann", "1", 1)).await, Err(Refusal::RequestIdReused));
    assert_eq!(revision(h, &id).await, Revision(2));
}

pub async fn purging_removes_old_outcomes_only(h: &Harness) {
    let (a, b) = (h.create("a").await, h.create("b").await);
    for n in 0..5 {
        h.done(&a, request("ann", &format!("old {n}"), 1)).await;
    }
    h.done(&b, request("ann", "old", 1)).await;
    h.clock.advance(RECORD_AGE_MAX);
    h.done(&a, request("ann", "new", 1)).await;
    let at = h.now();
    while h.store.purge(at, 2).await.unwrap() {}
    let before = revision(h, &a).await;
    h.run(&a, request("ann", "new", 1)).await.unwrap();
    assert_eq!(revision(h, &a).await, before);
    // Shown by a clock that runs back: b's time is still that of its only write, and only the purge took its outcome.
    h.clock.set(at.minus(RECORD_AGE_MAX));
    h.done(&b, delete("shared/x", "k")).await;
    assert_eq!(h.done(&b, request("ann", "old", 1)).await.revision, Revision(3));
    h.commit(&b, [put("shared/x", "k", "v")]).await;
}
