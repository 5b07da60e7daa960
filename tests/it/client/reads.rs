//! Reads that see at least what the client has seen.

use swarmem::{
    client::{Client, Code, Options, ReadMode, Role},
    wire::v1::{self, consistency::Level},
};

use super::{
    connect, from_revision, next, options,
    scripted::{Answer, Scripted, refusal, token},
};
use crate::rpc::harness::{Server, delete, name, put};

fn reading_own() -> Options {
    Options { reads: ReadMode::ReadYourWrites, ..options("ann", Role::Agent) }
}

async fn get(client: &Client, consistency: Option<v1::Consistency>) {
    client.get(name("shared/a", "k"), consistency).await.unwrap();
}

/// The token that each get was made at least at; "" where none was sent.
fn at_least(scripted: &Scripted) -> Vec<String> {
    let gets = scripted.asked().into_iter().filter(|asked| asked.request_id.is_empty());
    gets.map(|asked| match asked.consistency {
        Some(consistency) => {
            assert_eq!(consistency.level(), Level::AtLeast);
            consistency.token
        }
        None => String::new(),
    })
    .collect()
}

#[tokio::test]
async fn reads_are_at_least_at_the_newest_state_that_a_client_or_its_clones_have_seen() {
    let scripted = Scripted::start([5, 5, 3, 5, 9, 9].map(Answer::At)).await;
    let client = connect(scripted.address(), reading_own()).await;
    client.clone().put(put("shared/a", "k", "")).await.unwrap();
    get(&client, None).await;
    // An older state does not take the place of a newer one.
    let stale = v1::Consistency { level: Level::StaleOk.into(), ..Default::default() };
    client.get(name("shared/a", "k"), Some(stale)).await.unwrap();
    get(&client, None).await;
    client.clone().put(put("shared/a", "k", "")).await.unwrap();
    get(&client, None).await;
    assert_eq!(client.newest_token(), Some(token(9)));
    let mut sent = scripted.asked();
    sent.retain(|asked| asked.consistency.as_ref().is_some_and(|c| c.level() == Level::AtLeast));
    let sent: Vec<_> = sent.into_iter().map(|asked| asked.consistency.unwrap().token).collect();
    assert_eq!(sent, [token(5), token(5), token(9)]);
    assert_eq!(client.in_swarm("other").newest_token(), None);
}

#[tokio::test]
async fn strong_reads_and_reads_of_the_callers_choice_are_left_alone() {
    let scripted = Scripted::start([5, 5, 5, 5].map(Answer::At)).await;
    let client = connect(scripted.address(), reading_own()).await;
    get(&client, None).await;
    get(&client.reading(ReadMode::Strong), None).await;
    let chosen = v1::Consistency { level: Level::AtLeast.into(), token: "mine".into(), revision: 0 };
    get(&client, Some(chosen)).await;
    get(&client, None).await;
    assert_eq!(at_least(&scripted), ["", "", "mine", "token-5"], "nothing seen yet: strong");
}

#[tokio::test]
async fn a_token_that_is_refused_is_forgotten_and_the_read_made_strong() {
    let answers = [
        Answer::At(9),
        refusal(Code::FailedPrecondition, "INCARNATION_CHANGED", None),
        Answer::At(4),
        Answer::At(4),
        // An answer below what was seen before it was asked for is of another history, too.
        Answer::At(2),
        Answer::At(2),
    ];
    let scripted = Scripted::start(answers).await;
    let client = connect(scripted.address(), reading_own()).await;
    for _ in 0..3 {
        get(&client, None).await;
    }
    client.put(put("shared/a", "k", "")).await.unwrap();
    get(&client, None).await;
    assert_eq!(at_least(&scripted), ["", "token-9", "", "token-4", ""]);
}

