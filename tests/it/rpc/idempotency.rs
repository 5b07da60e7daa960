//! `request_id`: a repeated mutation answers as the first did.

use swarmem::{
    client::{Client, Role},
    wire::v1::{self, operation::Operation as Do},
};
use tonic::Code;

use super::harness::{SWARM, Server, absent, delete, name, put, refusal};

fn request(put: v1::PutOperation, id: &str) -> v1::PutRequest {
    v1::PutRequest { swarm: SWARM.into(), put: Some(put), request_id: id.into() }
}

async fn send(client: &Client, request: v1::PutRequest) -> Result<v1::PutResponse, tonic::Status> {
    client.memory().put(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_repeated_put_answers_the_same_and_changes_nothing() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let ttl = prost_types::Duration { seconds: 60, nanos: 0 };
    let put = v1::PutOperation {
        expiry: Some(v1::put_operation::Expiry::Ttl(ttl)),
        precondition: absent(true),
        ..put("shared/x", "", "text")
    };
    let first = send(&ann, request(put.clone(), "once")).await.unwrap();
    ann.put(super::harness::put("shared/x", "between", "")).await.unwrap();
    let second = send(&ann, request(put.clone(), "once")).await.unwrap();
    assert_eq!(first, second, "key, etag, revision, expiry and token");
    assert_eq!(server.revision().await, 2);

    let other = v1::PutOperation { content: "other".into(), ..put.clone() };
    let status = send(&ann, request(other, "once")).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));
    let of_another_method = v1::DeleteRequest {
        swarm: SWARM.into(),
        delete: Some(delete("shared/x", "between")),
        request_id: "once".into(),
    };
    let status = ann.memory().delete(of_another_method).await.unwrap_err();
    assert_eq!(refusal(&status).1, "REQUEST_ID_REUSED");
    assert_eq!(server.revision().await, 2);

    let bob = server.agent("bob").await;
    let of_bob = send(&bob, request(put.clone(), "once")).await.unwrap();
    assert_eq!(of_bob.result.unwrap().revision, 3, "an id is the agent's own");
    let boss = server.client("ann", Role::Orchestrator).await;
    assert_eq!(send(&boss, request(put, "once")).await.unwrap(), first, "by name, not by role");
    server.stop().await;
}

#[tokio::test]
async fn what_failed_or_changed_nothing_can_be_tried_again() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let wanted = v1::PutOperation { precondition: absent(false), ..put("shared/x", "k", "2") };
    let status = send(&ann, request(wanted.clone(), "again")).await.unwrap_err();
    assert_eq!(refusal(&status).0, Code::Aborted);
    ann.put(put("shared/x", "k", "1")).await.unwrap();
    assert_eq!(send(&ann, request(wanted, "again")).await.unwrap().result.unwrap().version, 2);
    server.stop().await;
}

#[tokio::test]
async fn every_mutation_is_replayed() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let mut memory = ann.memory();
    let batch = v1::BatchPutRequest {
        swarm: SWARM.into(),
        puts: vec![put("shared/x", "", "a"), put("shared/x", "b", "b")],
        request_id: "batch".into(),
    };
    let first = memory.batch_put(batch.clone()).await.unwrap().into_inner();
    assert_eq!(memory.batch_put(batch).await.unwrap().into_inner(), first);

    let one = v1::DeleteRequest {
        swarm: SWARM.into(),
        delete: Some(delete("shared/x", "b")),
        request_id: "delete".into(),
    };
    let first = memory.delete(one.clone()).await.unwrap().into_inner();
    assert_eq!(memory.delete(one).await.unwrap().into_inner(), first);
    assert!(first.result.unwrap().deleted);

    let all = v1::DeletePrefixRequest {
        swarm: SWARM.into(),
        delete: Some(v1::DeletePrefixOperation { prefix: "shared".into(), limit: 0 }),
        request_id: "prefix".into(),
    };
    let first = memory.delete_prefix(all.clone()).await.unwrap().into_inner();
    assert_eq!(memory.delete_prefix(all).await.unwrap().into_inner(), first);
    assert_eq!(first.result.unwrap().deleted, 1);
    assert_eq!(server.revision().await, 3);
    server.stop().await;
}

#[tokio::test]
async fn a_replayed_transaction_reads_what_it_read_at_first() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "read", "as it was")).await.unwrap();
    let operations = [
        Do::Get(name("shared/x", "read")),
        Do::Get(name("shared/x", "missing")),
        Do::Put(put("shared/x", "written", "w")),
        Do::Get(name("shared/x", "written")),
    ];
    let request = v1::TransactRequest {
        swarm: SWARM.into(),
        success: operations.map(|o| v1::Operation { operation: Some(o) }).into(),
        request_id: "transaction".into(),
        ..Default::default()
    };
    let mut memory = ann.memory();
    let first = memory.transact(request.clone()).await.unwrap().into_inner();
    for key in ["read", "missing", "written"] {
        ann.put(put("shared/x", key, "changed")).await.unwrap();
    }
    ann.delete(delete("shared/x", "read")).await.unwrap();
    let second = memory.transact(request).await.unwrap().into_inner();
    assert_eq!(first, second);
    server.stop().await;
}
