//! List and ListNamespaces: filters, views, order, pages.

use swarmem::{
    client::Client,
    wire::v1::{self, attribute_condition::Operator as O},
};

use super::harness::{Server, at_revision, delete, put};

fn filtered(filter: v1::Filter) -> v1::ListRequest {
    v1::ListRequest { filter: Some(filter), ..Default::default() }
}

fn attribute(path: &str, operator: O, value: &str) -> v1::Filter {
    let condition =
        v1::AttributeCondition { path: path.into(), operator: operator.into(), value: value.into() };
    v1::Filter { attributes: vec![condition], ..Default::default() }
}

/// The keys that a filter finds.
async fn keys(client: &Client, filter: v1::Filter) -> String {
    let page = client.list(filtered(filter)).await.unwrap();
    page.entries.into_iter().map(|e| e.key).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_filter_finds_what_it_says() {
    let server = Server::start().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    let tags = |tags: &[&str]| tags.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let fact = v1::PutOperation { tags: tags(&["red", "big"]), ..put("shared/a", "1", "") };
    let message = v1::PutOperation { kind: v1::Kind::Message.into(), ..put("shared/a/b", "2", "") };
    let block =
        v1::PutOperation { kind: v1::Kind::Block.into(), tags: tags(&["red"]), ..put("shared/ab", "3", "") };
    ann.batch_put(vec![fact, message]).await.unwrap();
    bob.put(block).await.unwrap();
    let time = bob.put(put("agents/bob", "4", "")).await.unwrap();
    let boss = server.orchestrator().await;
    let entry =
        boss.get(super::harness::name("agents/bob", "4"), at_revision(3)).await.unwrap().entry.unwrap();
    assert!(!time.token.is_empty());
    let filter = v1::Filter::default;
    for (what, expected) in [
        (filter(), "4 1 2 3"),
        (v1::Filter { prefixes: tags(&["shared/a"]), ..filter() }, "1 2"),
        (v1::Filter { prefixes: tags(&["shared/a/b", "shared/ab", "shared/a/b"]), ..filter() }, "2 3"),
        (v1::Filter { prefixes: tags(&["agents"]), ..filter() }, "4"),
        (v1::Filter { prefixes: tags(&["shared/none"]), ..filter() }, ""),
        (v1::Filter { kinds: vec![v1::Kind::Fact.into()], ..filter() }, "4 1"),
        (v1::Filter { kinds: vec![v1::Kind::Message.into(), v1::Kind::Block.into()], ..filter() }, "2 3"),
        (v1::Filter { tags: tags(&["red"]), ..filter() }, "1 3"),
        (v1::Filter { tags: tags(&["red", "big"]), ..filter() }, "1"),
        (v1::Filter { authors: tags(&["ann"]), ..filter() }, "1 2"),
        (v1::Filter { authors: tags(&["ann", "bob"]), kinds: vec![1], ..filter() }, "4 1"),
        (v1::Filter { updated_from: entry.update_time, ..filter() }, "4"),
        (v1::Filter { updated_before: entry.update_time, ..filter() }, "1 2 3"),
    ] {
        assert_eq!(keys(&boss, what.clone()).await, expected, "{what:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn attributes_are_compared_as_json() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let entries = [
        ("1", r#"{"n": 10, "s": "b", "o": {"p": [1]}, "o.q": 5}"#),
        ("2", r#"{"n": 9.0, "s": "B", "flag": null}"#),
        ("3", r#"{"n": "10", "o": 3, "big": 18446744073709551615}"#),
        ("4", ""),
    ];
    let puts =
        entries.map(|(key, text)| v1::PutOperation { attributes: text.into(), ..put("shared/x", key, "") });
    ann.batch_put(puts.into()).await.unwrap();
    for (path, operator, value, expected) in [
        ("n", O::Eq, "10.0", "1"),
        ("n", O::Eq, "\"10\"", "3"),
        ("n", O::Ne, "10", "2 3 4"),
        ("n", O::Gt, "9", "1"),
        ("n", O::Gte, "9", "1 2"),
        ("n", O::Lt, "1e1", "2"),
        ("n", O::Lte, "10", "1 2"),
        ("n", O::Lt, "\"2\"", "3"),
        ("s", O::Gt, "\"B\"", "1"),
        ("n", O::In, "[9, \"10\"]", "2 3"),
        ("n", O::In, "[]", ""),
        ("n", O::Exists, "", "1 2 3"),
        ("n", O::Exists, "true", "1 2 3"),
        ("n", O::Exists, "false", "4"),
        ("flag", O::Exists, "", "2"),
        ("flag", O::Eq, "null", "2"),
        ("o.p", O::Eq, "[1.0]", "1"),
        ("o", O::Eq, "{\"p\": [1]}", "1"),
        ("o.q", O::Eq, "5", "1"),
        ("big", O::Gt, "18446744073709551614", "3"),
    ] {
        let found = keys(&ann, attribute(path, operator, value)).await;
        assert_eq!(found, expected, "{path} {operator:?} {value}");
    }
    let mut both = attribute("n", O::Gt, "0");
    both.attributes.extend(attribute("s", O::Eq, "\"b\"").attributes);
    assert_eq!(keys(&ann, both).await, "1", "all conditions hold");
    server.stop().await;
}

#[tokio::test]
async fn a_view_shows_as_much_as_it_says() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let put = v1::PutOperation {
        attributes: "{\"a\":1}".into(),
        tags: vec!["t".into()],
        source: "s".into(),
        ..put("shared/x", "k", "text")
    };
    ann.put(put).await.unwrap();
    let list = async |view: v1::View| {
        let filter = Some(attribute("a", O::Eq, "1"));
        ann.list(v1::ListRequest { view: view.into(), filter, ..Default::default() }).await.unwrap()
    };
    for view in [v1::View::Unspecified, v1::View::Full] {
        let page = list(view).await;
        assert_eq!((page.entries[0].content.as_str(), page.count, page.revision), ("text", 0, 1));
        assert!(!page.token.is_empty());
    }
    let keys = list(v1::View::Keys).await.entries.remove(0);
    assert_eq!((keys.content.as_str(), keys.attributes.as_str()), ("", ""));
    assert_eq!((keys.tags, keys.source.as_str(), keys.version), (vec!["t".to_owned()], "s", 1));
    let count = list(v1::View::Count).await;
    assert_eq!((count.entries.len(), count.count, count.next_page_token.as_str()), (0, 1, ""));
    server.stop().await;
}

/// Everything that a listing gives, page by page, with something done between the pages.
async fn pages(
    client: &Client,
    mut request: v1::ListRequest,
    between: impl AsyncFn(),
) -> Vec<v1::ListResponse> {
    let mut pages = Vec::new();
    loop {
        let page = client.list(request.clone()).await.unwrap();
        request.page_token.clone_from(&page.next_page_token);
        pages.push(page);
        if request.page_token.is_empty() {
            return pages;
        }
        between().await;
    }
}

#[tokio::test]
async fn pages_are_of_one_revision_while_writers_go_on() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let names = ["shared/a", "shared/a-b", "shared/a/b", "agents/ann"];
    let puts = names.iter().flat_map(|n| ["ä", "b", "B"].map(|key| put(n, key, "old"))).collect();
    ann.batch_put(puts).await.unwrap();
    let request = v1::ListRequest { page_size: 5, ..Default::default() };
    let pages = pages(&ann, request, async || {
        ann.put(put("shared/a", "b", "new")).await.unwrap();
        ann.put(put("shared/a/b", "zz", "new")).await.unwrap();
        ann.delete(delete("shared/a-b", "B")).await.unwrap();
    });
    let pages = pages.await;
    assert_eq!(pages.iter().map(|p| p.entries.len()).collect::<Vec<_>>(), [5, 5, 2]);
    assert!(pages.iter().all(|p| p.revision == 1));
    let all: Vec<_> = pages.into_iter().flat_map(|p| p.entries).collect();
    assert!(all.iter().all(|e| e.content == "old"));
    let order: Vec<_> = all.iter().map(|e| (e.namespace.clone(), e.key.clone())).collect();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted, "bytewise by namespace and key");
    server.stop().await;
}

#[tokio::test]
async fn a_page_ends_at_its_bytes() {
    let server = Server::start_with(|config| config.limits.page_bytes_max = 1024).await;
    let ann = server.agent("ann").await;
    ann.batch_put((0..5).map(|n| put("shared/x", &n.to_string(), &"x".repeat(600))).collect()).await.unwrap();
    let pages = pages(&ann, v1::ListRequest::default(), async || {}).await;
    assert_eq!(pages.iter().map(|p| p.entries.len()).collect::<Vec<_>>(), [2, 2, 1]);
    server.stop().await;
}

/// What an entry's time does to it is judged alike on every page.
#[tokio::test]
async fn pages_at_an_exact_revision_show_what_has_expired_since() {
    let server = Server::start_with(|config| config.retention.expiry_interval_ms = 3_600_000).await;
    let ann = server.agent("ann").await;
    let long_ago = prost_types::Timestamp { seconds: 1, nanos: 0 };
    let expired = |namespace: &str, key: &str| v1::PutOperation {
        expiry: Some(v1::put_operation::Expiry::ExpireTime(long_ago)),
        ..put(namespace, key, "")
    };
    let puts = vec![expired("shared/a", "1"), expired("shared/a", "2"), expired("shared/b", "3")];
    ann.batch_put(puts).await.unwrap();
    let exact = v1::ListRequest { page_size: 1, consistency: at_revision(1), ..Default::default() };
    let entries: usize = pages(&ann, exact, async || {}).await.iter().map(|p| p.entries.len()).sum();
    assert_eq!(entries, 3);
    assert_eq!(keys(&ann, v1::Filter::default()).await, "", "but the newest state has none");
    let mut names =
        v1::ListNamespacesRequest { page_size: 1, consistency: at_revision(1), ..Default::default() };
    let first = ann.list_namespaces(names.clone()).await.unwrap();
    names.page_token = first.next_page_token;
    let second = ann.list_namespaces(names).await.unwrap();
    assert_eq!((first.namespaces[0].entries, second.namespaces[0].entries), (2, 1));
    server.stop().await;
}

#[tokio::test]
async fn namespaces_are_listed_by_prefix_suffix_and_depth() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let places = ["shared/a", "shared/a/x", "shared/a/x/y", "shared/a-b/x", "shared/ab", "agents/ann/x"];
    let puts = places.iter().flat_map(|place| [put(place, "1", ""), put(place, "2", "")]).collect();
    ann.batch_put(puts).await.unwrap();
    for (prefix, suffix, depth, expected) in [
        ("", "", 0, "agents/ann/x=2 shared/a=2 shared/a-b/x=2 shared/a/x=2 shared/a/x/y=2 shared/ab=2"),
        ("shared/a", "", 0, "shared/a=2 shared/a/x=2 shared/a/x/y=2"),
        ("", "x", 0, "agents/ann/x=2 shared/a-b/x=2 shared/a/x=2"),
        ("shared", "a/x", 0, "shared/a/x=2"),
        ("", "", 1, "agents=2 shared=10"),
        ("", "", 2, "agents/ann=2 shared/a=6 shared/a-b=2 shared/ab=2"),
        ("shared", "x", 2, "shared/a=2 shared/a-b=2"),
        ("", "", 16, "agents/ann/x=2 shared/a=2 shared/a-b/x=2 shared/a/x=2 shared/a/x/y=2 shared/ab=2"),
        ("shared/none", "", 0, ""),
    ] {
        for page_size in [0, 1, 2, 1000] {
            let mut request = v1::ListNamespacesRequest {
                prefix: prefix.into(),
                suffix: suffix.into(),
                depth,
                page_size,
                ..Default::default()
            };
            let mut found = Vec::new();
            loop {
                let page = ann.list_namespaces(request.clone()).await.unwrap();
                assert!(page_size == 0 || page.namespaces.len() <= page_size as usize);
                found.extend(page.namespaces.iter().map(|n| format!("{}={}", n.namespace, n.entries)));
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(found.join(" "), expected, "{prefix} {suffix} {depth} {page_size}");
        }
    }
    server.stop().await;
}
