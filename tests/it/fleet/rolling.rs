//! Two coordinators that are replaced one after the other under load, as an operator does it: what clients that come back
//! by themselves notice of that, which is nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use swarmem::client::{Client, Options, Role, Watch};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    client::{Received, connect, from_revision, log, options},
    process::{PATIENCE, Server, eventually},
    rpc::harness::put,
    servers::{postgres::Database, redis::RedisServer},
};

const WRITERS: usize = 3;

async fn client(server: &Server, agent: &str) -> Client {
    connect(server.address(), Options { call_timeout: PATIENCE, ..options(agent, Role::Agent) }).await
}

/// Writes until it is told to stop; what it was acknowledged, in order.
async fn write(client: Client, name: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let content = format!("{name} {}", acknowledged.len());
        client.put(put("shared/a", &name, &content)).await.unwrap();
        acknowledged.push(content);
    }
    acknowledged
}

/// Takes what comes, until it has come to a revision that is told once it is known.
async fn follow(mut watch: Watch, mut goal: tokio::sync::watch::Receiver<Option<u64>>) -> Received {
    let mut received = Received::default();
    loop {
        let known = *goal.borrow_and_update();
        if known.is_some_and(|goal| !received.amid && received.reached >= goal) {
            return received;
        }
        tokio::select! {
            response = watch.next() => received.take(&response.unwrap().unwrap()),
            Ok(()) = goal.changed() => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_nothing_and_repeats_nothing() {
    let (database, redis) = (Database::new(), RedisServer::start());
    let environment = [
        ("SWARMEM_SERVER_DRAIN_SPREAD_MS", "200".to_owned()),
        ("SWARMEM_STORE_KIND", "postgres".to_owned()),
        ("SWARMEM_STORE_URL", database.tcp_url(database.server.port)),
        ("SWARMEM_BUS_KIND", "redis".to_owned()),
        ("SWARMEM_BUS_URLS", format!("redis://127.0.0.1:{}", redis.port)),
    ];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let start = || Server::start_to_be_killed(&[], &environment);
    let mut servers = [start(), start()];
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, goal) = tokio::sync::watch::channel(None);
    let (mut writers, mut watchers) = (JoinSet::new(), JoinSet::new());
    for server in &servers {
        for _ in 0..WRITERS {
            let name = format!("w{}", writers.len());
            writers.spawn(write(client(server, &name).await, name, Arc::clone(&stop)));
        }
        let watch = client(server, "watcher").await.watch(from_revision(1)).await.unwrap();
        watchers.spawn(follow(watch, goal.clone()));
    }
    let newest = async |server: &Server| {
        let client = client(server, "asks").await;
        client.get_swarm().await.unwrap().swarm.unwrap().revision
    };
    for server in &mut servers {
        let before = newest(server).await;
        eventually("writes", async || (newest(server).await >= before + 50).then_some(())).await;
        server.signal("TERM");
        assert!(server.ended().await.success(), "{}", server.log());
        server.restart();
    }
    let before = newest(&servers[0]).await;
    eventually("writes", async || (newest(&servers[0]).await >= before + 50).then_some(())).await;
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writers.join_all().await;
    let head = newest(&servers[0]).await;
    tell.send(Some(head)).unwrap();
    let log = log(&client(&servers[0], "reader").await, head).await;
    for received in timeout(PATIENCE, watchers.join_all()).await.expect("watchers see everything") {
        assert_eq!(received.events, log);
    }
    assert!(log.iter().map(|event| event.revision).eq(1..=head));
    assert_eq!(acknowledged.iter().map(Vec::len).sum::<usize>(), log.len());
    for written in acknowledged {
        let name = written[0].split(' ').next().unwrap().to_owned();
        let entries = log.iter().map(|event| event.entry.as_ref().unwrap());
        let logged: Vec<_> = entries.filter(|e| e.key == name).map(|e| e.content.clone()).collect();
        assert_eq!(logged, written);
    }
}
