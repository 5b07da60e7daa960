//! Which calls are made again, under which id, and how often.

use std::time::Duration;

use swarmem::client::{Client, Code, Error, Options, Retry, Role};

use super::{
    connect, options,
    proxy::Proxy,
    scripted::{Answer, Scripted, refusal},
};
use crate::{
    process::eventually,
    rpc::harness::{Server, name, put},
};

async fn client_of(scripted: &Scripted) -> Client {
    connect(scripted.address(), options("ann", Role::Agent)).await
}

#[tokio::test]
async fn a_write_keeps_its_id_until_it_is_done() {
    let answers = [
        refusal(Code::Unavailable, "STORE_UNAVAILABLE", Some(0)),
        refusal(Code::ResourceExhausted, "OVERLOADED", Some(0)),
        refusal(Code::Unknown, "OUTCOME_UNKNOWN", None),
        refusal(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None),
        Answer::Refuse(tonic::Status::unavailable("somebody between")),
        Answer::At(7),
        Answer::At(8),
    ];
    let scripted = Scripted::start(answers).await;
    let client = client_of(&scripted).await;
    let done = client.put(put("shared/a", "k", "x")).await.unwrap();
    assert_eq!(done.result.unwrap().revision, 7);
    client.put(put("shared/a", "k", "x")).await.unwrap();
    let ids: Vec<_> = scripted.asked().into_iter().map(|asked| asked.request_id).collect();
    assert_eq!(ids.len(), 7);
    assert!(!ids[0].is_empty() && ids[..6].iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(ids[6], ids[0], "another write has another id");
}

#[tokio::test]
async fn an_id_of_the_callers_is_the_one_that_is_sent() {
    let answers = [refusal(Code::Unavailable, "DRAINING", Some(0)), Answer::At(1), Answer::At(1)];
    let scripted = Scripted::start(answers).await;
    let client = client_of(&scripted).await;
    client.with_request_id("mine").put(put("shared/a", "k", "x")).await.unwrap();
    assert!(scripted.asked().iter().all(|asked| asked.request_id == "mine"));
}

#[tokio::test]
async fn what_was_refused_for_good_is_asked_once() {
    for (code, reason, retry_after) in [
        (Code::Unauthenticated, "AGENT_REQUIRED", None),
        (Code::PermissionDenied, "NOT_PERMITTED", None),
        (Code::InvalidArgument, "INVALID_FIELD", None),
        (Code::Aborted, "CONDITION_FAILED", Some(0)),
        (Code::NotFound, "SWARM_NOT_FOUND", None),
        (Code::ResourceExhausted, "PREFIX_TOO_LARGE", None),
        (Code::DataLoss, "CORRUPT", None),
    ] {
        let scripted = Scripted::start([refusal(code, reason, retry_after), Answer::At(1)]).await;
        let client = client_of(&scripted).await;
        let error = client.put(put("shared/a", "k", "x")).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (code, Some(reason)));
        assert_eq!(scripted.asked().len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn what_the_coordinator_asks_to_wait_is_waited() {
    let scripted =
        Scripted::start([refusal(Code::ResourceExhausted, "OVERLOADED", Some(200)), Answer::At(1)]).await;
    client_of(&scripted).await.get(name("shared/a", "k"), None).await.unwrap();
    let asked = scripted.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_wait_that_is_longer_than_the_call_may_take_is_not_begun() {
    let scripted =
        Scripted::start([refusal(Code::Unavailable, "DRAINING", Some(50_000)), Answer::At(1)]).await;
    let options = Options { call_timeout: Duration::from_secs(40), ..options("ann", Role::Agent) };
    let client = connect(scripted.address(), options).await;
    let error = client.put(put("shared/a", "k", "x")).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, Some("DRAINING")));
    let Error::Refused(refusal) = error else { panic!("it was not done, and that is known") };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(50)));
}

#[tokio::test]
async fn a_client_and_its_clones_repeat_no_more_than_their_budget() {
    let unavailable = || refusal(Code::Unavailable, "STORE_UNAVAILABLE", Some(0));
    let scripted = Scripted::start((0..100).map(|_| unavailable())).await;
    let options = options("ann", Role::Agent);
    let retry = options.retry.map(|retry| Retry { burst: 3, per_second: 0.0, ..retry });
    let client = connect(scripted.address(), Options { retry, ..options }).await;
    for client in [client.clone(), client] {
        let error = client.get(name("shared/a", "k"), None).await.unwrap_err();
        assert_eq!(error.reason(), Some("STORE_UNAVAILABLE"));
    }
    assert_eq!(scripted.asked().len(), 2 + 3);
}

#[tokio::test]
async fn an_outcome_stays_open_when_only_the_door_was_shut_afterwards() {
    let answers = [
        refusal(Code::Unknown, "OUTCOME_UNKNOWN", None),
        refusal(Code::PermissionDenied, "NOT_PERMITTED", None),
    ];
    let scripted = Scripted::start(answers).await;
    let error = client_of(&scripted).await.put(put("shared/a", "k", "x")).await.unwrap_err();
    let Error::OutcomeUnknown { request_id: Some(id), cause } = error else { panic!("{error:?}") };
    assert_eq!((id, cause.reason()), (scripted.asked()[0].request_id.clone(), Some("NOT_PERMITTED")));

    let answers =
        [refusal(Code::Unknown, "OUTCOME_UNKNOWN", None), refusal(Code::Aborted, "CONDITION_FAILED", None)];
    let scripted = Scripted::start(answers).await;
    let error = client_of(&scripted).await.put(put("shared/a", "k", "x")).await.unwrap_err();
    assert_eq!(error.reason(), Some("CONDITION_FAILED"), "the swarm looked, and it was not done");
}

