//! Who calls, and what that caller can see and do.

use prost::Message as _;
use swarmem::{
    client::{Client, Role},
    wire::v1::{self, operation::Operation as Do},
};
use tonic::{Code, Request, metadata::MetadataValue};

use super::harness::{SWARM, Server, absent, delete, etag, field, name, put, refusal};

fn get(namespace: &str) -> v1::GetRequest {
    v1::GetRequest { swarm: SWARM.into(), namespace: namespace.into(), key: "k".into(), consistency: None }
}

#[tokio::test]
async fn a_call_says_who_it_is_from() {
    let server = Server::start().await;
    let ask = async |headers: &[(&str, &str)]| {
        let bytes = v1::ListSwarmsRequest::default().encode_to_vec().into();
        server.send_with("SwarmService/ListSwarms", bytes, headers).await
    };
    let status = ask(&[]).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::Unauthenticated, "AGENT_REQUIRED".into()));
    let status = ask(&[("swarmem-role", "orchestrator")]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    for (headers, wrong) in [
        (&[("swarmem-agent", "")][..], "swarmem-agent"),
        (&[("swarmem-agent", "a/b")], "swarmem-agent"),
        (&[("swarmem-agent", &"x".repeat(129))], "swarmem-agent"),
        (&[("swarmem-agent", "a"), ("swarmem-role", "root")], "swarmem-role"),
        (&[("swarmem-agent", "a"), ("swarmem-role", "Agent")], "swarmem-role"),
        (&[("swarmem-agent", "a"), ("swarmem-agent", "b")], "swarmem-agent"),
        (
            &[("swarmem-agent", "a"), ("swarmem-role", "orchestrator"), ("swarmem-role", "agent")],
            "swarmem-role",
        ),
    ] {
        assert_eq!(field(&ask(headers).await.unwrap_err()), wrong, "{headers:?}");
    }
    for role in ["agent", "orchestrator", "observer"] {
        assert!(ask(&[("swarmem-agent", "a"), ("swarmem-role", role)]).await.is_ok());
    }
    assert!(ask(&[("swarmem-agent", &"x".repeat(128))]).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_name_in_utf_8_travels_as_bytes() {
    let server = Server::start().await;
    let jürgen = server.agent("Jürgen").await;
    jürgen.put(put("agents/Jürgen/notes", "k", "mine")).await.unwrap();
    let got = jürgen.get(name("agents/Jürgen/notes", "k"), None).await.unwrap();
    assert_eq!(got.entry.unwrap().author, "Jürgen");

    let mut memory = v1::memory_service_client::MemoryServiceClient::new(server.channel());
    let mut ask = async |bytes: &[u8], text: Option<&'static str>| {
        let mut request = Request::new(get("shared/x"));
        request.metadata_mut().insert_bin("swarmem-agent-bin", MetadataValue::from_bytes(bytes));
        if let Some(text) = text {
            request.metadata_mut().insert("swarmem-agent", MetadataValue::from_static(text));
        }
        memory.get(request).await.unwrap_err()
    };
    assert_eq!(refusal(&ask("ä".as_bytes(), None).await).1, "ENTRY_NOT_FOUND");
    for (bytes, text) in [(&b"\xff"[..], None), (b"", None), (b"a\n", None), (b" a", None), (b"a", Some("b"))]
    {
        assert_eq!(field(&ask(bytes, text).await), "swarmem-agent-bin", "{bytes:?} {text:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_routing_header_does_not_contradict() {
    let server = Server::start().await;
    let ask = async |method: &str, message: &[u8], swarm: &str| {
        let headers = [("swarmem-agent", "boss"), ("swarmem-role", "orchestrator"), ("swarmem-swarm", swarm)];
        server.send_with(method, message.to_vec().into(), &headers).await
    };
    let message = v1::GetSwarmRequest { swarm: SWARM.into() }.encode_to_vec();
    assert!(ask("SwarmService/GetSwarm", &message, SWARM).await.is_ok());
    for other in ["other", "", "DEFAULT"] {
        let status = ask("SwarmService/GetSwarm", &message, other).await.unwrap_err();
        assert_eq!(field(&status), "swarmem-swarm", "{other}");
    }
    let message = v1::WatchRequest { swarm: SWARM.into(), ..Default::default() }.encode_to_vec();
    let status = ask("WatchService/Watch", &message, "other").await.unwrap_err();
    assert_eq!(field(&status), "swarmem-swarm");
    server.stop().await;
}

#[tokio::test]
async fn what_a_caller_may_not_read_does_not_exist() {
    let server = Server::start().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    bob.put(put("agents/bob/secret", "k", "s")).await.unwrap();
    bob.put(put("shared/x", "k", "common")).await.unwrap();
    let not_found = |result: Result<_, swarmem::client::Error>| {
        let error = result.err().unwrap();
        assert_eq!((error.code(), error.reason()), (Code::NotFound, Some("ENTRY_NOT_FOUND")));
    };
    not_found(ann.get(name("agents/bob/secret", "k"), None).await.map(drop));
    not_found(ann.get(name("agents/bob/secret", "none"), None).await.map(drop));
    let history =
        v1::HistoryRequest { namespace: "agents/bob/secret".into(), key: "k".into(), ..Default::default() };
    not_found(ann.history(history).await.map(drop));
    let names = vec![name("agents/bob/secret", "k"), name("shared/x", "k")];
    let found = ann.batch_get(names, None).await.unwrap().results;
    assert_eq!(found.iter().map(|r| r.entry.is_some()).collect::<Vec<_>>(), [false, true]);
    for prefixes in
        [vec![], vec!["agents".to_owned()], vec!["agents/bob/secret".into()], vec!["shared".into()]]
    {
        let shared = prefixes.is_empty() || prefixes[0] == "shared";
        let filter = Some(v1::Filter { prefixes: prefixes.clone(), ..Default::default() });
        let list = v1::ListRequest { filter, ..Default::default() };
        assert_eq!(ann.list(list.clone()).await.unwrap().entries.len(), usize::from(shared), "{prefixes:?}");
        let count = v1::ListRequest { view: v1::View::Count.into(), ..list };
        assert_eq!(ann.list(count).await.unwrap().count, u64::from(shared));
        let prefix = prefixes.first().cloned().unwrap_or_default();
        let request = v1::ListNamespacesRequest { prefix, ..Default::default() };
        assert_eq!(ann.list_namespaces(request).await.unwrap().namespaces.len(), usize::from(shared));
    }
    // How much there is would tell of what bob keeps for himself.
    let swarms = ann.list_swarms(v1::ListSwarmsRequest::default()).await.unwrap().swarms;
    for swarm in swarms.iter().chain(&ann.get_swarm().await.unwrap().swarm) {
        assert_eq!((swarm.entries, swarm.content_bytes, swarm.revision), (None, None, 2));
    }
    let observer = server.client("eve", Role::Observer).await;
    assert_eq!(observer.get_swarm().await.unwrap().swarm.unwrap().entries, Some(2));
    // A page token carries no rights: what bob was given shows ann nothing of his.
    bob.put(put("agents/bob/secret", "l", "s")).await.unwrap();
    let page = v1::ListRequest { page_size: 1, ..Default::default() };
    let token = bob.list(page.clone()).await.unwrap().next_page_token;
    let rest = ann.list(v1::ListRequest { page_token: token, page_size: 10, ..page }).await.unwrap();
    assert_eq!(rest.entries.iter().map(|e| e.namespace.as_str()).collect::<Vec<_>>(), ["shared/x"]);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_is_silent_about_what_may_not_be_read() {
    let server = Server::start().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    let start = || Some(v1::watch_request::Start::Snapshot(true));
    bob.put(put("agents/bob", "before", "")).await.unwrap();
    let mut watch = ann.watch_once(v1::WatchRequest { start: start(), ..Default::default() }).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().r#type, 3, "an empty snapshot ends");
    bob.put(put("agents/bob", "k", "")).await.unwrap();
    let together = vec![put("agents/bob", "l", ""), put("shared/x", "seen", "")];
    bob.batch_put(together).await.unwrap();
    let response = loop {
        let response = watch.next().await.unwrap().unwrap();
        if response.r#type == 1 {
            break response;
        }
    };
    let events = response.decode_events().unwrap();
    assert_eq!(events.iter().map(|e| e.entry.as_ref().unwrap().key.as_str()).collect::<Vec<_>>(), ["seen"]);
    drop(watch);
    server.stop().await;
}

#[tokio::test]
async fn writes_elsewhere_are_denied_and_say_nothing_of_what_is_there() {
    let server = Server::start().await;
    let bob = server.agent("bob").await;
    bob.put(put("agents/bob", "k", "s")).await.unwrap();
    let transact = |operation| v1::TransactRequest {
        failure: vec![v1::Operation { operation: Some(operation) }],
        ..Default::default()
    };
    let compare = v1::Compare {
        target: Some(v1::compare::Target::Prefix("agents".into())),
        operator: 0,
        value: Some(v1::compare::Value::Exists(true)),
    };
    let etag = etag(&bob.get(name("agents/bob", "k"), None).await.unwrap().entry.unwrap().etag);
    let denied = async |who: &Client, namespace: &str| {
        for key in ["k", "none"] {
            for precondition in [None, absent(true), absent(false), etag.clone()] {
                let put = v1::PutOperation { precondition: precondition.clone(), ..put(namespace, key, "") };
                let delete = v1::DeleteOperation { precondition, ..delete(namespace, key) };
                let below = v1::DeletePrefixOperation { prefix: namespace.into(), limit: 1 };
                for error in [
                    who.put(put.clone()).await.unwrap_err(),
                    who.batch_put(vec![put.clone()]).await.unwrap_err(),
                    who.delete(delete.clone()).await.unwrap_err(),
                    who.delete_prefix(below.clone()).await.unwrap_err(),
                    who.transact(transact(Do::Put(put))).await.unwrap_err(),
                    who.transact(transact(Do::Delete(delete))).await.unwrap_err(),
                    who.transact(transact(Do::DeletePrefix(below))).await.unwrap_err(),
                ] {
                    assert_eq!(
                        (error.code(), error.reason()),
                        (Code::PermissionDenied, Some("NOT_PERMITTED"))
                    );
                }
            }
        }
    };
    let ann = server.agent("ann").await;
    denied(&ann, "agents/bob").await;
    denied(&server.agent("bo").await, "agents/bob").await;
    denied(&server.client("bob", Role::Observer).await, "agents/bob").await;
    denied(&server.client("bob", Role::Observer).await, "shared/x").await;
    for request in [
        transact(Do::Get(name("agents/bob", "k"))),
        v1::TransactRequest { compares: vec![compare], ..Default::default() },
    ] {
        assert_eq!(ann.transact(request).await.unwrap_err().code(), Code::PermissionDenied);
    }
    let all = v1::DeletePrefixOperation { prefix: "agents".into(), limit: 0 };
    assert_eq!(ann.delete_prefix(all.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(server.revision().await, 1);

    let observer = server.client("eve", Role::Observer).await;
    assert!(observer.get(name("agents/bob", "k"), None).await.is_ok(), "an observer sees all");
    let boss = server.orchestrator().await;
    assert_eq!(boss.delete_prefix(all).await.unwrap().result.unwrap().deleted, 1);
    server.stop().await;
}

#[tokio::test]
async fn only_an_orchestrator_creates_and_deletes_swarms() {
    let server = Server::start().await;
    for role in [Role::Agent, Role::Observer] {
        let who = server.client("ann", role).await;
        assert!(who.get_swarm().await.is_ok());
        assert_eq!(who.delete_swarm().await.unwrap_err().code(), Code::PermissionDenied);
        let new = who.in_swarm("new");
        assert_eq!(new.create_swarm(None).await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(new.get_swarm().await.unwrap_err().reason(), Some("SWARM_NOT_FOUND"));
    }
    server.stop().await;
}
