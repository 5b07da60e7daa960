//! Tokens and consistency: what goes with what, and what is refused.

use swarmem::wire::v1::{self, watch_request::Start};

use super::{
    bad_input::Cases,
    harness::{SWARM, Server, at_revision, put},
};

/// Tokens go back to the call that gave them out, for the same swarm and arguments, and unchanged.
#[tokio::test]
async fn tokens_of_the_wrong_kind() {
    let server = Server::start().await;
    let boss = server.orchestrator().await;
    boss.in_swarm("other").create_swarm(None).await.unwrap();
    let foreign = boss.in_swarm("other").put(put("shared/x", "k", "")).await.unwrap().token;
    let mut written = String::new();
    for namespace in ["shared/x", "shared/y"] {
        for _ in 0..2 {
            written = boss
                .put(v1::PutOperation { precondition: None, ..put(namespace, "k", "") })
                .await
                .unwrap()
                .token;
        }
    }
    let swarm = SWARM.to_owned();
    let list = v1::ListRequest { swarm: swarm.clone(), page_size: 1, ..Default::default() };
    let history = v1::HistoryRequest {
        swarm: swarm.clone(),
        namespace: "shared/x".into(),
        key: "k".into(),
        page_size: 1,
        ..Default::default()
    };
    let names = v1::ListNamespacesRequest { swarm: swarm.clone(), page_size: 1, ..Default::default() };
    let swarms = v1::ListSwarmsRequest { page_size: 1, ..Default::default() };
    let of_list = boss.list(list.clone()).await.unwrap().next_page_token;
    let of_history = boss.history(history.clone()).await.unwrap().next_page_token;
    let of_names = boss.list_namespaces(names.clone()).await.unwrap().next_page_token;
    let of_swarms = boss.list_swarms(swarms.clone()).await.unwrap().next_page_token;
    let all = [&of_list, &of_history, &of_names, &of_swarms];
    assert!(all.iter().all(|token| !token.is_empty()));
    let garbage =
        ["x".to_owned(), "A".repeat(9000), written[..written.len() - 2].into(), format!("{written}AA")];

    let mut cases = Cases(Vec::new());
    for token in garbage.iter().chain([&foreign]).chain(all) {
        let level = v1::consistency::Level::AtLeast.into();
        cases.consistency(v1::Consistency { level, token: token.clone(), revision: 0 }, "consistency.token");
        let start = Some(Start::Token(token.clone()));
        let watch = v1::WatchRequest { swarm: swarm.clone(), start, ..Default::default() };
        cases.add("WatchService/Watch", &watch, "token");
    }
    for token in garbage.iter().chain([&foreign, &written]).chain(all) {
        let page_token = token.clone();
        if *token != of_list {
            let list = v1::ListRequest { page_token: page_token.clone(), ..list.clone() };
            cases.add("MemoryService/List", &list, "page_token");
        }
        if *token != of_history {
            let history = v1::HistoryRequest { page_token: page_token.clone(), ..history.clone() };
            cases.add("MemoryService/History", &history, "page_token");
        }
        if *token != of_names {
            let names = v1::ListNamespacesRequest { page_token: page_token.clone(), ..names.clone() };
            cases.add("MemoryService/ListNamespaces", &names, "page_token");
        }
        if *token != of_swarms {
            cases.add(
                "SwarmService/ListSwarms",
                &v1::ListSwarmsRequest { page_token, page_size: 1 },
                "page_token",
            );
        }
    }
    // The right token, other arguments.
    let page_token = of_list;
    for list in [
        v1::ListRequest { filter: Some(v1::Filter { kinds: vec![1], ..Default::default() }), ..list.clone() },
        v1::ListRequest { view: v1::View::Keys.into(), ..list.clone() },
        v1::ListRequest { consistency: at_revision(1), ..list.clone() },
        v1::ListRequest { swarm: "other".into(), ..list },
    ] {
        let list = v1::ListRequest { page_token: page_token.clone(), ..list };
        cases.add("MemoryService/List", &list, "page_token");
    }
    let other = v1::HistoryRequest { namespace: "shared/y".into(), page_token: of_history, ..history };
    cases.add("MemoryService/History", &other, "page_token");
    let other = v1::ListNamespacesRequest { depth: 1, page_token: of_names, ..names };
    cases.add("MemoryService/ListNamespaces", &other, "page_token");
    cases.refused(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn consistency_that_makes_no_sense() {
    let server = Server::start().await;
    let token = server.orchestrator().await.put(put("shared/x", "k", "")).await.unwrap().token;
    let mut cases = Cases(Vec::new());
    for (level, token, revision, field) in [
        (4, "", 0, "consistency.level"),
        (-1, "", 0, "consistency.level"),
        (2, "", 0, "consistency.token"),
        (2, "", 1, "consistency.token"),
        (2, &*token, 1, "consistency.revision"),
        (0, &*token, 0, "consistency.token"),
        (1, &*token, 0, "consistency.token"),
        (3, &*token, 0, "consistency.token"),
        (1, "", 1, "consistency.revision"),
        (3, "", 1, "consistency.revision"),
    ] {
        cases.consistency(v1::Consistency { level, token: token.into(), revision }, field);
    }
    cases.refused(&server).await;
    server.stop().await;
}
