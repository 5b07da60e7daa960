//! What all callers share: bytes in flight, streams, reads. Whoever comes when they are used up is told when to come
//! back, and served once there is room.

use futures_util::future::join_all;
use h2::client::Builder;
use swarmem::{config::Config, wire::v1};
use tonic::{Code, Status};

use super::peer::{Call, Peer, exhausted, frame};
use crate::{
    process::eventually,
    rpc::harness::{SWARM, Server, name, put, refusal},
};

const MIB: usize = 1 << 20;
/// What fits into [`small`] for one connection, in pieces of a MiB.
const PIECES: usize = 8;

/// Room for two connections that take all that one may.
fn small(config: &mut Config) {
    config.transport.connection_in_flight_bytes_max = PIECES * MIB + MIB / 2;
    config.transport.in_flight_bytes_max = 2 * (PIECES * MIB + MIB / 2);
    config.limits.request_bytes_max = 2 * MIB;
    config.server.request_timeout_ms = 60_000;
}

/// Calls whose bodies come in up to the last byte, and no further.
async fn fill(peer: &mut Peer) -> Vec<Call> {
    let request = v1::BatchPutRequest {
        swarm: SWARM.into(),
        puts: (0..4).map(|n| put("shared/x", &n.to_string(), &"x".repeat(MIB / 4))).collect(),
        ..Default::default()
    };
    let body = frame(&request);
    let mut calls = Vec::new();
    for _ in 0..PIECES {
        let mut call = peer.call("MemoryService/BatchPut", &[]);
        call.body.send_data(body.slice(..body.len() - 1), false).unwrap();
        calls.push(call);
    }
    eventually("all of it is in", async || {
        let all_sent = calls.iter_mut().all(|call| {
            call.body.reserve_capacity(1);
            call.body.capacity() > 0
        });
        all_sent.then_some(())
    })
    .await;
    calls
}

/// A put of a MiB.
async fn a_piece(peer: &mut Peer) -> Result<(), Status> {
    let puts = (0..4).map(|n| put("shared/x", &n.to_string(), &"x".repeat(MIB / 4))).collect();
    let request = v1::BatchPutRequest { swarm: SWARM.into(), puts, ..Default::default() };
    peer.ask("MemoryService/BatchPut", &[], &request).await.map(drop)
}

#[tokio::test]
async fn bytes_that_come_in_are_counted_for_each_connection_and_for_all() {
    let server = Server::start_with(small).await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(Peer::connect(server.address()).await);
    }
    let [a, b, c] = &mut peers[..] else { panic!("three of them") };
    let of_a = fill(a).await;
    let refused = eventually("the share is used up", async || a_piece(a).await.err()).await;
    assert_eq!(exhausted(&refused), "CONNECTION_BYTES_EXHAUSTED");
    a_piece(b).await.unwrap();
    let of_b = fill(b).await;
    let refused = eventually("the whole is used up", async || a_piece(c).await.err()).await;
    assert_eq!(exhausted(&refused), "BYTES_EXHAUSTED");
    drop(of_a);
    eventually("room for another", async || a_piece(c).await.ok()).await;
    drop((of_b, peers));
    server.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_takes_are_counted() {
    let server = Server::start_with(small).await;
    let ann = server.agent("ann").await;
    for n in 0..4 {
        ann.put(put("shared/x", &n.to_string(), &"x".repeat(MIB / 4))).await.unwrap();
    }
    let names = (0..4).map(|n| name("shared/x", &n.to_string())).collect();
    let request = v1::BatchGetRequest { swarm: SWARM.into(), entries: names, consistency: None };
    // This one never lets anything come.
    let mut closed = Peer::with(server.address(), Builder::new().initial_window_size(0)).await;
    let mut waiting = Vec::new();
    let refused = loop {
        let mut call = closed.call("MemoryService/BatchGet", &[]);
        call.body.send_data(frame(&request), true).unwrap();
        tokio::select! {
            ended = call.end() => break ended.unwrap_err(),
            () = eventually_idle(&server) => {}
        }
        waiting.push(call);
        assert!(waiting.len() <= PIECES, "an answer of a MiB each");
    };
    assert_eq!(exhausted(&refused), "CONNECTION_BYTES_EXHAUSTED");
    assert_eq!(
        ann.batch_get((0..4).map(|n| name("shared/x", &n.to_string())).collect(), None)
            .await
            .unwrap()
            .results
            .len(),
        4
    );
    drop((closed, waiting, ann));
    server.stop().await;
}