#[tokio::test]
async fn a_refusal_of_a_token_of_the_callers_is_the_callers() {
    let answers = [refusal(Code::FailedPrecondition, "INCARNATION_CHANGED", None), Answer::At(1)];
    let scripted = Scripted::start(answers).await;
    let client = connect(scripted.address(), reading_own()).await;
    let chosen = v1::Consistency { level: Level::AtLeast.into(), token: "mine".into(), revision: 0 };
    let error = client.get(name("shared/a", "k"), Some(chosen)).await.unwrap_err();
    assert_eq!(error.reason(), Some(swarmem::client::reason::INCARNATION_CHANGED));
}

#[tokio::test]
async fn writes_reads_and_watches_all_tell_what_was_seen() {
    let server = Server::start().await;
    let client = connect(server.address(), reading_own()).await;
    let at = async |token: Option<String>| {
        let level = Level::AtLeast.into();
        let consistency = v1::Consistency { level, token: token.unwrap(), revision: 0 };
        let boss = server.orchestrator().await;
        boss.list(v1::ListRequest { consistency: Some(consistency), ..Default::default() }).await.unwrap();
    };
    let mut tokens = vec![];
    let mut note = async |client: &Client| {
        let token = client.newest_token();
        at(token.clone()).await;
        tokens.push(token);
    };
    client.put(put("shared/a", "k", "x")).await.unwrap();
    note(&client).await;
    client.batch_put(vec![put("shared/a", "b", "x")]).await.unwrap();
    note(&client).await;
    client.delete(delete("shared/a", "b")).await.unwrap();
    note(&client).await;
    let below = v1::DeletePrefixOperation { prefix: "shared/a".into(), limit: 1 };
    client.delete_prefix(below).await.unwrap();
    note(&client).await;
    let put_c = v1::Operation { operation: Some(v1::operation::Operation::Put(put("shared/a", "c", ""))) };
    client.transact(v1::TransactRequest { success: vec![put_c], ..Default::default() }).await.unwrap();
    note(&client).await;

    // What others did is seen by reading and watching.
    let bob = server.agent("bob").await;
    let mut watch = client.watch(from_revision(6)).await.unwrap();
    bob.put(put("shared/a", "d", "")).await.unwrap();
    while next(&mut watch).await.revision < 6 {}
    note(&client).await;
    bob.put(put("shared/a", "e", "")).await.unwrap();
    let strong = client.reading(ReadMode::Strong);
    strong.list(v1::ListRequest::default()).await.unwrap();
    note(&client).await;
    bob.put(put("shared/a", "f", "")).await.unwrap();
    strong.get(name("shared/a", "f"), None).await.unwrap();
    note(&client).await;
    bob.put(put("shared/a", "g", "")).await.unwrap();
    strong.list_namespaces(v1::ListNamespacesRequest::default()).await.unwrap();
    note(&client).await;
    bob.put(put("shared/a", "h", "")).await.unwrap();
    client.get_swarm().await.unwrap();
    note(&client).await;
    let mut different = tokens.clone();
    different.dedup();
    assert_eq!(different.len(), 10, "each of them moved it: {tokens:?}");
    server.stop().await;
}

#[tokio::test]
async fn pages_go_on_while_the_client_writes() {
    let server = Server::start().await;
    let client = connect(server.address(), reading_own()).await;
    let puts = ["1", "2", "3", "4", "5"].map(|key| put("shared/a", key, "")).to_vec();
    client.batch_put(puts).await.unwrap();
    client.put(put("shared/b", "1", "")).await.unwrap();
    let mut request = v1::ListRequest { page_size: 2, ..Default::default() };
    let mut keys = Vec::new();
    loop {
        let page = client.list(request.clone()).await.unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        client.put(put("shared/c", "later", "")).await.unwrap();
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(keys, ["1", "2", "3", "4", "5", "1"]);
    let mut request = v1::ListNamespacesRequest { page_size: 1, ..Default::default() };
    request.page_token = client.list_namespaces(request.clone()).await.unwrap().next_page_token;
    client.put(put("shared/d", "later", "")).await.unwrap();
    assert_eq!(client.list_namespaces(request).await.unwrap().namespaces[0].namespace, "shared/b");
    server.stop().await;
}
