//! The same questions over other stores and on other replicas: the same answers, to the bit.

use swarmem::wire::v1::{self, consistency::Level};

use super::answers::{question, turn};
use crate::{
    fleet::harness::{Bus, Fleet},
    rpc::harness::{Server, delete, put},
};

const QUESTIONS: [&str; 6] = [
    "boat in the garden",
    "what did Tom say about the linker",
    "coffee yesterday",
    "in March 2024",
    "who prefers tea?",
    "nothing of the kind",
];

fn operations() -> Vec<v1::PutOperation> {
    let mut all = Vec::new();
    for n in 0..60 {
        let subject = ["boat", "linker", "coffee", "garden", "tea", "number"][n % 6];
        let content = format!(
            "note {n}: the {subject} is {} than the {}",
            ["older", "newer"][n % 2],
            ["boat", "tea"][n % 2]
        );
        all.push(put(&format!("shared/n{}", n % 3), &format!("k{}", n % 40), &content));
        if n % 4 == 0 {
            let speaker = ["Tom", "Maria"][n / 4 % 2];
            all.push(turn(
                &format!("t{n}"),
                speaker,
                &format!("2024-03-{:02}", n % 28 + 1),
                n as u32,
                &content,
            ));
        }
    }
    all
}

/// What is answered, without what differs between two swarms: tokens and times of writing.
async fn answers(client: &swarmem::client::Client) -> Vec<Vec<(String, String, u64)>> {
    let mut all = Vec::new();
    for query in QUESTIONS {
        let consistency = Some(v1::Consistency { level: Level::Strong.into(), ..Default::default() });
        let answer =
            client.recall(v1::RecallRequest { consistency, limit: 40, ..question(query, "") }).await.unwrap();
        let memories = answer.memories.into_iter().map(|memory| {
            let entry = memory.entry.unwrap();
            (entry.namespace, entry.key, memory.score.to_bits())
        });
        all.push(memories.collect());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_stores_and_replicas_rank_alike() {
    let sqlite = Server::start().await;
    let fleet = Fleet::start(Bus::Redis).await;
    let [one, two] = &fleet.replicas;
    let (alone, first, second) = (sqlite.orchestrator().await, one.boss().await, two.boss().await);
    // One replica has its mirrors from the start, and hears of every write; the others load them afterwards.
    first.recall(question("boat", "")).await.unwrap();
    for operation in operations() {
        alone.put(operation.clone()).await.unwrap();
        first.put(operation).await.unwrap();
    }
    for n in [3, 17, 20] {
        alone.delete(delete(&format!("shared/n{}", n % 3), &format!("k{n}"))).await.unwrap();
        first.delete(delete(&format!("shared/n{}", n % 3), &format!("k{n}"))).await.unwrap();
    }
    let expected = answers(&alone).await;
    assert!(expected[0].len() > 5 && expected[1].len() > 5);
    assert_eq!(answers(&first).await, expected);
    assert_eq!(answers(&second).await, expected);
    fleet.stop().await;
    sqlite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_acknowledged_the_other_recalls_at_its_token() {
    for bus in [Bus::Redis, Bus::None] {
        let fleet = Fleet::start_with(bus, |config| config.watch.poll_interval_ms = 60_000).await;
        let (first, second) = (fleet.replicas[0].boss().await, fleet.replicas[1].boss().await);
        for n in 0..10 {
            let token = first
                .put(put("shared/x", &format!("k{n}"), &format!("boat number {n}")))
                .await
                .unwrap()
                .token;
            let consistency = Some(v1::Consistency { level: Level::AtLeast.into(), token, revision: 0 });
            let request = v1::RecallRequest { consistency, limit: 100, ..question("boat number", "") };
            assert_eq!(second.recall(request).await.unwrap().memories.len(), n + 1, "{bus:?}");
        }
        fleet.stop().await;
    }
}
