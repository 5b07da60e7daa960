//! Comparisons, and the branch they choose.

use swarmem::domain::{
    apply::{Effect, Refusal},
    entry::Etag,
    request::{
        Comparison::{Eq, Gt, Gte, Lt, Lte, Ne},
        Condition, Test,
    },
    swarm::Revision,
};

use super::{
    Harness,
    requests::{below, content, delete, on, op, put_for, transaction},
};

/// Whether the comparison holds, tried by a transaction that changes nothing.
async fn holds(
    h: &Harness,
    id: &swarmem::domain::swarm::SwarmId,
    compare: swarmem::domain::request::Compare,
) -> bool {
    let request = transaction(vec![compare], vec![], vec![]);
    h.run(id, request).await.unwrap().succeeded
}

pub async fn comparisons_choose_the_branch(h: &Harness) {
    let id = h.create("a").await;
    let request = || {
        transaction(
            vec![on("shared/x", "k", Test::Exists(false)), on("shared/x", "other", Test::Exists(false))],
            vec![op::put("shared/x", "k", "first")],
            vec![op::put("shared/x", "k", "second"), op::delete("shared/x", "nothing")],
        )
    };
    let first = h.run(&id, request()).await.unwrap();
    assert!(first.succeeded && first.effects.len() == 1);
    let second = h.run(&id, request()).await.unwrap();
    assert!(!second.succeeded && second.effects.len() == 2);
    assert_eq!(second.taken.unwrap().revision, Revision(2));
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("second"));
}

pub async fn comparisons_look_at_every_property(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "other", "v").await;
    let created = h.put(&id, "shared/x", "k", "b").await;
    let written = h.put(&id, "shared/x", "k", "m").await;
    let there = |test| on("shared/x", "k", test);
    let absent = |test| on("shared/x", "absent", test);
    for (test, expected) in [
        (Test::Exists(true), true),
        (Test::Exists(false), false),
        (Test::Etag(true, Etag(written)), true),
        (Test::Etag(true, Etag(created)), false),
        (Test::Etag(false, Etag(created)), true),
        (content(Eq, "m"), true),
        (content(Ne, "m"), false),
        (content(Gt, "Z"), true),
        (content(Gte, "n"), false),
        (content(Lt, "ü"), true),
        (content(Lte, "m"), true),
        (Test::Revision(Eq, written.revision.0), true),
        (Test::Revision(Gt, written.revision.0), false),
        (Test::CreateRevision(Eq, created.revision.0), true),
        (Test::CreateRevision(Lt, created.revision.0), false),
        (Test::Version(Eq, 2), true),
        (Test::Version(Gte, 3), false),
    ] {
        assert_eq!(holds(h, &id, there(test.clone())).await, expected, "{test:?}");
    }
    for (test, expected) in [
        (Test::Exists(false), true),
        (Test::Etag(false, Etag(written)), false),
        (content(Ne, "m"), false),
        (Test::Revision(Eq, 0), true),
        (Test::Version(Lt, 1), true),
    ] {
        assert_eq!(holds(h, &id, absent(test.clone())).await, expected, "absent: {test:?}");
    }
    h.done(&id, delete("shared/x", "k")).await;
    assert!(holds(h, &id, there(Test::Version(Eq, 0))).await, "a deleted entry counts as absent");
    h.done(&id, put_for("shared/x", "k", "v", 1)).await;
    h.advance(1);
    assert!(holds(h, &id, there(Test::Exists(false))).await, "an expired entry counts as absent");
}

pub async fn comparisons_below_a_prefix_hold_for_all(h: &Harness) {
    let id = h.create("a").await;
    let all = |test| below("shared/a", test);
    assert!(holds(h, &id, all(Test::Exists(false))).await);
    assert!(holds(h, &id, all(Test::Version(Eq, 9))).await, "of nothing everything holds");
    h.put(&id, "shared/ab", "k", "v").await;
    assert!(holds(h, &id, all(Test::Exists(false))).await);
    let first = h.put(&id, "shared/a", "k", "v").await;
    let last = h.put(&id, "shared/a/b", "k", "v").await;
    assert!(holds(h, &id, all(Test::Exists(true))).await);
    assert!(holds(h, &id, all(Test::Revision(Lte, last.revision.0))).await);
    assert!(!holds(h, &id, all(Test::Revision(Lte, first.revision.0))).await);
    assert!(holds(h, &id, all(Test::Version(Eq, 1))).await);
}

pub async fn comparisons_below_a_prefix_can_be_too_large(h: &Harness) {
    let mut small = Harness::new(h.store.clone(), h.clock.clone(), Box::new(()));
    small.limits.delete_prefix_max = 2;
    let id = h.create("a").await;
    let compare = || transaction(vec![below("shared/a", Test::Exists(true))], vec![], vec![]);
    for n in 0..2 {
        h.put(&id, "shared/a", &format!("k{n}"), "v").await;
    }
    assert!(small.run(&id, compare()).await.unwrap().succeeded);
    h.put(&id, "shared/a/b", "k", "v").await;
    let refused = small.run(&id, compare()).await.unwrap_err();
    assert!(matches!(refused, Refusal::PrefixTooLarge { max: 2, .. }), "{refused:?}");
}

pub async fn reads_see_the_operations_before_them(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "old", "old").await;
    h.put(&id, "shared/x", "k", "before").await;
    let outcome = h
        .run(
            &id,
            transaction(
                vec![],
                vec![
                    op::get("shared/x", "k"),
                    op::put("shared/x", "k", "after"),
                    op::get("shared/x", "k"),
                    op::delete("shared/x", "old"),
                    op::get("shared/x", "old"),
                    op::get("shared/x", "absent"),
                ],
                vec![],
            ),
        )
        .await
        .unwrap();
    let read = |at: usize| match &outcome.effects[at] {
        Effect::Get(found) => found.as_ref().map(|v| v.body.content.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!((read(0).as_deref(), read(2).as_deref()), (Some("before"), Some("after")));
    assert_eq!((read(4), read(5)), (None, None));
}

pub async fn a_transaction_that_only_reads_takes_no_revision(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "v").await;
    let before = h.head(&id).await;
    let outcome = h.run(&id, transaction(vec![], vec![op::get("shared/x", "k")], vec![])).await.unwrap();
    assert!(outcome.succeeded && outcome.taken.is_none());
    assert_eq!(outcome.effects, [Effect::Get(h.get(&id, "shared/x", "k").await)]);
    assert_eq!(h.head(&id).await, before);
}

pub async fn a_condition_inside_a_transaction_refuses_all_of_it(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "v").await;
    let before = h.head(&id).await;
    let request = transaction(
        vec![on("shared/x", "k", Test::Exists(true))],
        vec![op::put("shared/x", "new", "v"), op::put_if("shared/x", "k", "2", Condition::Absent)],
        vec![op::put("shared/x", "failed", "v")],
    );
    let refused = h.run(&id, request).await.unwrap_err();
    assert!(matches!(refused, Refusal::ConditionFailed { current: Some(_), .. }));
    assert_eq!(h.head(&id).await, before);
}
