//! A client's stream of writes whose server is killed under it, over real gRPC: every write is answered, and done once.
//! Knows the coordinator only as a process and by its protocol.

use futures_util::future::join_all;
use swarmem::{
    client::{Role, WriteStream},
    wire::v1,
};

use crate::process::{PATIENCE, Server};

const WRITES_PER_LIFE: usize = 200;
const LIVES: usize = 4;

fn put(index: usize) -> v1::PutOperation {
    v1::PutOperation {
        namespace: "shared/stream".into(),
        key: format!("{index:06}"),
        content: index.to_string(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_resolves_what_it_left_open() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let client = server.client("writer", Role::Orchestrator).await;
    let writes: WriteStream = client.write_stream(1024);
    let mut answers = Vec::new();
    for life in 0..LIVES {
        let first = life * WRITES_PER_LIFE;
        for index in first..first + WRITES_PER_LIFE {
            answers.push(writes.put(put(index)).await.unwrap());
        }
        // Some are committed and answered, some committed only, some on their way.
        let some = answers.len() - WRITES_PER_LIFE + 20 * (life + 1);
        tokio::time::timeout(PATIENCE, &mut answers[some]).await.unwrap().unwrap();
        answers.remove(some);
        server.kill();
        server.restart();
    }
    let answers = tokio::time::timeout(PATIENCE, join_all(answers)).await.expect("every write is answered");
    let mut revisions: Vec<_> =
        answers.into_iter().map(|answer| answer.unwrap().result.unwrap().revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    let all = LIVES * WRITES_PER_LIFE;
    assert_eq!(revisions.len(), all - LIVES, "each has a revision of its own");

    let client = server.client("reader", Role::Orchestrator).await;
    let page = client.list(v1::ListRequest { page_size: 1000, ..Default::default() }).await.unwrap();
    assert_eq!(page.entries.len(), all);
    assert!(page.entries.iter().all(|entry| entry.version == 1), "nothing is written twice");
    assert_eq!(page.revision, all as u64);
}
