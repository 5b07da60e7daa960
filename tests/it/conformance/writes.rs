//! Puts, deletes and their conditions.

use std::sync::Arc;

use swarmem::domain::{
    apply::{Effect, Refusal},
    attributes::Attributes,
    entry::{Body, Cause, Change, Kind, Tags},
    limits::Limits,
    request::{Condition, Operation},
    swarm::{Mark, Nonce, Revision},
};

use super::{
    Harness,
    requests::{delete, delete_below, etag, op, path, put, put_if, write},
};

pub async fn a_put_is_read_back_as_written(h: &Harness) {
    let id = h.create("a").await;
    let before = h.head(&id).await;
    let applied = h.commit(&id, [put("shared/x", "k", "text")]).await;
    let commit = applied.commit.unwrap();
    assert_eq!((commit.incarnation, commit.prev), (before.incarnation, before.mark));
    assert_eq!(commit.last, applied.head.mark);
    assert_eq!(commit.first(), Revision(1));
    assert_eq!(applied.head, h.head(&id).await);
    let entry = h.get(&id, "shared/x", "k").await.unwrap();
    assert_eq!([Arc::clone(&entry)].as_slice(), commit.versions);
    assert_eq!((entry.change, entry.cause, &*entry.body.content), (Change::Put, Cause::Write, "text"));
    assert_eq!((entry.version, entry.create_revision, entry.create_time), (1, Revision(1), h.now()));
    assert_eq!((entry.author.as_str(), entry.time, entry.content_bytes), ("ann", h.now(), 4));
    assert_eq!((applied.head.entries, applied.head.content_bytes), (1, 4));
}

pub async fn versions_and_creation_are_counted(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "other", "").await;
    let created = h.put(&id, "shared/x", "k", "1").await;
    let at = h.now();
    h.advance(1);
    h.put(&id, "shared/x", "k", "22").await;
    let entry = h.get(&id, "shared/x", "k").await.unwrap();
    assert_eq!((entry.version, entry.create_revision, entry.create_time), (2, created.revision, at));
    assert_eq!(entry.time, h.now());
    h.done(&id, delete("shared/x", "k")).await;
    let again = h.put(&id, "shared/x", "k", "3").await;
    let entry = h.get(&id, "shared/x", "k").await.unwrap();
    assert_eq!((entry.version, entry.create_revision, entry.create_time), (1, again.revision, h.now()));
}

pub async fn etags_guard_puts(h: &Harness) {
    let id = h.create("a").await;
    let first = h.put(&id, "shared/x", "k", "1").await;
    let second = h.done(&id, put_if("shared/x", "k", "2", etag(first))).await;
    let wrong = Mark { nonce: Nonce([9; 16]), ..second };
    for stale in [first, wrong] {
        let refused = h.run(&id, put_if("shared/x", "k", "3", etag(stale))).await.unwrap_err();
        let current = h.get(&id, "shared/x", "k").await;
        assert_eq!(refused, Refusal::ConditionFailed { path: path("shared/x", "k"), current });
    }
    let refused = h.run(&id, put_if("shared/x", "absent", "3", etag(second))).await.unwrap_err();
    assert_eq!(refused, Refusal::ConditionFailed { path: path("shared/x", "absent"), current: None });
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("2"));
    assert_eq!(h.head(&id).await.mark, second);
}

pub async fn etags_guard_deletes(h: &Harness) {
    let id = h.create("a").await;
    let first = h.put(&id, "shared/x", "k", "1").await;
    let second = h.put(&id, "shared/x", "k", "2").await;
    let guarded = |mark| write(vec![op::delete_if("shared/x", "k", etag(mark))]);
    assert!(h.run(&id, guarded(first)).await.is_err());
    let outcome = h.run(&id, guarded(second)).await.unwrap();
    assert_eq!(outcome.effects, [Effect::Delete(true)]);
    assert_eq!(h.get(&id, "shared/x", "k").await, None);
    assert!(h.run(&id, guarded(second)).await.is_err());
}

pub async fn absence_and_existence_guard_writes(h: &Harness) {
    let id = h.create("a").await;
    let put = |condition| put_if("shared/x", "k", "v", condition);
    let remove = |condition| write(vec![op::delete_if("shared/x", "k", condition)]);
    assert!(h.run(&id, put(Condition::Exists)).await.is_err());
    assert!(h.run(&id, remove(Condition::Exists)).await.is_err());
    h.done(&id, put(Condition::Absent)).await;
    assert!(h.run(&id, put(Condition::Absent)).await.is_err());
    h.done(&id, put(Condition::Exists)).await;
    h.done(&id, remove(Condition::Exists)).await;
    h.done(&id, put(Condition::Absent)).await;
}

