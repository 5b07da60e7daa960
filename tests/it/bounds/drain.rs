//! A shutdown with much that is open: everybody is told, and the end comes when it must.

use std::time::Duration;

use futures_util::future::join_all;
use swarmem::{
    client::{Client, Code, Error, Role},
    wire::{WatchResponseType, v1},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::peer::{Peer, frame};
use crate::{
    process::{PATIENCE, Server},
    rpc::harness::{SWARM, put},
};

const CONNECTIONS: usize = 10;
const STREAMS: usize = 100;

async fn watch_until_told(client: &Client) -> tokio::task::JoinHandle<()> {
    let mut watch = client.watch_once(v1::WatchRequest::default()).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().r#type(), WatchResponseType::Bookmark);
    tokio::spawn(async move {
        let bookmark = timeout(PATIENCE, watch.next()).await.expect("it ends").unwrap().unwrap();
        assert_eq!(bookmark.r#type(), WatchResponseType::Bookmark);
        let error = timeout(PATIENCE, watch.next()).await.expect("it ends").unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, Some("DRAINING")));
        let Error::Refused(refusal) = error else { panic!("not a refusal") };
        assert!(refusal.retry_after.is_some_and(|after| after > Duration::ZERO));
    })
}

/// Each is told by a bookmark and UNAVAILABLE, and the process ends well before it would have to cut anything.
#[tokio::test]
async fn a_thousand_idle_streams_end_in_time() {
    // So that no bookmark but the last comes.
    let mut server = Server::start(&["--set", "watch.bookmark_interval_ms=3600000"]);
    let mut watches = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = server.client("watcher", Role::Observer).await;
        watches.extend(join_all((0..STREAMS).map(|_| watch_until_told(&client))).await);
    }
    server.signal("TERM");
    for watch in join_all(watches).await {
        watch.unwrap();
    }
    assert!(server.ended().await.success(), "{}", server.log());
    assert!(!server.log().contains("WARN"), "nothing had to be cut: {}", server.log());
}

/// Peers that do nothing of what they should do hold the end up to its deadline, and no longer.
#[tokio::test]
async fn whoever_does_not_listen_is_cut_off_at_the_deadline() {
    let mut server = Server::start(&["--set", "server.drain_timeout_ms=500"]);
    let client = server.client("ann", Role::Agent).await;
    for n in 0..4 {
        client.put(put("shared/x", &n.to_string(), &"x".repeat(200_000))).await.unwrap();
    }
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    let mut closed = Peer::with(server.address(), h2::client::Builder::new().initial_window_size(0)).await;
    let mut list = closed.call("MemoryService/List", &[]);
    let request = v1::ListRequest { swarm: SWARM.into(), ..Default::default() };
    list.body.send_data(frame(&request), true).unwrap();
    list.begun().await;
    server.signal("TERM");
    assert!(server.ended().await.success(), "{}", server.log());
    assert!(server.log().contains("the time to drain was over"), "{}", server.log());
    // Closed, in whatever way.
    let _ = timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.expect("it is closed");
}