/// Time enough for the coordinator to answer whatever it was asked before: another asks, and is answered, many times.
async fn eventually_idle(server: &Server) {
    let mut other = Peer::connect(server.address()).await;
    for _ in 0..50 {
        other.get_swarm().await.unwrap();
    }
}

#[tokio::test]
async fn streams_are_counted_over_all_connections() {
    let server = Server::start_with(|config| config.watch.streams_max = 2).await;
    let mut one = Peer::connect(server.address()).await;
    let mut two = Peer::connect(server.address()).await;
    let mut first = one.watch(&[]);
    first.next().await.unwrap();
    let mut second = two.watch(&[]);
    second.next().await.unwrap();
    let refused = one.watch(&[]).next().await.unwrap_err();
    assert_eq!(exhausted(&refused), "STREAMS_EXHAUSTED");
    assert!(one.get_swarm().await.is_ok(), "calls are none of these");
    drop(first);
    eventually("room for another", async || one.watch(&[]).next().await.ok()).await;
    drop((one, two));
    server.stop().await;
}

#[tokio::test]
async fn reads_do_not_queue_without_end() {
    let server = Server::start_with(|config| config.store.reads_max = 2).await;
    let mut peer = Peer::connect(server.address()).await;
    let get = frame(&v1::GetSwarmRequest { swarm: SWARM.into() });
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let mut call = peer.call("SwarmService/GetSwarm", &[]);
            call.body.send_data(get.clone(), true).unwrap();
            async move { call.end().await }
        })
        .collect();
    let answers = join_all(calls).await;
    assert!(answers.iter().any(Result::is_ok));
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty(), "two of fifty at once");
    for status in refused {
        assert_eq!(exhausted(&status), "READS_EXHAUSTED");
    }
    assert!(peer.get_swarm().await.is_ok(), "whoever comes back is served");
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_sees_only_so_many_contents() {
    use v1::compare::{Operator, Target, Value};
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "k", "bb")).await.unwrap();
    let compare = |operator: Operator, content: &str| v1::Compare {
        target: Some(Target::Entry(name("shared/x", "k"))),
        operator: operator.into(),
        value: Some(Value::Content(content.into())),
    };
    let transact = async |compares: Vec<v1::Compare>| {
        let request = v1::TransactRequest { swarm: SWARM.into(), compares, ..Default::default() };
        ann.memory().transact(request).await.map(|answer| answer.into_inner().succeeded)
    };
    for (operator, content, expected) in [
        (Operator::Eq, "bb", true),
        (Operator::Eq, "bc", false),
        (Operator::Eq, "b", false),
        (Operator::Eq, "bbb", false),
        (Operator::Eq, "", false),
        (Operator::Ne, "bb", false),
        (Operator::Ne, "bc", true),
        (Operator::Ne, "b", true),
        (Operator::Ne, "bbb", true),
        (Operator::Gt, "b", true),
        (Operator::Lt, "bbb", true),
        (Operator::Gte, "bb", true),
        (Operator::Lte, "ba", false),
    ] {
        let held = transact(vec![compare(operator, content)]).await.unwrap();
        assert_eq!(held, expected, "{operator:?} {content:?}");
    }
    assert!(transact(vec![compare(Operator::Eq, "bb"); 1000]).await.unwrap());
    assert!(transact(vec![compare(Operator::Gt, "b"); 64]).await.unwrap());
    let status = transact(vec![compare(Operator::Gt, "b"); 65]).await.unwrap_err();
    assert_eq!(refusal(&status).0, Code::InvalidArgument);
    assert_eq!(crate::rpc::harness::field(&status), "compares[64].content");
    server.stop().await;
}
