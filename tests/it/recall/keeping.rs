//! What a question is answered from: every write at its acknowledgement's token, nothing that is gone, and nothing that the
//! asker may not read.

use std::collections::BTreeMap;

use swarmem::{
    client::{Client, Role},
    wire::v1::{self, consistency::Level},
};

use super::answers::question;
use crate::{
    crash::random::Random,
    process::eventually,
    rpc::harness::{Server, delete, put},
};

const SUBJECTS: [&str; 6] = ["boat", "linker", "coffee", "garden", "violin", "tunnel"];

fn at(token: &str) -> Option<v1::Consistency> {
    Some(v1::Consistency { level: Level::AtLeast.into(), token: token.into(), revision: 0 })
}

/// Everything that a question about all subjects finds, by name.
async fn everything(client: &Client, token: &str) -> BTreeMap<(String, String), String> {
    let request =
        v1::RecallRequest { limit: 1_000, consistency: at(token), ..question(&SUBJECTS.join(" "), "") };
    let answer = client.recall(request).await.unwrap();
    let named = answer.memories.into_iter().map(|memory| {
        let entry = memory.entry.unwrap();
        ((entry.namespace, entry.key), entry.content)
    });
    named.collect()
}

/// A random history, asked after every write by an agent and by the orchestrator, on one coordinator that has the mirrors loaded, while
/// another loads them anew now and then.
#[tokio::test]
async fn every_write_is_recalled_at_its_token_and_nothing_else_is() {
    let server = Server::start_with(|config| config.recall.mirror_interval_ms = 60_000).await;
    let boss = server.orchestrator().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    let mut random = Random::seeded(7);
    let mut expected: BTreeMap<(String, String), String> = BTreeMap::new();
    for step in 0..150 {
        let namespace =
            ["shared/x", "shared/x/y", "shared/z", "agents/ann", "agents/bob/n"][random.below(5) as usize];
        let key = format!("k{}", random.below(4));
        let name = (namespace.to_owned(), key.clone());
        let token = if random.below(4) == 0 && expected.contains_key(&name) {
            expected.remove(&name);
            boss.delete(delete(namespace, &key)).await.unwrap().token
        } else {
            let content = format!("step {step}: the {}", SUBJECTS[random.below(6) as usize]);
            expected.insert(name, content.clone());
            boss.put(put(namespace, &key, &content)).await.unwrap().token
        };
        assert_eq!(everything(&boss, &token).await, expected, "step {step}");
        for (who, client) in [("ann", &ann), ("bob", &bob)] {
            let own = format!("agents/{who}");
            let may = |(namespace, _): &(String, String)| {
                namespace.starts_with("shared")
                    || *namespace == own
                    || namespace.starts_with(&format!("{own}/"))
            };
            let readable: BTreeMap<_, _> =
                expected.iter().filter(|(name, _)| may(name)).map(|(n, c)| (n.clone(), c.clone())).collect();
            assert_eq!(everything(client, &token).await, readable, "step {step} {who}");
        }
    }
    server.stop().await;
}

/// Statistics tell nothing: another's private entries change no score.
#[tokio::test]
async fn scores_tell_nothing_of_what_the_asker_may_not_read() {
    let server = Server::start().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    ann.put(put("shared/x", "k", "the boat is in the garden")).await.unwrap();
    let scores = async || {
        let answer = ann.recall(question("boat in a garden", "")).await.unwrap();
        (
            answer.searched,
            answer.memories.iter().map(|m| (m.score.to_bits(), m.explanation.clone())).collect::<Vec<_>>(),
        )
    };
    let before = scores().await;
    for n in 0..20 {
        bob.put(put("agents/bob", &format!("k{n}"), "a boat, a boat, a garden")).await.unwrap();
    }
    assert_eq!(scores().await, before);
    server.stop().await;
}

#[tokio::test]
async fn what_has_expired_is_not_recalled_even_before_its_delete() {
    let server = Server::start_with(|config| config.retention.expiry_interval_ms = 3_600_000).await;
    let ann = server.agent("ann").await;
    // The mirror is there before.
    assert!(super::answers::keys(&ann, "boat", "shared/x").await.is_empty());
    let brief = v1::PutOperation {
        expiry: Some(v1::put_operation::Expiry::Ttl(
            std::time::Duration::from_millis(1_500).try_into().unwrap(),
        )),
        ..put("shared/x", "brief", "the boat leaves soon")
    };
    ann.batch_put(vec![brief, put("shared/x", "lasting", "the boat is blue")]).await.unwrap();
    assert_eq!(super::answers::keys(&ann, "boat", "shared/x").await.len(), 2);
    eventually("it expires", async || {
        (super::answers::keys(&ann, "boat", "shared/x").await == ["lasting"]).then_some(())
    })
    .await;
    server.stop().await;
}

/// A mirror that was given up for room is loaded again; one that nobody asked for moves on by itself.
#[tokio::test]
async fn mirrors_are_given_up_for_room_and_come_back() {
    let server = Server::start_with(|config| {
        config.recall.mirror_bytes_max = 1 << 20;
        config.recall.mirror_interval_ms = 1;
        config.http.listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let boss = server.client("boss", Role::Orchestrator).await;
    for root in 0..4 {
        let puts = (0..500).map(|n| {
            put(&format!("shared/r{root}"), &format!("k{n}"), &format!("root {root} has the boat number {n}"))
        });
        boss.batch_put(puts.collect()).await.unwrap();
    }
    for round in 0..3 {
        for root in 0..4 {
            let found =
                super::answers::keys(&boss, &format!("boat number {round}"), &format!("shared/r{root}"))
                    .await;
            assert_eq!(found[0], format!("k{round}"));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_swarm_that_is_made_anew_is_asked_anew() {
    let server = Server::start().await;
    let boss = server.orchestrator().await.in_swarm("s");
    boss.create_swarm(None).await.unwrap();
    boss.put(put("shared/x", "old", "the boat")).await.unwrap();
    assert_eq!(super::answers::keys(&boss, "boat", "").await, ["old"]);
    boss.delete_swarm().await.unwrap();
    assert!(boss.recall(question("boat", "")).await.is_err());
    boss.create_swarm(None).await.unwrap();
    boss.put(put("shared/x", "new", "the boat")).await.unwrap();
    assert_eq!(super::answers::keys(&boss, "boat", "").await, ["new"]);
    server.stop().await;
}
