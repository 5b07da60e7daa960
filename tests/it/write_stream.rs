//! A client's stream of writes whose server is killed under it, over real gRPC: every write is answered, and done once.
//! Knows the coordinator only as a process and by its protocol.

use std::time::Duration;

use futures_util::future::join_all;
use swarmem::{
    client::{Backoff, Client, Code, Error, Options, Role, WriteStream},
    wire::v1,
};
use tokio::time::timeout;

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
        timeout(PATIENCE, &mut answers[some]).await.unwrap().unwrap();
        answers.remove(some);
        server.kill();
        server.restart();
    }
    let answers = timeout(PATIENCE, join_all(answers)).await.expect("every write is answered");
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

/// However long the client would wait before it opens the stream again.
#[tokio::test]
async fn a_write_is_told_when_its_time_is_over_though_nobody_is_there() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let hour = Duration::from_secs(3600);
    let options = Options {
        call_timeout: Duration::from_millis(300),
        reconnect: Backoff { first: hour, max: hour },
        ..Options::new("default", "writer", Role::Agent)
    };
    let client = Client::connect(&server.address().parse().unwrap(), options).await.unwrap();
    let writes = client.write_stream(8);
    timeout(PATIENCE, writes.put(put(0)).await.unwrap()).await.unwrap().unwrap();
    server.kill();
    // The second is sent while the client waits already.
    for index in 1..3 {
        let answer = writes.put(put(index)).await.unwrap();
        let error = timeout(PATIENCE, answer).await.expect("it is told in time").unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { request_id: Some(_), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_tells_what_was_not_done_from_what_may_be() {
    let server = Server::start(&[]);
    let nobody = server.client("not a name\u{7}", Role::Agent).await.write_stream(8);
    let error = timeout(PATIENCE, nobody.put(put(0)).await.unwrap()).await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Refused(refused) if refused.code == Code::InvalidArgument), "{error:?}");

    let writes = server.client("writer", Role::Agent).await.write_stream(8);
    let huge = v1::PutOperation { content: "x".repeat(16 << 20), ..put(1) };
    let error = timeout(PATIENCE, writes.put(huge).await.unwrap()).await.unwrap().unwrap_err();
    let Error::OutcomeUnknown { request_id: Some(_), cause } = error else { panic!("{error:?}") };
    assert_eq!(cause.reason(), Some("MESSAGE_TOO_LARGE"));
    // The next one has a stream of its own.
    timeout(PATIENCE, writes.put(put(2)).await.unwrap()).await.unwrap().unwrap();
}
