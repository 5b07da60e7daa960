//! Whatever comes in, the service answers with an error of its own or does as it is told, and goes on.

use prost::Message;
use swarmem::wire::v1::{self, operation::Operation as Do};
use tonic::Code;

use super::harness::{SWARM, Server, absent, at_least, at_revision, delete, etag, name, put, refusal};

/// Requests that are sent; about five seconds.
const REQUESTS: usize = 1200;
const SEED: u64 = 20_260;

/// SplitMix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Changes, drops, repeats or inserts something.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let count = self.below(8).min(bytes.len() - at);
        match self.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.next().to_le_bytes()[0],
            2 => drop(bytes.drain(at..at + count)),
            3 => bytes.truncate(at),
            4 => {
                let part = bytes[at..at + count].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let new = self.bytes(count);
                bytes.splice(at..at, new);
            }
        }
    }
}

/// A valid request of each method, with as many fields as it has.
fn valid(token: &str, tag: &str) -> Vec<(&'static str, Vec<u8>)> {
    let swarm = SWARM.to_owned();
    let id = |id: &str| id.to_owned();
    let condition = v1::AttributeCondition { path: "a.b".into(), operator: 3, value: "1.5".into() };
    let filter = Some(v1::Filter {
        prefixes: vec!["shared".into()],
        kinds: vec![1, 2],
        tags: vec!["t".into()],
        authors: vec!["boss".into()],
        attributes: vec![condition],
        updated_from: Some(prost_types::Timestamp { seconds: 1, nanos: 1 }),
        updated_before: None,
    });
    let put = v1::PutOperation {
        kind: 3,
        attributes: "{\"a\":{\"b\":2}}".into(),
        tags: vec!["t".into()],
        importance: Some(0.75),
        expiry: Some(v1::put_operation::Expiry::Ttl(prost_types::Duration { seconds: 9, nanos: 9 })),
        source: "s".into(),
        precondition: absent(false),
        ..put("shared/x", "k", "text")
    };
    let delete = v1::DeleteOperation { precondition: etag(tag), ..delete("shared/x", "k") };
    let below = v1::DeletePrefixOperation { prefix: "shared/x".into(), limit: 3 };
    let compare = v1::Compare {
        target: Some(v1::compare::Target::Prefix("shared".into())),
        operator: 1,
        value: Some(v1::compare::Value::Version(1)),
    };
    let operations = [
        Do::Put(put.clone()),
        Do::DeletePrefix(v1::DeletePrefixOperation { prefix: "agents".into(), limit: 0 }),
        Do::Get(name("shared/x", "k")),
    ];
    let success = operations.map(|o| v1::Operation { operation: Some(o) }).to_vec();
    let failure = vec![v1::Operation { operation: Some(Do::Delete(delete.clone())) }];
    let v1::EntryName { namespace, key } = name("shared/x", "k");
    let span = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    vec![
        message(
            "MemoryService/Put",
            &v1::PutRequest { swarm: swarm.clone(), put: Some(put.clone()), request_id: id("4") },
        ),
        message(
            "MemoryService/BatchPut",
            &v1::BatchPutRequest {
                swarm: swarm.clone(),
                puts: vec![put, super::harness::put("shared/y", "", "")],
                request_id: id("1"),
            },
        ),
        message(
            "MemoryService/Get",
            &v1::GetRequest {
                swarm: swarm.clone(),
                namespace: namespace.clone(),
                key: key.clone(),
                consistency: at_least(token),
            },
        ),
        message(
            "MemoryService/BatchGet",
            &v1::BatchGetRequest {
                swarm: swarm.clone(),
                entries: vec![name("shared/x", "k"), name("agents/a", "b")],
                consistency: at_revision(1),
            },
        ),
        message(
            "MemoryService/Delete",
            &v1::DeleteRequest { swarm: swarm.clone(), delete: Some(delete), request_id: id("5") },
        ),
        message(
            "MemoryService/DeletePrefix",
            &v1::DeletePrefixRequest { swarm: swarm.clone(), delete: Some(below), request_id: id("2") },
        ),
        message(
            "MemoryService/Transact",
            &v1::TransactRequest {
                swarm: swarm.clone(),
                compares: vec![compare],
                success,
                failure,
                request_id: id("3"),
            },
        ),
        message(
            "MemoryService/List",
            &v1::ListRequest {
                swarm: swarm.clone(),
                filter: filter.clone(),
                page_size: 2,
                page_token: String::new(),
                consistency: at_revision(1),
                view: 2,
            },
        ),
        message(
            "MemoryService/History",
            &v1::HistoryRequest {
                swarm: swarm.clone(),
                namespace,
                key,
                page_size: 1,
                page_token: String::new(),
            },
        ),
        message(
            "MemoryService/ListNamespaces",
            &v1::ListNamespacesRequest {
                swarm: swarm.clone(),
                prefix: "shared".into(),
                suffix: "x".into(),
                depth: 2,
                page_size: 1,
                ..Default::default()
            },
        ),
        message(
            "WatchService/Watch",
            &v1::WatchRequest {
                swarm: swarm.clone(),
                filter,
                start: Some(v1::watch_request::Start::Revision(1)),
                include_before: true,
                keys_only: true,
                bookmark_interval: span,
            },
        ),
        message(
            "SwarmService/CreateSwarm",
            &v1::CreateSwarmRequest {
                swarm: "new".into(),
                retention: Some(v1::Retention { age: span, revisions: Some(1) }),
            },
        ),
        message("SwarmService/GetSwarm", &v1::GetSwarmRequest { swarm }),
        message(
            "SwarmService/ListSwarms",
            &v1::ListSwarmsRequest { page_size: 1, page_token: String::new() },
        ),
        message("SwarmService/DeleteSwarm", &v1::DeleteSwarmRequest { swarm: "new".into() }),
    ]
}

fn message(method: &'static str, message: &impl Message) -> (&'static str, Vec<u8>) {
    (method, message.encode_to_vec())
}

#[tokio::test]
async fn anything_may_come_in() {
    let server = Server::start().await;
    let boss = server.orchestrator().await;
    let first = boss.put(put("shared/x", "k", "")).await.unwrap();
    let valid = valid(&first.token, &first.result.unwrap().etag);
    let mut random = Random(SEED);
    let mut taken = 0;
    for n in 0..REQUESTS {
        let method = valid[random.below(valid.len())].0;
        let mut bytes = match random.below(8) {
            0 => {
                let count = random.below(200);
                random.bytes(count)
            }
            1 => valid[random.below(valid.len())].1.clone(),
            _ => valid.iter().find(|(m, _)| *m == method).unwrap().1.clone(),
        };
        for _ in 0..[0, 0, 1, 1, 2, 4][random.below(6)] {
            random.mutate(&mut bytes);
        }
        match server.send(method, bytes.clone().into()).await {
            Ok(_) => taken += 1,
            Err(status) => {
                let (code, reason) = refusal(&status);
                let own =
                    !matches!(code, Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable);
                assert!(own, "{code:?} {reason} from {method} at {n} for {bytes:?}");
            }
        }
    }
    // Were none taken, the requests would not be what they are meant to be.
    assert!(taken > REQUESTS / 10 && taken < REQUESTS, "{taken}");
    let _ = boss.create_swarm(None).await;
    boss.put(put("shared/x", "last", "")).await.unwrap();
    server.stop().await;
}
