//! `MemoryService.Write`: pipelined writes, answered in order, each with an outcome of its own.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use swarmem::{
    client::Client,
    wire::v1::{self, write_request::Write, write_response::Outcome},
};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::harness::{SWARM, Server, absent, delete, field, put, refusal};

const PLACE: &str = "shared/stream";

fn write(write: Write) -> v1::WriteRequest {
    v1::WriteRequest { write: Some(write) }
}

fn put_request(put: v1::PutOperation, request_id: &str) -> v1::PutRequest {
    v1::PutRequest { swarm: SWARM.into(), put: Some(put), request_id: request_id.into() }
}

fn putting(key: &str, content: &str) -> v1::WriteRequest {
    write(Write::Put(put_request(put(PLACE, key, content), "")))
}

/// Sends all of it at once, and gathers what comes back.
async fn pipeline(client: &Client, writes: Vec<v1::WriteRequest>) -> Vec<Outcome> {
    let responses = client.memory().write(stream::iter(writes)).await.unwrap().into_inner();
    responses.map(|response| response.unwrap().outcome.unwrap()).collect().await
}

fn error(outcome: &Outcome) -> Status {
    let Outcome::Error(error) = outcome else { panic!("{outcome:?}") };
    let details = prost::Message::encode_to_vec(error);
    Status::with_details(Code::from(error.code), error.message.clone(), details.into())
}

#[tokio::test]
async fn each_write_has_its_own_outcome_in_its_place() {
    let server = Server::start().await;
    let client = server.agent("a").await;
    let taken = v1::PutOperation { precondition: absent(true), ..put(PLACE, "one", "again") };
    let outcomes = pipeline(
        &client,
        vec![
            putting("one", "1"),
            write(Write::Put(put_request(taken, ""))),
            write(Write::Put(put_request(put("private/x", "k", ""), ""))),
            write(Write::Put(put_request(put("agents/other/x", "k", ""), ""))),
            v1::WriteRequest { write: None },
            write(Write::Put(v1::PutRequest {
                swarm: "nowhere".into(),
                ..put_request(put(PLACE, "k", ""), "")
            })),
            write(Write::BatchPut(v1::BatchPutRequest {
                swarm: SWARM.into(),
                puts: vec![put(PLACE, "two", "2"), put(PLACE, "three", "3")],
                request_id: String::new(),
            })),
            write(Write::Delete(v1::DeleteRequest {
                swarm: SWARM.into(),
                delete: Some(delete(PLACE, "one")),
                request_id: String::new(),
            })),
            write(Write::Transact(v1::TransactRequest {
                swarm: SWARM.into(),
                success: vec![v1::Operation {
                    operation: Some(v1::operation::Operation::Get(v1::EntryName {
                        namespace: PLACE.into(),
                        key: "two".into(),
                    })),
                }],
                ..Default::default()
            })),
            write(Write::DeletePrefix(v1::DeletePrefixRequest {
                swarm: SWARM.into(),
                delete: Some(v1::DeletePrefixOperation { prefix: PLACE.into(), limit: 0 }),
                request_id: String::new(),
            })),
        ],
    )
    .await;
    assert_eq!(outcomes.len(), 10);
    assert!(
        matches!(&outcomes[0], Outcome::Put(p) if p.result.as_ref().unwrap().revision == 1 && !p.token.is_empty())
    );
    assert_eq!(refusal(&error(&outcomes[1])), (Code::Aborted, "CONDITION_FAILED".into()));
    assert_eq!(field(&error(&outcomes[2])), "put.namespace");
    assert_eq!(refusal(&error(&outcomes[3])), (Code::PermissionDenied, "NOT_PERMITTED".into()));
    assert_eq!(field(&error(&outcomes[4])), "write");
    assert_eq!(field(&error(&outcomes[5])), "swarmem-swarm");
    assert!(
        matches!(&outcomes[6], Outcome::BatchPut(b) if b.results.len() == 2 && b.results[1].key == "three")
    );
    assert!(matches!(&outcomes[7], Outcome::Delete(d) if d.result.as_ref().unwrap().deleted));
    let Outcome::Transact(transact) = &outcomes[8] else { panic!("{:?}", outcomes[8]) };
    let Some(v1::operation_result::Result::Get(got)) = &transact.results[0].result else { panic!() };
    assert_eq!(got.entry.as_ref().unwrap().content, "2");
    assert!(matches!(&outcomes[9], Outcome::DeletePrefix(d) if d.result.as_ref().unwrap().deleted == 2));
    server.stop().await;
}