pub async fn a_delete_leaves_a_tombstone_with_what_was_deleted(h: &Harness) {
    let id = h.create("a").await;
    let limits = Limits::default();
    let body = Body {
        kind: Kind::Pattern,
        content: "gone".into(),
        attributes: Attributes::parse(r#"{"a":1}"#, &limits).unwrap(),
        tags: Tags::parse(&["t"], &limits).unwrap(),
        ..Body::default()
    };
    let written = Operation::Put {
        path: path("shared/x", "k"),
        body: body.clone(),
        expiry: None,
        condition: Condition::Always,
    };
    let created = h.done(&id, write(vec![written])).await;
    let deleted = h.done(&id, delete("shared/x", "k")).await;
    let log = h.log(&id, created.revision.0).await;
    let [tombstone] = log.versions.as_slice() else { panic!("{log:?}") };
    assert_eq!((tombstone.change, tombstone.mark, tombstone.content_bytes), (Change::Delete, deleted, 0));
    assert_eq!((tombstone.version, tombstone.create_revision), (1, created.revision));
    assert_eq!(tombstone.body, Body { content: "".into(), ..body });
}

pub async fn deleting_nothing_takes_no_revision(h: &Harness) {
    let id = h.create("a").await;
    let before = h.head(&id).await;
    h.advance(5);
    let applied = h.commit(&id, [delete("shared/x", "k"), delete_below("shared/x", None)]).await;
    assert_eq!(applied.commit, None);
    let effects: Vec<_> = applied.answers.into_iter().map(|a| a.unwrap()).collect();
    assert_eq!((effects[0].taken, &effects[0].effects[0]), (None, &Effect::Delete(false)));
    assert_eq!(effects[1].effects, [Effect::DeletePrefix { deleted: 0, more: false }]);
    assert_eq!(h.head(&id).await, before);
    // The store's lock was given back.
    h.put(&id, "shared/x", "k", "v").await;
}

pub async fn a_batch_is_all_or_nothing(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "there", "1").await;
    let before = h.head(&id).await;
    let request = write(vec![
        op::put("shared/x", "new", "v"),
        op::put_if("shared/x", "there", "2", Condition::Absent),
        op::put("shared/y", "other", "v"),
    ]);
    assert!(h.run(&id, request).await.is_err());
    assert_eq!(h.head(&id).await, before);
    assert_eq!(h.get(&id, "shared/x", "new").await, None);
    let all = write(vec![op::put("shared/x", "new", "v"), op::delete("shared/x", "there")]);
    let mark = h.done(&id, all).await;
    let log = h.log(&id, before.mark.revision.0).await.versions;
    assert_eq!(log.iter().map(|v| (v.mark, v.ordinal)).collect::<Vec<_>>(), [(mark, 0), (mark, 1)]);
}

pub async fn a_refusal_disturbs_no_other_request(h: &Harness) {
    let id = h.create("a").await;
    let applied = h
        .commit(
            &id,
            [
                put("shared/x", "1", "v"),
                put_if("shared/x", "1", "never", Condition::Absent),
                put("shared/x", "2", "v"),
                put_if("shared/x", "3", "never", Condition::Exists),
                delete("shared/x", "1"),
            ],
        )
        .await;
    let taken: Vec<_> =
        applied.answers.iter().map(|a| a.as_ref().ok().and_then(|o| o.taken).map(|m| m.revision.0)).collect();
    assert_eq!(taken, [Some(1), None, Some(2), None, Some(3)]);
    assert!(applied.answers[1].is_err() && applied.answers[3].is_err());
    assert!(applied.commit.unwrap().versions.iter().all(|v| v.mark.nonce == applied.head.mark.nonce));
    assert_eq!(h.content(&id, "shared/x", "2").await.as_deref(), Some("v"));
    assert_eq!(h.get(&id, "shared/x", "1").await, None);
}

pub async fn requests_of_a_batch_see_each_other(h: &Harness) {
    let id = h.create("a").await;
    let applied = h
        .commit(
            &id,
            [
                put("shared/x", "k", "1"),
                put_if("shared/x", "k", "2", Condition::Exists),
                write(vec![op::get("shared/x", "k")]),
                delete("shared/x", "k"),
                put_if("shared/x", "k", "3", Condition::Absent),
            ],
        )
        .await;
    let read = applied.answers[2].as_ref().unwrap();
    let [Effect::Get(Some(read))] = read.effects.as_slice() else { panic!("{read:?}") };
    assert_eq!(&*read.body.content, "2");
    let entry = h.get(&id, "shared/x", "k").await.unwrap();
    assert_eq!((&*entry.body.content, entry.version, entry.mark.revision), ("3", 1, Revision(4)));
}

/// Namespaces that are neighbours in byte order, but not all below `shared/a`.
const NEIGHBOURS: [&str; 6] =
    ["shared/a", "shared/a-b", "shared/a/b", "shared/a/b/c", "shared/a0", "shared/ab"];

pub async fn deletes_below_a_prefix_match_segments(h: &Harness) {
    let id = h.create("a").await;
    for namespace in NEIGHBOURS {
        h.put(&id, namespace, "k", namespace).await;
    }
    let outcome = h.run(&id, delete_below("shared/a", None)).await.unwrap();
    assert_eq!(outcome.effects, [Effect::DeletePrefix { deleted: 3, more: false }]);
    let mut left = Vec::new();
    for namespace in NEIGHBOURS {
        left.extend(h.content(&id, namespace, "k").await);
    }
    assert_eq!(left, ["shared/a-b", "shared/a0", "shared/ab"]);
    h.run(&id, delete_below("shared", None)).await.unwrap();
    assert_eq!(h.head(&id).await.entries, 0);
}

