//! Transact: comparisons on entries and prefixes, both branches, reads inside.

use swarmem::{
    client::Client,
    wire::v1::{self, compare, operation::Operation as Do, operation_result::Result as Did},
};

use super::harness::{Server, delete, name, put};

fn on(key: &str, operator: compare::Operator, value: compare::Value) -> v1::Compare {
    let target = compare::Target::Entry(name("shared/x", key));
    v1::Compare { target: Some(target), operator: operator.into(), value: Some(value) }
}

fn below(prefix: &str, operator: compare::Operator, value: compare::Value) -> v1::Compare {
    let target = compare::Target::Prefix(prefix.into());
    v1::Compare { target: Some(target), operator: operator.into(), value: Some(value) }
}

fn operations(operations: impl IntoIterator<Item = Do>) -> Vec<v1::Operation> {
    operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) }).collect()
}

fn results(answer: v1::TransactResponse) -> Vec<Did> {
    answer.results.into_iter().map(|r| r.result.unwrap()).collect()
}

async fn holds(client: &Client, compares: Vec<v1::Compare>) -> bool {
    let request = v1::TransactRequest { compares, ..Default::default() };
    let answer = client.transact(request).await.unwrap();
    assert_eq!((answer.results.len(), answer.revision), (0, 0));
    answer.succeeded
}

#[tokio::test]
async fn entries_are_compared_by_all_they_have() {
    use compare::{Operator as O, Value as V};
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "other", "")).await.unwrap();
    ann.put(put("shared/x", "k", "a")).await.unwrap();
    let etag = ann.put(put("shared/x", "k", "b")).await.unwrap().result.unwrap().etag;
    let other = ann.put(put("shared/x", "other", "")).await.unwrap().result.unwrap().etag;
    let text = |text: &str| V::Content(text.into());
    // The entry: revision 3, created at 2, version 2, content "b".
    for (operator, value, expected) in [
        (O::Unspecified, V::Exists(true), true),
        (O::Unspecified, V::Exists(false), false),
        (O::Unspecified, V::Etag(etag.clone()), true),
        (O::Eq, V::Etag(other.clone()), false),
        (O::Ne, V::Etag(other.clone()), true),
        (O::Eq, text("b"), true),
        (O::Ne, text("b"), false),
        (O::Gt, text("ab"), true),
        (O::Lt, text("ba"), true),
        (O::Eq, V::Revision(3), true),
        (O::Ne, V::Revision(3), false),
        (O::Gt, V::Revision(2), true),
        (O::Gte, V::Revision(4), false),
        (O::Lt, V::Revision(u64::MAX), true),
        (O::Lte, V::Revision(2), false),
        (O::Eq, V::CreateRevision(2), true),
        (O::Gt, V::CreateRevision(2), false),
        (O::Eq, V::Version(2), true),
        (O::Lte, V::Version(1), false),
    ] {
        let said = format!("{operator:?} {value:?}");
        assert_eq!(holds(&ann, vec![on("k", operator, value)]).await, expected, "{said}");
    }
    // Of an absent entry the numbers are 0, and nothing else holds but that it is absent.
    for (operator, value, expected) in [
        (O::Unspecified, V::Exists(false), true),
        (O::Eq, V::Version(0), true),
        (O::Gt, V::Revision(0), false),
        (O::Eq, V::CreateRevision(0), true),
        (O::Ne, V::Etag(etag.clone()), false),
        (O::Ne, text("b"), false),
        (O::Lte, text(""), false),
    ] {
        let said = format!("{operator:?} {value:?}");
        assert_eq!(holds(&ann, vec![on("missing", operator, value)]).await, expected, "{said}");
    }
    let all = vec![on("k", O::Eq, V::Version(2)), on("other", O::Eq, V::Version(9))];
    assert!(!holds(&ann, all).await, "all must hold");
    assert_eq!(server.revision().await, 4);
    server.stop().await;
}

