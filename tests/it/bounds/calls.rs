//! One call: how large its headers may be, and until when it may take.

use bytes::Bytes;
use prost::Message as _;
use swarmem::wire::{WatchResponse, WatchResponseType, v1};
use tonic::Code;

use super::peer::{Call, Peer, frame, watch_request};
use crate::rpc::harness::{SWARM, Server, field, put, refusal};

fn a_put(key: &str) -> v1::PutRequest {
    v1::PutRequest { swarm: SWARM.into(), put: Some(put("shared/x", key, "x")), ..Default::default() }
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let server = Server::start().await;
    let mut peer = Peer::connect(server.address()).await;
    let header = |bytes| "x".repeat(bytes);
    let get = v1::GetSwarmRequest { swarm: SWARM.into() };
    assert!(peer.ask("SwarmService/GetSwarm", &[("x-trace", &header(15 << 10))], &get).await.is_ok());
    let refused = peer.ask("SwarmService/GetSwarm", &[("x-trace", &header(16 << 10))], &get).await;
    let expected = (Code::ResourceExhausted, "HEADERS_TOO_LARGE".to_owned());
    assert_eq!(refusal(&refused.unwrap_err()), expected);
    let many: Vec<_> = (0..500).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "")).collect();
    assert_eq!(refusal(&peer.ask("SwarmService/GetSwarm", &many, &get).await.unwrap_err()), expected);
    assert!(peer.get_swarm().await.is_ok(), "the connection is as good as before");
    // What the transport does not even take in ends as the transport sees fit, and harms nobody else.
    let _ = Peer::connect(server.address())
        .await
        .call("SwarmService/GetSwarm", &[("x-trace", &header(1 << 20))])
        .body
        .send_data(Bytes::new(), true);
    assert!(peer.get_swarm().await.is_ok());
    drop(peer);
    server.stop().await;
}

/// The transport has no say in it: what is too late says so, with its reason.
#[tokio::test]
async fn a_deadline_is_kept_and_what_is_none_is_refused() {
    let server = Server::start().await;
    let mut peer = Peer::connect(server.address()).await;
    let methods = ["MemoryService/Put", "MemoryService/List", "WatchService/Watch"];
    for (method, timeout) in methods.into_iter().flat_map(|m| ["1m", "1000u", "0n", "5m"].map(|t| (m, t))) {
        let message: Vec<u8> = match method {
            "MemoryService/Put" => a_put("late").encode_to_vec(),
            "MemoryService/List" => {
                v1::ListRequest { swarm: SWARM.into(), ..Default::default() }.encode_to_vec()
            }
            _ => watch_request().encode_to_vec(),
        };
        let mut call = peer.call(method, &[("grpc-timeout", timeout)]);
        call.body.send_data(raw(&message), true).unwrap();
        let status = call.end().await.unwrap_err();
        assert_eq!(
            refusal(&status),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()),
            "{method} {timeout}"
        );
    }
    assert_eq!(server.revision().await, 0, "nothing was begun");
    for garbage in ["", "soon", "1", "m", "1x", "-1m", "1.5S", "123456789m", "1m1m"] {
        let answer = peer.ask("MemoryService/Put", &[("grpc-timeout", garbage)], &a_put("x")).await;
        assert_eq!(field(&answer.unwrap_err()), "grpc-timeout", "{garbage:?}");
    }
    assert!(peer.ask("MemoryService/Put", &[("grpc-timeout", "99999999H")], &a_put("x")).await.is_ok());
    drop(peer);
    server.stop().await;
}

fn raw(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// A message that does not come in whole by the deadline: the caller's, or else the server's.
#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let server = Server::start_with(|config| config.server.request_timeout_ms = 300).await;
    let mut peer = Peer::connect(server.address()).await;
    let whole = frame(&a_put("x"));
    let bodies: [fn(&Bytes) -> Bytes; 4] =
        [|_| Bytes::new(), |b| b.slice(..3), |b| b.slice(..b.len() - 1), Bytes::clone];
    for (headers, part) in
        [&[][..], &[("grpc-timeout", "50m")]].into_iter().flat_map(|h| bodies.map(|b| (h, b)))
    {
        for method in ["MemoryService/Put", "SwarmService/GetSwarm", "WatchService/Watch"] {
            let mut call: Call = peer.call(method, headers);
            call.body.send_data(part(&whole), false).unwrap();
            let status = call.end().await.unwrap_err();
            assert_eq!(
                refusal(&status),
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()),
                "{method} {headers:?}"
            );
        }
    }
    assert!(peer.get_swarm().await.is_ok());
    assert_eq!(server.revision().await, 0, "nothing was begun");
    drop(peer);
    server.stop().await;
}

/// The deadline of a stream is that of the whole stream.
#[tokio::test]
async fn a_watch_ends_at_its_callers_deadline_behind_a_bookmark() {
    let server = Server::start_with(|config| config.server.request_timeout_ms = 100).await;
    let mut peer = Peer::connect(server.address()).await;
    // Without one, the server's own bounds the opening alone.
    let mut endless = peer.watch(&[]);
    endless.next().await.unwrap();
    let mut watch = peer.watch(&[("grpc-timeout", "300m")]);
    let mut last = None;
    let status = loop {
        match watch.next().await {
            Ok(message) => last = Some(WatchResponse::decode(message).unwrap()),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    let last = last.expect("a bookmark comes before the end");
    assert_eq!(last.r#type(), WatchResponseType::Bookmark);
    server.agent("ann").await.put(put("shared/x", "k", "x")).await.unwrap();
    let message = WatchResponse::decode(endless.next().await.unwrap()).unwrap();
    assert_eq!(message.events.len(), 1, "the other stream goes on");
    drop(peer);
    server.stop().await;
}