pub async fn deletes_below_a_prefix_are_limited(h: &Harness) {
    let id = h.create("a").await;
    for n in 0..5 {
        h.put(&id, "shared/a", &format!("k{n}"), "v").await;
    }
    h.put(&id, "shared/a/b", "k", "v").await;
    let expected = [(2, true), (2, true), (2, false), (0, false)];
    for (deleted, more) in expected {
        let outcome = h.run(&id, delete_below("shared/a", Some(2))).await.unwrap();
        assert_eq!(outcome.effects, [Effect::DeletePrefix { deleted, more }]);
    }
}

pub async fn deletes_below_a_prefix_can_be_too_large(h: &Harness) {
    let mut h = Harness::new(h.store.clone(), h.clock.clone(), Box::new(()));
    h.limits.delete_prefix_max = 3;
    let id = h.create("a").await;
    for n in 0..4 {
        h.put(&id, "shared/a", &format!("k{n}"), "v").await;
    }
    let refused = h.run(&id, delete_below("shared/a", None)).await.unwrap_err();
    assert!(matches!(refused, Refusal::PrefixTooLarge { max: 3, .. }), "{refused:?}");
    let outcome = h.run(&id, delete_below("shared/a", Some(1))).await.unwrap();
    assert_eq!(outcome.effects, [Effect::DeletePrefix { deleted: 1, more: true }]);
    let outcome = h.run(&id, delete_below("shared/a", None)).await.unwrap();
    assert_eq!(outcome.effects, [Effect::DeletePrefix { deleted: 3, more: false }]);
}

pub async fn names_of_any_alphabet_are_kept(h: &Harness) {
    let id = h.create("a").await;
    let names = ["ключ", "鍵/with/slashes", "e\u{301}", "\u{e9}", "🗝️ \"quoted\\\" ' % _", "\u{10FFFF}"];
    for name in names {
        h.put(&id, "shared/ünïcode/名前", name, name).await;
    }
    for name in names {
        assert_eq!(h.content(&id, "shared/ünïcode/名前", name).await.as_deref(), Some(name));
    }
    assert_eq!(h.head(&id).await.entries, names.len() as u64);
    h.run(&id, delete_below("shared/ünïcode", None)).await.unwrap();
    assert_eq!(h.head(&id).await.entries, 0);
}

pub async fn large_contents_are_kept(h: &Harness) {
    let id = h.create("a").await;
    let large = "ö".repeat(h.limits.content_bytes_max / 2);
    h.put(&id, "shared/x", "k", &large).await;
    h.put(&id, "shared/x", "empty", "").await;
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some(&*large));
    assert_eq!(h.content(&id, "shared/x", "empty").await.as_deref(), Some(""));
    assert_eq!(h.head(&id).await.content_bytes, large.len() as u64);
    assert_eq!(&*h.log(&id, 0).await.versions[0].body.content, large);
}

pub async fn a_thousand_operations_are_one_revision(h: &Harness) {
    let id = h.create("a").await;
    let puts: Vec<_> = (0..1_000).map(|n| op::put("shared/x", &format!("k{n:04}"), "v")).collect();
    let first = h.done(&id, write(puts.clone())).await;
    assert_eq!((first.revision, h.head(&id).await.entries), (Revision(1), 1_000));
    let applied = h.commit(&id, [write(puts.clone()), write(puts)]).await;
    assert_eq!(applied.head.mark.revision, Revision(3));
    assert_eq!(h.get(&id, "shared/x", "k0777").await.unwrap().version, 3);
    let outcome = h.run(&id, delete_below("shared/x", None)).await.unwrap();
    assert_eq!(outcome.effects, [Effect::DeletePrefix { deleted: 1_000, more: false }]);
}

pub async fn everything_a_writer_says_is_kept(h: &Harness) {
    let id = h.create("a").await;
    let limits = Limits::default();
    let kinds = [
        Kind::Fact,
        Kind::Message,
        Kind::Preference,
        Kind::Pattern,
        Kind::Document,
        Kind::Summary,
        Kind::Block,
    ];
    for (n, kind) in kinds.into_iter().enumerate() {
        let body = Body {
            kind,
            content: format!("text {n}").into(),
            attributes: Attributes::parse(r#"{"n":12345678901234567890.10,"ü":[null]}"#, &limits).unwrap(),
            tags: Tags::parse(&["b", "a", "b"], &limits).unwrap(),
            importance: n as f64 / 10.0,
            source: "a book".into(),
        };
        let (path, condition) = (path("shared/x", "k"), Condition::Always);
        h.done(&id, write(vec![Operation::Put { path, body: body.clone(), expiry: None, condition }])).await;
        assert_eq!(h.get(&id, "shared/x", "k").await.unwrap().body, body);
    }
}
