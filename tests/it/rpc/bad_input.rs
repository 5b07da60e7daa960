//! What cannot be accepted is refused with the field's name as a client would write it, and leaves nothing behind.

use prost::Message;
use swarmem::wire::v1::{
    self,
    attribute_condition::Operator as O,
    compare::{Target, Value},
    operation::Operation as Do,
    put_operation::Expiry,
    watch_request::Start,
};

use super::harness::{SWARM, Server, delete, etag, field, name, put};

/// Everything that a test refuses: method, message, the field that is named.
pub struct Cases(pub Vec<(&'static str, Vec<u8>, &'static str)>);

impl Cases {
    pub fn add(&mut self, method: &'static str, message: &impl Message, field: &'static str) {
        self.0.push((method, message.encode_to_vec(), field));
    }

    fn put(&mut self, put: v1::PutOperation, field: &'static str) {
        let request = v1::PutRequest { swarm: SWARM.into(), put: Some(put), ..Default::default() };
        self.add("MemoryService/Put", &request, field);
    }

    fn transact(&mut self, request: v1::TransactRequest, field: &'static str) {
        let request = v1::TransactRequest { swarm: SWARM.into(), ..request };
        self.add("MemoryService/Transact", &request, field);
    }

    fn filter(&mut self, filter: v1::Filter, field: &'static str) {
        let list =
            v1::ListRequest { swarm: SWARM.into(), filter: Some(filter.clone()), ..Default::default() };
        self.add("MemoryService/List", &list, field);
        let watch = v1::WatchRequest { swarm: SWARM.into(), filter: Some(filter), ..Default::default() };
        self.add("WatchService/Watch", &watch, field);
    }

    pub fn consistency(&mut self, consistency: v1::Consistency, field: &'static str) {
        let (swarm, consistency) = (SWARM.to_owned(), Some(consistency));
        let v1::EntryName { namespace, key } = name("shared/x", "k");
        let entries = vec![name("shared/x", "k")];
        let get = v1::GetRequest { swarm: swarm.clone(), namespace, key, consistency: consistency.clone() };
        self.add("MemoryService/Get", &get, field);
        let many = v1::BatchGetRequest { swarm: swarm.clone(), entries, consistency: consistency.clone() };
        self.add("MemoryService/BatchGet", &many, field);
        let list =
            v1::ListRequest { swarm: swarm.clone(), consistency: consistency.clone(), ..Default::default() };
        self.add("MemoryService/List", &list, field);
        let names = v1::ListNamespacesRequest { swarm, consistency, ..Default::default() };
        self.add("MemoryService/ListNamespaces", &names, field);
    }

    pub async fn refused(self, server: &Server) {
        let before = server.revision().await;
        for (method, bytes, expected) in self.0 {
            match server.send(method, bytes.into()).await {
                Ok(_) => panic!("{method} took what is wrong in {expected}"),
                Err(status) => assert_eq!(field(&status), expected, "{method}: {}", status.message()),
            }
        }
        assert_eq!(server.revision().await, before, "nothing was written");
    }
}

fn seconds(seconds: i64, nanos: i32) -> Option<Expiry> {
    Some(Expiry::Ttl(prost_types::Duration { seconds, nanos }))
}

fn at(seconds: i64, nanos: i32) -> Option<Expiry> {
    Some(Expiry::ExpireTime(prost_types::Timestamp { seconds, nanos }))
}

