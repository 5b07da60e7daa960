//! Coordinators that take everything and say nothing.

use std::{pin::pin, time::Duration};

use swarmem::{
    client::{Code, Error, Link, Options, Role},
    wire::v1,
};
use tokio::{net::TcpListener, time::timeout};

use super::{Received, connect, from_revision, next, options, proxy::Proxy};
use crate::{
    process::PATIENCE,
    rpc::harness::{Server, name, put},
};

fn impatient() -> Options {
    Options {
        call_timeout: Duration::from_millis(500),
        attempt_timeout: Duration::from_millis(150),
        ..options("ann", Role::Agent)
    }
}

#[tokio::test]
async fn every_call_ends_though_nobody_ever_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silence = async {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    };
    let calls = async {
        let client = connect(&address, impatient()).await;
        let error = client.get(name("shared/a", "k"), None).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::DeadlineExceeded, None));
        let error = client.put(put("shared/a", "k", "x")).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { request_id: Some(_), .. }), "{error:?}");
        let error = client.create_swarm(None).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { request_id: None, .. }), "{error:?}");
        let error = client.watch(v1::WatchRequest::default()).await.unwrap_err();
        assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Unavailable), "{error:?}");
        assert!(client.watch_once(v1::WatchRequest::default()).await.is_err());
        assert!(client.check_health("").await.is_err());
    };
    let both = async {
        tokio::select! {
            () = silence => {}
            () = calls => {}
        }
    };
    timeout(PATIENCE, both).await.expect("a deadline is kept");
}

#[tokio::test]
async fn a_watch_that_hears_nothing_comes_back_on_another_connection() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address(), 1).await;
    let options = Options { silence_min: Duration::from_millis(400), ..options("ann", Role::Agent) };
    let client = connect(proxy.address(), options).await;
    let direct = server.agent("ann").await;
    let mut watch = client.watch(from_revision(1)).await.unwrap();
    let mut link = watch.link();
    direct.put(put("shared/a", "1", "")).await.unwrap();
    let mut received = Received::up_to(&mut watch, 1).await;

    proxy.swallow(true);
    direct.put(put("shared/a", "2", "")).await.unwrap();
    {
        let mut lost = pin!(link.wait_for(|link| matches!(link, Link::Down { .. })));
        timeout(PATIENCE, async {
            loop {
                tokio::select! {
                    lost = &mut lost => return drop(lost.unwrap()),
                    // What was on its way before.
                    response = watch.next() => received.take(&response.unwrap().unwrap()),
                }
            }
        })
        .await
        .expect("silence is noticed");
    }
    proxy.swallow(false);
    received.follow(&mut watch, 2).await;
    assert_eq!(received.events.iter().map(|event| event.revision).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(*link.borrow(), Link::Up);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_that_is_not_polled_for_long_is_not_taken_for_dead() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address(), 1).await;
    let options = Options { silence_min: Duration::from_millis(10), ..options("ann", Role::Agent) };
    let client = connect(proxy.address(), options).await;
    let request = v1::WatchRequest {
        bookmark_interval: Duration::from_millis(100).try_into().ok(),
        ..from_revision(1)
    };
    let mut watch = client.watch(request).await.unwrap();
    next(&mut watch).await;
    let connections = proxy.connections();
    // Longer than any silence it would bear.
    tokio::time::sleep(Duration::from_millis(700)).await;
    next(&mut watch).await;
    assert_eq!(proxy.connections(), connections);
    server.stop().await;
}
