//! Connections: how many, how soon they must speak, and how long they may be silent.

use h2::client::Builder;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::peer::{Peer, begin, exhausted, frame, watch_request};
use crate::{
    process::{PATIENCE, eventually},
    rpc::harness::Server,
};

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let server = Server::start_with(|config| config.transport.connections_max = 2).await;
    let mut first = Peer::connect(server.address()).await;
    let mut second = Peer::connect(server.address()).await;
    assert!(first.get_swarm().await.is_ok());
    assert!(second.get_swarm().await.is_ok());
    let mut third = Peer::connect(server.address()).await;
    for _ in 0..2 {
        assert_eq!(exhausted(&third.get_swarm().await.unwrap_err()), "CONNECTIONS_EXHAUSTED");
    }
    assert!(second.get_swarm().await.is_ok());
    drop((first, third));
    eventually("room for another", async || {
        Peer::connect(server.address()).await.get_swarm().await.ok().map(drop)
    })
    .await;
    drop(second);
    server.stop().await;
}

#[tokio::test]
async fn whoever_says_nothing_is_shown_out() {
    let server = Server::start_with(|config| config.transport.handshake_timeout_ms = 100).await;
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        // Cut off, in whatever way.
        let _ = timeout(PATIENCE, socket.read_to_end(&mut heard)).await.expect("it is closed");
    }
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: swarmem\r\n\r\n").await.unwrap();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.expect("it is closed");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_with_nothing_open_is_asked_to_go_and_others_stay() {
    let server = Server::start_with(|config| {
        config.transport.handshake_timeout_ms = 50;
        config.transport.idle_timeout_ms = 50;
    })
    .await;
    let mut watching = Peer::connect(server.address()).await;
    let mut watch = watching.watch(&[]);
    watch.next().await.unwrap();
    let mut idle = Peer::connect(server.address()).await;
    assert!(idle.get_swarm().await.is_ok());
    let ended = timeout(PATIENCE, &mut idle.connection).await.expect("it is asked to go").unwrap();
    assert!(ended.is_ok(), "it goes without an error: {ended:?}");
    assert!(watching.get_swarm().await.is_ok(), "the older one has something open");
    drop(watching);
    server.stop().await;
}

#[tokio::test]
async fn streams_beyond_the_bound_of_a_connection_are_refused() {
    let server = Server::start_with(|config| config.transport.streams_max = 3).await;
    let (mut send, connection) = Peer::handshake(server.address(), &Builder::new()).await;
    // A good client waits for the settings, and then for a stream to end.
    let mut calls: Vec<_> = (0..5).map(|_| begin(&mut send, "WatchService/Watch", &[])).collect();
    for call in &mut calls {
        call.body.send_data(frame(&watch_request()), true).unwrap();
    }
    let peer = Peer::run(send, connection);
    for call in &mut calls[..3] {
        call.next().await.unwrap();
    }
    for call in &mut calls[3..] {
        let reset = call.next().await.unwrap_err();
        assert!(reset.message().contains("refused"), "{reset:?}");
    }
    drop(peer);
    server.stop().await;
}