#[tokio::test]
async fn writes_of_one_stream_are_committed_in_the_order_sent() {
    let server = Server::start().await;
    let client = server.agent("a").await;
    let writes = (0..500).map(|i| putting("same", &i.to_string())).collect();
    let outcomes = pipeline(&client, writes).await;
    let revision = |outcome: &Outcome| match outcome {
        Outcome::Put(put) => put.result.as_ref().unwrap().revision,
        other => panic!("{other:?}"),
    };
    assert!(outcomes.iter().map(revision).eq(1..=500));
    let last = client.get(super::harness::name(PLACE, "same"), None).await.unwrap().entry.unwrap();
    assert_eq!((last.content.as_str(), last.version), ("499", 500));
    server.stop().await;
}

#[tokio::test]
async fn a_request_id_means_the_same_alone_and_in_a_stream() {
    let server = Server::start().await;
    let client = server.agent("a").await;
    let request = put_request(put(PLACE, "k", "once"), "r1");
    let alone = client.memory().put(request.clone()).await.unwrap().into_inner();
    let other = put_request(put(PLACE, "k", "twice"), "r1");
    let outcomes = pipeline(&client, vec![write(Write::Put(request)), write(Write::Put(other))]).await;
    assert_eq!(outcomes[0], Outcome::Put(alone));
    assert_eq!(refusal(&error(&outcomes[1])), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));
    assert_eq!(server.revision().await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_full_lane_holds_a_stream_back_and_refuses_nothing() {
    let server = Server::start_with(|config| {
        config.lanes.batch_requests_max = 2;
        // One agent may take half.
        config.lanes.queue_requests_max = 4;
    })
    .await;
    let client = server.agent("a").await;
    let writes = (0..300).map(|i| putting(&i.to_string(), "x")).collect();
    let outcomes = pipeline(&client, writes).await;
    assert_eq!(outcomes.len(), 300);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Put(_))), "{outcomes:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_smallest_bounds_stop_no_stream() {
    let server = Server::start_with(|config| {
        config.lanes.stream_requests_max = 1;
        config.lanes.stream_bytes_max = 1024;
    })
    .await;
    let client = server.agent("a").await;
    let long = "x".repeat(5000);
    let outcomes = pipeline(&client, (0..50).map(|i| putting(&i.to_string(), &long)).collect()).await;
    assert!(outcomes.len() == 50 && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Put(_))));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_message_ends_the_stream_with_a_reason() {
    let server = Server::start().await;
    let refused = server.send("MemoryService/Write", Bytes::from_static(&[0xff; 7])).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "MALFORMED_MESSAGE".into()));
    server.stop().await;
}

/// A stream of which the sender is kept.
async fn opened(client: &Client) -> (mpsc::Sender<v1::WriteRequest>, Streaming<v1::WriteResponse>) {
    let (sender, mut requests) = mpsc::channel(1);
    let requests = stream::poll_fn(move |context| requests.poll_recv(context));
    (sender, client.memory().write(requests).await.unwrap().into_inner())
}

#[tokio::test]
async fn a_server_that_drains_answers_what_it_has_and_says_so() {
    let server = Server::start().await;
    let client = server.agent("a").await;
    let (sender, mut responses) = opened(&client).await;
    sender.send(putting("k", "x")).await.unwrap();
    assert!(matches!(responses.message().await.unwrap().unwrap().outcome, Some(Outcome::Put(_))));
    server.stop().await;
    let ended = responses.message().await.unwrap_err();
    assert_eq!(refusal(&ended), (Code::Unavailable, "DRAINING".into()));
}

#[tokio::test]
async fn a_timeout_of_the_caller_ends_the_stream() {
    let server = Server::start().await;
    let client = server.patient_for(Duration::from_millis(300)).await;
    let (_sender, mut responses) = opened(&client).await;
    let ended = responses.message().await.unwrap_err();
    assert_eq!(refusal(&ended), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    server.stop().await;
}
