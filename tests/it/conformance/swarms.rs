//! Swarms: their life, their isolation, their heads.

use swarmem::{
    domain::{
        namespace::NamespaceRange,
        position::{Arguments, Position, Purpose},
        swarm::{Nonce, Revision, SwarmId},
    },
    store::{At, CommitError, Error, LogCursor, Scan},
};

use super::{
    Harness,
    harness::{ALL, RETENTION},
    requests::{path, put, put_for},
};

pub async fn a_swarm_is_created_read_listed_and_deleted(h: &Harness) {
    let id = SwarmId::parse("a").unwrap();
    let created = h.store.create_swarm(&id, RETENTION).await.unwrap();
    assert_eq!((created.create_time, created.head.time), (h.now(), h.now()));
    assert_eq!((created.head.mark.revision, created.head.floor), (Revision::ZERO, created.head.mark));
    assert_eq!((created.retention, created.next_expiry), (RETENTION, None));
    assert_eq!(h.store.swarm(&id).await.unwrap(), created);
    assert_eq!(h.store.list_swarms(None, 9).await.unwrap(), [created]);
    assert!(matches!(h.store.create_swarm(&id, RETENTION).await, Err(Error::SwarmExists)));
    h.store.delete_swarm(&id).await.unwrap();
    assert!(matches!(h.store.swarm(&id).await, Err(Error::SwarmNotFound)));
    assert!(h.store.list_swarms(None, 9).await.unwrap().is_empty());
}

pub async fn swarms_are_listed_in_pages_by_name(h: &Harness) {
    for name in ["c", "a", "b-2", "b", "b_1"] {
        h.create(name).await;
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = h.store.list_swarms(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        names.extend(page.iter().map(|s| s.id.to_string()));
    }
    assert_eq!(names, ["a", "b", "b-2", "b_1", "c"]);
}

pub async fn swarms_do_not_see_each_other(h: &Harness) {
    let (a, b) = (h.create("a").await, h.create("b").await);
    assert_ne!(h.head(&a).await.incarnation, h.head(&b).await.incarnation);
    h.put(&a, "shared/x", "k", "of a").await;
    h.put(&b, "shared/x", "k", "of b").await;
    h.put(&b, "shared/x", "only", "in b").await;
    assert_eq!(h.content(&a, "shared/x", "k").await.as_deref(), Some("of a"));
    assert_eq!(h.content(&b, "shared/x", "k").await.as_deref(), Some("of b"));
    assert_eq!(h.get(&a, "shared/x", "only").await, None);
    assert_eq!(h.scan(&a, &NamespaceRange::all(), At::Newest, 9).await.len(), 1);
    assert_eq!((h.log(&a, 0).await.versions.len(), h.log(&b, 0).await.versions.len()), (1, 2));
    h.store.delete_swarm(&a).await.unwrap();
    assert_eq!(h.content(&b, "shared/x", "k").await.as_deref(), Some("of b"));
}

pub async fn a_recreated_swarm_is_another(h: &Harness) {
    let id = h.create("a").await;
    h.done(&id, put_for("shared/x", "k", "old", 5)).await;
    let old = h.head(&id).await;
    h.store.delete_swarm(&id).await.unwrap();
    h.create("a").await;
    let new = h.head(&id).await;
    assert_ne!(new.incarnation, old.incarnation);
    assert_ne!(new.mark.nonce, old.mark.nonce);
    assert_eq!((new.mark.revision, new.entries, new.content_bytes), (Revision::ZERO, 0, 0));
    assert_eq!(h.get(&id, "shared/x", "k").await, None);
    assert!(h.log(&id, 0).await.versions.is_empty());
    h.advance(9);
    assert!(h.store.expiring(h.now(), 9).await.unwrap().is_empty());
    assert!(h.store.expired(&id, h.now(), 9).await.unwrap().is_empty());
    assert_eq!(h.put(&id, "shared/x", "k", "new").await.revision, Revision(1));
    while h.store.purge(h.now(), 1).await.unwrap() {}
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("new"));
}

pub async fn every_call_refuses_an_unknown_swarm(h: &Harness) {
    let id = SwarmId::parse("nobody").unwrap();
    let none = |error: Option<Error>| assert!(matches!(error, Some(Error::SwarmNotFound)), "{error:?}");
    let (store, first) = (&h.store, Revision(1));
    let range = NamespaceRange::all();
    let scan = Scan { range, after: None, at: At::Newest, limit: ALL, content: true };
    none(store.swarm(&id).await.err());
    none(store.delete_swarm(&id).await.err());
    none(store.is_committed(&id, Nonce([1; 16]), first).await.err());
    none(store.mark_at(&id, first).await.err());
    none(store.log(&id, LogCursor::after(first), ALL).await.err());
    none(store.entries(&id, &[path("shared/x", "k")], At::Newest).await.err());
    none(store.scan(&id, &scan).await.err());
    none(store.history(&id, &path("shared/x", "k"), None, ALL).await.err());
    none(store.compact(&id, first, 9).await.err());
    none(store.expired(&id, h.now(), 9).await.err());
    let commit = h.try_commit(&id, [put("shared/x", "k", "v")]).await;
    assert!(matches!(commit, Err(CommitError::Failed(Error::SwarmNotFound))));
    // None of them has left the store in a bad way.
    let id = h.create("somebody").await;
    h.put(&id, "shared/x", "k", "v").await;
}

pub async fn heads_come_in_the_order_asked_for(h: &Harness) {
    let (a, b) = (h.create("a").await, h.create("b").await);
    h.put(&b, "shared/x", "k", "v").await;
    let nobody = SwarmId::parse("nobody").unwrap();
    let heads = h.store.heads(&[b.clone(), nobody.clone(), a.clone()]).await.unwrap();
    assert_eq!(heads, [Some(h.head(&b).await), None, Some(h.head(&a).await)]);
    assert!(h.store.heads(&[]).await.unwrap().is_empty());
    let many: Vec<_> = (0..1_300).map(|n| if n % 2 == 0 { a.clone() } else { nobody.clone() }).collect();
    let heads = h.store.heads(&many).await.unwrap();
    assert_eq!(heads.len(), 1_300);
    assert!(heads.iter().enumerate().all(|(n, head)| head.is_some() == (n % 2 == 0)));
}

pub async fn the_store_answers_and_keeps_its_key(h: &Harness) {
    h.store.ping().await.unwrap();
    let id = h.create("a").await;
    let head = h.head(&id).await;
    let position = Position::after(head.incarnation, head.mark);
    let seal = |key: swarmem::domain::position::TokenKey| {
        key.seal(&id, Purpose::Position, Arguments::default(), &position)
    };
    let first = seal(h.store.token_key().await.unwrap());
    assert_eq!(first, seal(h.store.token_key().await.unwrap()));
}
