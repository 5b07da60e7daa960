//! What never becomes a request: too large, malformed, unknown, too late.

use bytes::Bytes;
use prost::Message as _;
use swarmem::wire::v1;
use tonic::{Code, Status};

use super::harness::{SWARM, Server, put, refusal};

const METHODS: [&str; 15] = [
    "MemoryService/Put",
    "MemoryService/BatchPut",
    "MemoryService/Get",
    "MemoryService/BatchGet",
    "MemoryService/Delete",
    "MemoryService/DeletePrefix",
    "MemoryService/Transact",
    "MemoryService/List",
    "MemoryService/History",
    "MemoryService/ListNamespaces",
    "WatchService/Watch",
    "SwarmService/CreateSwarm",
    "SwarmService/GetSwarm",
    "SwarmService/ListSwarms",
    "SwarmService/DeleteSwarm",
];

#[track_caller]
fn refused(answer: Result<Bytes, Status>) -> (Code, String) {
    match answer {
        Err(status) => refusal(&status),
        Ok(_) => panic!("it was taken"),
    }
}

/// A batch of so many bytes on the wire.
fn batch(bytes: usize) -> v1::BatchPutRequest {
    let mut request = v1::BatchPutRequest { swarm: SWARM.into(), ..Default::default() };
    let member = |n: usize, content: usize| put("shared/x", &n.to_string(), &"x".repeat(content));
    while bytes - request.encoded_len() > 250_000 {
        request.puts.push(member(request.puts.len(), 200_000));
    }
    // Names and lengths take less than 60.
    request.puts.push(member(request.puts.len(), bytes - request.encoded_len() - 60));
    while request.encoded_len() < bytes {
        request.puts.last_mut().unwrap().content.push('x');
    }
    request
}

#[tokio::test]
async fn a_message_is_as_large_as_allowed_and_no_larger() {
    for limit in [4 << 20, 2048] {
        let server = Server::start_with(|config| config.limits.request_bytes_max = limit).await;
        let largest = batch(limit);
        assert_eq!(largest.encoded_len(), limit);
        assert!(server.ask("MemoryService/BatchPut", &largest).await.is_ok());
        let before = server.revision().await;
        for method in METHODS {
            let answer = server.send(method, vec![0; limit + 1].into()).await;
            assert_eq!(refused(answer), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".into()), "{method}");
        }
        assert_eq!(server.revision().await, before);
        server.stop().await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let server = Server::start().await;
    for method in METHODS {
        for bytes in [&b"\xff"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x01\xff", b"\x0b", b"\x08\x80"] {
            let answer = server.send(method, Bytes::from_static(bytes)).await;
            if method == "SwarmService/ListSwarms" && bytes == b"\x0a\x01\xff" {
                continue;
            }
            assert_eq!(
                refused(answer),
                (Code::InvalidArgument, "MALFORMED_MESSAGE".into()),
                "{method} {bytes:?}"
            );
        }
    }
    assert_eq!(server.revision().await, 0);
    server.stop().await;
}

#[tokio::test]
async fn fields_from_a_later_version_are_ignored() {
    let server = Server::start().await;
    let mut bytes = v1::GetSwarmRequest { swarm: SWARM.into() }.encode_to_vec();
    bytes.extend(b"\xf2\x06\x03new");
    assert!(server.send("SwarmService/GetSwarm", bytes.into()).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_unimplemented() {
    let server = Server::start().await;
    for method in ["MemoryService/Forget", "NoService/Get", "/swarmem.v2.MemoryService/Get", "/x", "/"] {
        let answer = server.send(method, Bytes::new()).await;
        assert_eq!(refused(answer), (Code::Unimplemented, "METHOD_UNKNOWN".into()), "{method}");
    }
    server.stop().await;
}

/// A deadline that has passed says that nothing was done, or that nobody knows; and if it says the former it is true.
#[tokio::test]
async fn a_deadline_that_passes_never_lies() {
    let server = Server::start().await;
    for (n, timeout) in ["1n", "1u", "1m", "4m", "5m", "6m", "8m", "10m"].repeat(8).into_iter().enumerate() {
        let key = n.to_string();
        let request = v1::PutRequest {
            swarm: SWARM.into(),
            put: Some(put("shared/x", &key, "")),
            ..Default::default()
        };
        let headers = [("swarmem-agent", "ann"), ("grpc-timeout", timeout)];
        let answer = server.send_with("MemoryService/Put", request.encode_to_vec().into(), &headers).await;
        let exists = async || {
            let get = v1::GetRequest {
                swarm: SWARM.into(),
                namespace: "shared/x".into(),
                key: key.clone(),
                consistency: None,
            };
            server.ask("MemoryService/Get", &get).await.is_ok()
        };
        match answer {
            Ok(_) => assert!(exists().await, "{timeout}"),
            // The transport may be the first to see that it is too late: then it says only that the call was given up.
            Err(status) if status.code() == Code::Cancelled => {}
            Err(status) => match (status.code(), refusal(&status).1.as_str()) {
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED") => assert!(!exists().await, "{timeout}"),
                (Code::Unknown, "OUTCOME_UNKNOWN") => {}
                other => panic!("{other:?} for {timeout}"),
            },
        }
    }
    server.stop().await;
}

/// Of a millisecond nothing is left once the answer's way back is counted.
#[tokio::test]
async fn what_is_too_late_is_not_begun() {
    let server = Server::start_with(|config| config.server.request_timeout_ms = 1).await;
    for (method, bytes) in [
        ("SwarmService/GetSwarm", v1::GetSwarmRequest { swarm: SWARM.into() }.encode_to_vec()),
        ("MemoryService/List", v1::ListRequest { swarm: SWARM.into(), ..Default::default() }.encode_to_vec()),
        (
            "WatchService/Watch",
            v1::WatchRequest { swarm: SWARM.into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "SwarmService/CreateSwarm",
            v1::CreateSwarmRequest { swarm: "new".into(), retention: None }.encode_to_vec(),
        ),
    ] {
        let status = server.send(method, bytes.into()).await.unwrap_err();
        assert_eq!(refusal(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()), "{method}");
    }
    server.stop().await;
}