#[tokio::test]
async fn every_entry_below_a_prefix_is_compared() {
    use compare::{Operator as O, Value as V};
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/a", "1", "")).await.unwrap();
    ann.put(put("shared/a/b", "2", "")).await.unwrap();
    ann.put(put("shared/ab", "3", "")).await.unwrap();
    for (prefix, operator, value, expected) in [
        ("shared/a", O::Lte, V::Revision(2), true),
        ("shared/a", O::Lt, V::Revision(2), false),
        ("shared", O::Lte, V::Revision(2), false),
        ("shared/a/b", O::Eq, V::CreateRevision(2), true),
        ("shared/a", O::Eq, V::Version(1), true),
        ("shared/a", O::Unspecified, V::Exists(true), true),
        ("shared/a", O::Unspecified, V::Exists(false), false),
        ("shared/none", O::Unspecified, V::Exists(true), false),
        ("shared/none", O::Unspecified, V::Exists(false), true),
        ("shared/none", O::Eq, V::Version(77), true),
    ] {
        let said = format!("{prefix} {operator:?} {value:?}");
        assert_eq!(holds(&ann, vec![below(prefix, operator, value)]).await, expected, "{said}");
    }
    server.stop().await;
}

#[tokio::test]
async fn one_branch_is_done_in_one_revision_and_reads_what_it_leaves() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.batch_put(["a", "b", "c"].map(|k| put("shared/x", k, "old")).into()).await.unwrap();
    ann.put(put("shared/y/z", "d", "old")).await.unwrap();
    let get = |key: &str| Do::Get(name("shared/x", key));
    let prefix = v1::DeletePrefixOperation { prefix: "shared/y".into(), limit: 0 };
    let request = v1::TransactRequest {
        compares: vec![on("a", compare::Operator::Eq, compare::Value::Version(1))],
        success: operations([
            get("a"),
            Do::Put(put("shared/x", "a", "new")),
            get("a"),
            Do::Delete(delete("shared/x", "b")),
            get("b"),
            Do::Delete(delete("shared/x", "missing")),
            Do::DeletePrefix(prefix),
            Do::Get(name("shared/y/z", "d")),
        ]),
        failure: operations([get("c"), Do::Put(put("shared/x", "c", "failed"))]),
        ..Default::default()
    };
    let answer = ann.transact(request.clone()).await.unwrap();
    assert_eq!((answer.succeeded, answer.revision), (true, 3));
    let did = results(answer);
    let content = |did: &Did| match did {
        Did::Get(v1::GetResult { entry }) => entry.as_ref().map(|e| e.content.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(content(&did[0]).as_deref(), Some("old"));
    let Did::Put(written) = &did[1] else { panic!("{:?}", did[1]) };
    assert_eq!((written.revision, written.version), (3, 2));
    assert_eq!(content(&did[2]).as_deref(), Some("new"), "read as the transaction leaves it");
    assert_eq!(did[3], Did::Delete(v1::DeleteResult { deleted: true }));
    assert_eq!(content(&did[4]), None);
    assert_eq!(did[5], Did::Delete(v1::DeleteResult { deleted: false }));
    assert_eq!(did[6], Did::DeletePrefix(v1::DeletePrefixResult { deleted: 1, more: false }));
    assert_eq!(content(&did[7]), None);

    let answer = ann.transact(request).await.unwrap();
    assert_eq!((answer.succeeded, answer.revision), (false, 4));
    assert_eq!(answer.results.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn what_changes_nothing_takes_no_revision() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "k", "")).await.unwrap();
    let request = v1::TransactRequest {
        success: operations([Do::Get(name("shared/x", "k")), Do::Delete(delete("shared/x", "missing"))]),
        ..Default::default()
    };
    let answer = ann.transact(request).await.unwrap();
    assert_eq!((answer.succeeded, answer.revision, answer.results.len()), (true, 0, 2));
    assert!(!answer.token.is_empty());
    assert_eq!(server.revision().await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_precondition_inside_fails_the_whole_transaction() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let conditional =
        v1::PutOperation { precondition: super::harness::absent(false), ..put("shared/x", "k", "") };
    let request = v1::TransactRequest {
        success: operations([Do::Put(put("shared/x", "other", "")), Do::Put(conditional)]),
        ..Default::default()
    };
    let error = ann.transact(request).await.unwrap_err();
    assert_eq!(error.reason(), Some("CONDITION_FAILED"));
    assert_eq!(server.revision().await, 0);
    server.stop().await;
}