#[tokio::test]
async fn without_an_id_nothing_that_may_have_been_done_is_repeated() {
    let scripted = Scripted::start([refusal(Code::Unknown, "OUTCOME_UNKNOWN", None), Answer::At(1)]).await;
    let client = client_of(&scripted).await;
    let error = client.with_request_id("").put(put("shared/a", "k", "x")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { request_id: None, .. }), "{error:?}");
    assert_eq!(scripted.asked().len(), 1);
}

/// Whether the answer's connection breaks or merely falls silent, the write is found again by its id.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_done_once_and_answered_as_at_first() {
    let server = Server::start().await;
    let direct = server.agent("ann").await;
    for (round, breaks) in [(1, true), (2, false)] {
        let proxy = Proxy::to(server.address(), 1).await;
        let options = Options { attempt_timeout: Duration::from_millis(400), ..options("ann", Role::Agent) };
        let client = connect(proxy.address(), options).await;
        client.get_swarm().await.unwrap();
        proxy.swallow(true);
        let key = format!("k{round}");
        let written = tokio::spawn({
            let (client, key) = (client.clone(), key.clone());
            async move { client.put(put("shared/a", &key, "x")).await }
        });
        eventually("the commit", async || {
            (direct.get_swarm().await.unwrap().swarm.unwrap().revision == round).then_some(())
        })
        .await;
        proxy.swallow(false);
        if breaks {
            proxy.cut();
        }
        let result = written.await.unwrap().unwrap().result.unwrap();
        assert_eq!((result.revision, result.version), (round, 1));
        let history =
            swarmem::wire::v1::HistoryRequest { namespace: "shared/a".into(), key, ..Default::default() };
        assert_eq!(direct.history(history).await.unwrap().versions.len(), 1, "written once");
        assert!(proxy.connections() > 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_write_that_cannot_be_settled_in_time_can_be_later_by_its_id() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address(), 1).await;
    let options = Options {
        call_timeout: Duration::from_millis(600),
        attempt_timeout: Duration::from_millis(200),
        ..options("ann", Role::Agent)
    };
    let client = connect(proxy.address(), options).await;
    client.get_swarm().await.unwrap();
    proxy.swallow(true);
    let error = client.put(put("shared/a", "k", "x")).await.unwrap_err();
    assert_eq!(error.reason(), Some("OUTCOME_UNKNOWN"));
    let Error::OutcomeUnknown { request_id: Some(id), .. } = error else { panic!("{error:?}") };
    let again = server.agent("ann").await;
    let settled = again.with_request_id(id.clone()).put(put("shared/a", "k", "x")).await.unwrap();
    assert_eq!(settled.result.unwrap().version, 1);
    assert_eq!(server.revision().await, 1, "it was done, and only once");
    let error = again.with_request_id(id).put(put("shared/a", "k", "y")).await.unwrap_err();
    assert_eq!(error.reason(), Some(swarmem::client::reason::REQUEST_ID_REUSED));
    server.stop().await;
}

#[tokio::test]
async fn calls_go_on_over_a_connection_that_delays_and_is_cut_again_and_again() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address(), 5).await;
    let client = connect(proxy.address(), options("ann", Role::Agent)).await;
    proxy.cut_after(600);
    proxy.delay(Duration::from_millis(1));
    proxy.cut();
    for n in 1..=40_u64 {
        let result = client.put(put("shared/a", &format!("k{n}"), "x")).await.unwrap().result.unwrap();
        assert_eq!(result.revision, n, "each is done once, in order");
        client.get(name("shared/a", &format!("k{n}")), None).await.unwrap();
    }
    assert!(proxy.connections() > 10, "{}", proxy.connections());
    server.stop().await;
}

/// Found by the faults: what was sent twice and is refused the second time may have been done the first.
#[tokio::test]
async fn a_refusal_on_a_second_stream_says_nothing_of_the_first() {
    let unavailable = || refusal(Code::Unavailable, "STORE_UNAVAILABLE", None);
    let answer = async |answers: Vec<Answer>| {
        let scripted = Scripted::start(answers).await;
        let writes = client_of(&scripted).await.write_stream(4);
        let put = swarmem::wire::v1::PutOperation { namespace: "shared/a".into(), ..Default::default() };
        writes.put(put).await.unwrap().await.unwrap_err()
    };
    let error = answer(vec![Answer::Break, unavailable()]).await;
    assert!(matches!(error, Error::OutcomeUnknown { request_id: Some(_), .. }), "{error:?}");
    let error = answer(vec![unavailable()]).await;
    assert_eq!(error.reason(), Some("STORE_UNAVAILABLE"), "{error:?}");
    let error = answer(vec![Answer::Break, refusal(Code::Aborted, "CONDITION_FAILED", None)]).await;
    assert_eq!(error.reason(), Some("CONDITION_FAILED"), "{error:?}");
}
