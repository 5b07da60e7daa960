//! Callers that walk away at any moment, over real gRPC. Knows the coordinator only as a process and by its protocol.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use swarmem::{
    client::{Client, Role},
    wire::v1::{self, watch_request::Start},
};

use crate::{
    crash::{random::Random, verify::order},
    process::{PATIENCE, Server},
};

const CALLERS: usize = 8;
const CALLS: usize = 60;

#[tokio::test]
async fn callers_that_walk_away_leave_no_task_and_no_stuck_lane() {
    let mut server = Server::start(&[]);
    let mut random = Random::seeded(uuid::Uuid::new_v4().as_u64_pair().0);
    eprintln!("{random:?}");
    let mut callers = Vec::new();
    for index in 0..CALLERS {
        // Half of them let the deadline end the call, at the server too; the others drop it where it stands.
        let timeout = if index % 2 == 0 { Duration::from_millis(1 + index as u64) } else { PATIENCE };
        let client = server.client_within("caller", Role::Orchestrator, timeout).await;
        callers.push(walk_away(client, index, random.split()));
    }
    let abandoned: Vec<_> = join_all(callers).await.into_iter().flatten().collect();

    let client = server.client("caller", Role::Orchestrator).await;
    let mut acknowledged = HashMap::new();
    for put in abandoned {
        let response = client.memory().put(put.clone()).await.unwrap().into_inner();
        acknowledged.insert(put.put.unwrap().key, response.result.unwrap().revision);
    }
    let last = client.put(put("last").put.unwrap()).await.unwrap().result.unwrap().revision;

    let start = v1::WatchRequest { start: Some(Start::Revision(1)), ..Default::default() };
    let mut watch = client.watch(start).await.unwrap();
    let mut log = Vec::new();
    while log.last().is_none_or(|event: &v1::Event| event.revision < last) {
        let response = tokio::time::timeout(PATIENCE, watch.next()).await.expect("the log goes on");
        log.extend(response.unwrap().unwrap().decode_events().unwrap());
    }
    assert_eq!(order(&log, last), []);
    for (key, revision) in acknowledged {
        let of_key = log.iter().filter(|event| event.entry.as_ref().unwrap().key == key);
        let revisions: Vec<_> = of_key.map(|event| event.revision).collect();
        assert_eq!(revisions, [revision], "{key} was written once, where it was acknowledged");
    }
    drop(watch);
    server.signal("TERM");
    assert!(server.ended().await.success(), "{}", server.log());
    let log = server.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

fn put(key: &str) -> v1::PutRequest {
    let put = v1::PutOperation {
        namespace: "shared/abandoned".into(),
        key: key.into(),
        content: key.into(),
        ..Default::default()
    };
    v1::PutRequest { swarm: "default".into(), put: Some(put), request_id: key.into() }
}

/// Makes calls, and leaves most of them unanswered. Returns the puts among them.
async fn walk_away(client: Client, index: usize, mut random: Random) -> Vec<v1::PutRequest> {
    let mut puts = Vec::new();
    for call in 0..CALLS {
        let patience = Duration::from_micros(random.below(6_000));
        let key = format!("{index}.{call}");
        // What came of it is asked later, or of no interest.
        let _ = tokio::time::timeout(patience, async {
            match random.below(6) {
                0..=2 => {
                    puts.push(put(&key));
                    drop(client.memory().put(put(&key)).await);
                }
                3 => {
                    let puts = ["a", "b"].map(|part| v1::PutOperation {
                        namespace: "shared/batches".into(),
                        key: format!("{key}.{part}"),
                        ..Default::default()
                    });
                    drop(client.batch_put(puts.into()).await);
                }
                4 => drop(client.list(v1::ListRequest::default()).await),
                _ => {
                    let start = Some(Start::Snapshot(true));
                    let mut watch = client.watch(v1::WatchRequest { start, ..Default::default() }).await?;
                    while watch.next().await?.is_some() {}
                }
            }
            Ok::<_, swarmem::client::Error>(())
        })
        .await;
    }
    puts
}