#[tokio::test]
async fn every_field_of_a_put() {
    let server = Server::start().await;
    let mut cases = Cases(Vec::new());
    for namespace in [
        "",
        "shared",
        "agents",
        "x/y",
        "/shared/x",
        "shared/x/",
        "shared//x",
        "shared/ x",
        "shared/x ",
        "shared/\u{2003}x",
        "shared/a\u{7}",
        "shared/a\u{85}",
        "Shared/x",
        "shared\\x",
    ] {
        cases.put(put(namespace, "k", ""), "put.namespace");
    }
    for key in ["a\nb", "\u{0}", "\u{7f}"] {
        cases.put(put("shared/x", key, ""), "put.key");
    }
    let base = || put("shared/x", "k", "");
    for kind in [-1, 8, i32::MAX, i32::MIN] {
        cases.put(v1::PutOperation { kind, ..base() }, "put.kind");
    }
    let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    for attributes in ["[]", "null", "1", "\"x\"", "{", "{}{}", "{\"a\"}", "{a:1}", "\u{feff}{}", " "]
        .map(str::to_owned)
        .into_iter()
        .chain([deep(33), "[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{{\"a\":{}}}", deep(32))])
    {
        cases.put(v1::PutOperation { attributes, ..base() }, "put.attributes");
    }
    for (tags, field) in [(vec![""], "put.tags[0]"), (vec!["a", "b", "c\n"], "put.tags[2]")] {
        let tags = tags.into_iter().map(Into::into).collect();
        cases.put(v1::PutOperation { tags, ..base() }, field);
    }
    for importance in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MIN_POSITIVE, 1.0 + f64::EPSILON] {
        cases.put(v1::PutOperation { importance: Some(importance), ..base() }, "put.importance");
    }
    for expiry in [
        seconds(0, 0),
        seconds(-1, 0),
        seconds(0, -1),
        seconds(1, 1_000_000_000),
        seconds(i64::MIN, i32::MIN),
        seconds(3_153_600_000, 1),
        seconds(i64::MAX, 999_999_999),
    ] {
        cases.put(v1::PutOperation { expiry, ..base() }, "put.ttl");
    }
    for expiry in
        [at(0, -1), at(0, 1_000_000_000), at(i64::MAX, 0), at(253_402_300_800, 0), at(-62_135_596_801, 0)]
    {
        cases.put(v1::PutOperation { expiry, ..base() }, "put.expire_time");
    }
    for text in ["", "x", "not base64", "AAAA", &"A".repeat(1000)] {
        let precondition = etag(text);
        cases.put(v1::PutOperation { precondition, ..base() }, "put.precondition.etag");
    }
    let says_nothing = Some(v1::Precondition { condition: None });
    cases.put(v1::PutOperation { precondition: says_nothing, ..base() }, "put.precondition");
    let swarm = SWARM.to_owned();
    cases.add("MemoryService/Put", &v1::PutRequest { swarm: swarm.clone(), ..Default::default() }, "put");
    for request_id in ["a\0".to_owned(), "x".repeat(129)] {
        let request = v1::PutRequest { swarm: swarm.clone(), put: Some(base()), request_id };
        cases.add("MemoryService/Put", &request, "request_id");
    }
    cases.refused(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn members_of_lists_are_named_by_their_place() {
    let server = Server::start().await;
    let mut cases = Cases(Vec::new());
    let good = || put("shared/x", "k", "");
    let batch = |puts| v1::BatchPutRequest { swarm: SWARM.into(), puts, ..Default::default() };
    const BATCH: &str = "MemoryService/BatchPut";
    cases.add(BATCH, &batch(vec![]), "puts");
    let keys = ["a", "b", "c", "b"].map(|k| put("shared/x", k, ""));
    cases.add(BATCH, &batch(keys.into()), "puts[3].key");
    cases.add(BATCH, &batch(vec![good(), put("shared", "k", "")]), "puts[1].namespace");
    let bad = v1::PutOperation { tags: vec!["t".into(), String::new()], ..good() };
    cases.add(BATCH, &batch(vec![bad]), "puts[0].tags[1]");
    let entries = |entries| v1::BatchGetRequest { swarm: SWARM.into(), entries, consistency: None };
    cases.add("MemoryService/BatchGet", &entries(vec![]), "entries");
    let names = vec![name("shared/x", "k"), name("shared/x", "")];
    cases.add("MemoryService/BatchGet", &entries(names), "entries[1].key");
    cases.add("MemoryService/BatchGet", &entries(vec![name("shared", "k")]), "entries[0].namespace");

    let some = |operations: Vec<Do>| -> Vec<v1::Operation> {
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) }).collect()
    };
    let success = |operations| v1::TransactRequest { success: some(operations), ..Default::default() };
    let failure = |operations| v1::TransactRequest { failure: some(operations), ..Default::default() };
    let below =
        |prefix: &str| Do::DeletePrefix(v1::DeletePrefixOperation { prefix: prefix.into(), limit: 0 });
    let (get, gone) = (Do::Get(name("shared/x", "k")), Do::Delete(delete("shared/x", "k")));
    cases.transact(v1::TransactRequest::default(), "success");
    let unset = vec![v1::Operation { operation: None }];
    cases.transact(v1::TransactRequest { failure: unset, ..Default::default() }, "failure[0].operation");
    cases.transact(success(vec![get, Do::Put(put("", "k", ""))]), "success[1].put.namespace");
    cases.transact(failure(vec![Do::Delete(delete("shared/x", ""))]), "failure[0].delete.key");
    cases.transact(success(vec![below("other")]), "success[0].delete_prefix.prefix");
    cases.transact(success(vec![Do::Get(name("shared", "k"))]), "success[0].get.namespace");
    cases.transact(success(vec![Do::Put(good()), gone.clone()]), "success[1].delete.key");
    cases.transact(failure(vec![gone.clone(), Do::Put(good())]), "failure[1].put.key");
    cases
        .transact(success(vec![gone, below("shared/y"), below("shared")]), "success[2].delete_prefix.prefix");
    cases.transact(success(vec![below("shared/x"), Do::Put(good())]), "success[0].delete_prefix.prefix");
    let conditional = v1::DeleteOperation { precondition: etag("x"), ..delete("shared/x", "k") };
    cases.transact(success(vec![Do::Delete(conditional)]), "success[0].delete.precondition.etag");
    cases.refused(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn comparisons_and_deletes() {
    let server = Server::start().await;
    let mut cases = Cases(Vec::new());
    let entry = || Some(Target::Entry(name("shared/x", "k")));
    let below = || Some(Target::Prefix("shared".into()));
    for (target, operator, value, field) in [
        (None, 1, Some(Value::Version(1)), "compares[1].target"),
        (entry(), 1, None, "compares[1].value"),
        (entry(), 0, Some(Value::Version(1)), "compares[1].operator"),
        (entry(), 7, Some(Value::Version(1)), "compares[1].operator"),
        (entry(), -1, Some(Value::Exists(true)), "compares[1].operator"),
        (entry(), 1, Some(Value::Exists(true)), "compares[1].operator"),
        (entry(), 3, Some(Value::Etag("A".repeat(32))), "compares[1].operator"),
        (entry(), 1, Some(Value::Etag("x".into())), "compares[1].etag"),
        (Some(Target::Entry(name("shared", "k"))), 1, Some(Value::Version(1)), "compares[1].entry.namespace"),
        (Some(Target::Entry(name("shared/x", ""))), 1, Some(Value::Version(1)), "compares[1].entry.key"),
        (Some(Target::Prefix("".into())), 1, Some(Value::Version(1)), "compares[1].prefix"),
        (below(), 1, Some(Value::Content("x".into())), "compares[1].content"),
    ] {
        let exists = v1::Compare { target: entry(), operator: 0, value: Some(Value::Exists(true)) };
        let compares = vec![exists, v1::Compare { target, operator, value }];
        cases.transact(v1::TransactRequest { compares, ..Default::default() }, field);
    }
    let request = |delete| v1::DeleteRequest { swarm: SWARM.into(), delete, ..Default::default() };
    cases.add("MemoryService/Delete", &request(None), "delete");
    cases.add("MemoryService/Delete", &request(Some(delete("", "k"))), "delete.namespace");
    cases.add("MemoryService/Delete", &request(Some(delete("shared/x", ""))), "delete.key");
    let bad = v1::DeleteOperation { precondition: etag(""), ..delete("shared/x", "k") };
    cases.add("MemoryService/Delete", &request(Some(bad)), "delete.precondition.etag");
    let request = |delete| v1::DeletePrefixRequest { swarm: SWARM.into(), delete, ..Default::default() };
    let below = |prefix: &str, limit| Some(v1::DeletePrefixOperation { prefix: prefix.into(), limit });
    cases.add("MemoryService/DeletePrefix", &request(None), "delete");
    for prefix in ["", "x", "shared/", "/", "shared//x"] {
        cases.add("MemoryService/DeletePrefix", &request(below(prefix, 0)), "delete.prefix");
    }
    cases.add("MemoryService/DeletePrefix", &request(below("shared", u32::MAX)), "delete.limit");
    cases.refused(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn filters_pages_and_views() {
    let server = Server::start().await;
    let mut cases = Cases(Vec::new());
    let filter = v1::Filter::default;
    let condition = |path: &str, operator: i32, value: &str| {
        let condition = v1::AttributeCondition { path: path.into(), operator, value: value.into() };
        v1::Filter { attributes: vec![condition], ..Default::default() }
    };
    cases.filter(v1::Filter { prefixes: vec!["shared".into(), "".into()], ..filter() }, "filter.prefixes[1]");
    for kind in [0, 8, -1] {
        cases.filter(v1::Filter { kinds: vec![1, kind], ..filter() }, "filter.kinds[1]");
    }
    cases.filter(v1::Filter { tags: vec![String::new()], ..filter() }, "filter.tags[0]");
    cases.filter(v1::Filter { authors: vec!["a/b".into()], ..filter() }, "filter.authors[0]");
    for operator in [0, 9, -1] {
        cases.filter(condition("a", operator, "1"), "filter.attributes[0].operator");
    }
    cases.filter(condition("", O::Eq.into(), "1"), "filter.attributes[0].path");
    let deep = "[".repeat(60_000);
    let many = format!("[{}0]", "0,".repeat(256));
    for (operator, value) in [
        (O::Eq, ""),
        (O::Eq, "text"),
        (O::Eq, "1 2"),
        (O::Ne, "{"),
        (O::Gt, "true"),
        (O::Gte, "[1]"),
        (O::Lt, "null"),
        (O::Lte, "{}"),
        (O::In, "1"),
        (O::In, ""),
        (O::In, &many),
        (O::Exists, "1"),
        (O::Eq, &deep),
    ] {
        cases.filter(condition("a", operator.into(), value), "filter.attributes[0].value");
    }
    let far = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    cases.filter(v1::Filter { updated_from: far, ..filter() }, "filter.updated_from");
    cases.filter(v1::Filter { updated_before: far, ..filter() }, "filter.updated_before");
    let swarm = SWARM.to_owned();
    for view in [-1, 4] {
        let list = v1::ListRequest { swarm: swarm.clone(), view, ..Default::default() };
        cases.add("MemoryService/List", &list, "view");
    }
    let names = v1::ListNamespacesRequest { swarm, ..Default::default() };
    for suffix in ["/", "x/", "/x", "a//b", " x", &"x".repeat(129), &"x/".repeat(17)] {
        let suffix = v1::ListNamespacesRequest { suffix: suffix.into(), ..names.clone() };
        cases.add("MemoryService/ListNamespaces", &suffix, "suffix");
    }
    let prefix = v1::ListNamespacesRequest { prefix: "x".into(), ..names.clone() };
    cases.add("MemoryService/ListNamespaces", &prefix, "prefix");
    let depth = v1::ListNamespacesRequest { depth: 17, ..names };
    cases.add("MemoryService/ListNamespaces", &depth, "depth");
    cases.refused(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn swarms_and_watches() {
    let server = Server::start().await;
    let mut cases = Cases(Vec::new());
    let long = "x".repeat(64);
    for swarm in ["", "A", "a b", "a/b", "ü", "*", "default\0", &long] {
        let swarm = || swarm.to_owned();
        cases.add(
            "SwarmService/CreateSwarm",
            &v1::CreateSwarmRequest { swarm: swarm(), retention: None },
            "swarm",
        );
        cases.add("SwarmService/GetSwarm", &v1::GetSwarmRequest { swarm: swarm() }, "swarm");
        cases.add("SwarmService/DeleteSwarm", &v1::DeleteSwarmRequest { swarm: swarm() }, "swarm");
        cases.add("MemoryService/Put", &v1::PutRequest { swarm: swarm(), ..Default::default() }, "swarm");
        cases.add("WatchService/Watch", &v1::WatchRequest { swarm: swarm(), ..Default::default() }, "swarm");
    }
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let create = |retention| v1::CreateSwarmRequest { swarm: "new".into(), retention: Some(retention) };
    for age in [span(-1, 0), span(0, -1), span(3_153_600_000, 1), span(i64::MAX, 0)] {
        let retention = v1::Retention { age, revisions: None };
        cases.add("SwarmService/CreateSwarm", &create(retention), "retention.age");
    }
    for revisions in [1_000_000_001, u64::MAX] {
        let retention = v1::Retention { age: None, revisions: Some(revisions) };
        cases.add("SwarmService/CreateSwarm", &create(retention), "retention.revisions");
    }
    let watch = v1::WatchRequest { swarm: SWARM.into(), ..Default::default() };
    for interval in [span(0, 0), span(0, 99_999_999), span(3600, 1), span(-1, 0), span(i64::MAX, 0)] {
        let watch = v1::WatchRequest { bookmark_interval: interval, ..watch.clone() };
        cases.add("WatchService/Watch", &watch, "bookmark_interval");
    }
    let nanos = prost_types::Timestamp { seconds: 0, nanos: -1 };
    for (start, field) in [
        (Start::Revision(0), "revision"),
        (Start::Snapshot(false), "snapshot"),
        (Start::Time(nanos), "time"),
        (Start::Time(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 }), "time"),
        (Start::Token(String::new()), "token"),
    ] {
        cases.add("WatchService/Watch", &v1::WatchRequest { start: Some(start), ..watch.clone() }, field);
    }
    cases.refused(&server).await;
    server.stop().await;
}
