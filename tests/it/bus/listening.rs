//! While nothing breaks: order, size, what is foreign, who listens, and what that costs.

use std::{sync::Arc, time::Duration};

use swarmem::{
    bus::{
        Bus as _, Message,
        redis::{RedisBus, RedisOptions},
    },
    domain::position::TokenKey,
};

use super::harness::{Swarm, key, open, options, until_up};
use crate::{process::eventually, servers::redis::RedisServer};

#[tokio::test(flavor = "multi_thread")]
async fn commits_arrive_in_order_and_only_from_others() {
    let server = RedisServer::start();
    // Room for all of it: nobody listens before it is said.
    let roomy = RedisOptions { backlog_messages_max: 1000, ..options(server.port) };
    let (here, there) = (open(options(server.port)).await, open(roomy).await);
    let (swarm, other) = (Swarm::new("swarm"), Swarm::new("other"));
    let (mut near, mut far) = (swarm.listen(&here).await, swarm.listen(&there).await);
    let mut sent = Vec::new();
    for n in 0..300 {
        sent.push(swarm.say(&here, n * 10));
        other.say(&here, 10);
    }
    for commit in &sent {
        far.hears(commit).await;
    }
    // Whoever says something does not hear it.
    near.hears(&swarm.say(&there, 10)).await;
    assert_eq!(here.counts().published, 600);
    assert_eq!(there.counts().received, 300, "what nobody listens to does not come");
    assert_eq!((here.counts().lost, there.counts().gaps), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_announced() {
    let server = RedisServer::start();
    let small = RedisOptions { payload_bytes_max: 1000, ..options(server.port) };
    let (here, there) = (open(small).await, open(options(server.port)).await);
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    // The second would be sent without a look at its content, the third with one.
    for bytes in [600, 5_000, 1_000] {
        let commit = swarm.say(&here, bytes);
        match far.next().await {
            Message::Commit(heard) if bytes == 600 => assert_eq!(heard, commit),
            Message::Moved(incarnation, mark) if bytes > 600 => {
                assert_eq!((incarnation, mark), (commit.incarnation, commit.last));
            }
            other => panic!("{other:?} at {bytes} bytes"),
        }
    }
    let longest: usize = server.ask::<String>(&["INFO", "stats"]).len();
    assert!(longest > 0);
    assert_eq!((here.counts().published, here.counts().fetches), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_announces_and_then_loses_but_never_waits() {
    let server = RedisServer::start();
    let few = RedisOptions { queue_bytes_max: 10_000, queue_commits_max: 200, ..options(server.port) };
    let (here, there) = (open(few).await, open(options(server.port)).await);
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    // The first connection of the publisher, then a server that takes nothing.
    far.hears(&swarm.say(&here, 10)).await;
    server.signal("-STOP");
    for _ in 0..1_000 {
        swarm.say(&here, 1_000);
    }
    assert!(here.counts().lost > 0);
    server.signal("-CONT");
    let (mut whole, mut announced) = (0, 0);
    while announced == 0 {
        match far.next().await {
            Message::Commit(_) => whole += 1,
            Message::Moved(..) => announced += 1,
            Message::Gap => break,
            Message::Closed => panic!("closed"),
        }
    }
    assert!(whole <= 10, "{whole} KB in a queue of 10");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreign_or_broken_is_a_gap() {
    let server = RedisServer::start();
    let (here, there) = (open(options(server.port)).await, open(options(server.port)).await);
    // Another fleet over another store, by mistake under the same prefix.
    let foreign = RedisBus::open(options(server.port), TokenKey::new([6; 32]));
    until_up(&foreign).await;
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    server.ask::<()>(&["PUBLISH", "swarmem:{swarm}", "nonsense"]);
    far.hears_gap().await;
    Swarm::new("swarm").say(&foreign, 10);
    far.hears_gap().await;
    assert_eq!(there.counts().unreadable, 2);
    far.hears(&swarm.say(&here, 10)).await;
    // Another prefix is another fleet.
    let elsewhere = open(RedisOptions { prefix: "fleet-2".into(), ..options(server.port) }).await;
    swarm.say(&elsewhere, 10);
    let mut own = swarm.listen(&elsewhere).await;
    let second = open(RedisOptions { prefix: "fleet-2".into(), ..options(server.port) }).await;
    own.hears(&swarm.say(&second, 10)).await;
    far.hears(&swarm.say(&here, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_has_a_gap_and_disturbs_nobody() {
    let server = RedisServer::start();
    let little = RedisOptions { backlog_messages_max: 10, ..options(server.port) };
    let (here, there) = (open(options(server.port)).await, open(little).await);
    let (swarm, other) = (Swarm::new("swarm"), Swarm::new("other"));
    let (mut slow, mut quick) = (swarm.listen(&there).await, other.listen(&there).await);
    for _ in 0..100 {
        swarm.say(&here, 10);
        quick.hears(&other.say(&here, 10)).await;
    }
    slow.hears_gap().await;
    // It goes on with what came behind the gap.
    let last = swarm.say(&here, 10);
    loop {
        match slow.next().await {
            Message::Commit(heard) if heard == last => break,
            Message::Commit(_) => {}
            heard => panic!("{heard:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscriptions_are_one_connection_and_cost_nothing_when_they_are_gone() {
    let server = RedisServer::start();
    let (here, there) = (open(options(server.port)).await, open(options(server.port)).await);
    let swarms: Vec<_> = (0..1_000).map(|n| Swarm::new(&format!("swarm-{n}"))).collect();
    let mut ears = Vec::new();
    for swarm in &swarms {
        ears.push(swarm.listen(&there).await);
    }
    for (swarm, ear) in swarms.iter().zip(&mut ears) {
        ear.hears(&swarm.say(&here, 10)).await;
    }
    let clients: String = server.ask(&["CLIENT", "LIST", "TYPE", "PUBSUB"]);
    assert_eq!(clients.lines().count(), 1, "{clients}");
    assert!(clients.contains("sub=1000"), "{clients}");
    let channels = || server.ask::<Vec<String>>(&["PUBSUB", "CHANNELS"]).len();
    assert_eq!(channels(), 1_000);
    ears.truncate(1);
    eventually("the others are unsubscribed", async || (channels() == 1).then_some(())).await;
    // Behind the last subscriber of a swarm there is another one.
    let first = &swarms[0];
    let mut second = first.listen(&there).await;
    drop(ears);
    second.hears(&first.say(&here, 10)).await;
    drop(second);
    eventually("the last is unsubscribed", async || (channels() == 0).then_some(())).await;
    let mut again = first.listen(&there).await;
    again.hears(&first.say(&here, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_sends_what_waits() {
    let server = RedisServer::start();
    let (here, there) = (open(options(server.port)).await, open(options(server.port)).await);
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    let sent: Vec<_> = (0..100).map(|_| swarm.say(&here, 1000)).collect();
    here.close().await;
    for commit in &sent {
        far.hears(commit).await;
    }
    swarm.say(&here, 10);
    assert_eq!(here.counts().lost, 1);
    drop((here, there));
    let clients = || server.ask::<String>(&["CLIENT", "LIST"]).lines().count();
    eventually("both are gone", async || (clients() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_server_that_is_not_there() {
    let mut server = RedisServer::start();
    server.kill();
    let bus = Arc::new(RedisBus::open(options(server.port), key()));
    let swarm = Swarm::new("swarm");
    let mut ear = swarm.listen(&bus).await;
    for _ in 0..100 {
        swarm.say(&bus, 10);
    }
    eventually("all are lost", async || (bus.counts().lost == 100).then_some(())).await;
    server.run();
    until_up(&bus).await;
    // What was missed meanwhile is not known.
    ear.hears_gap().await;
    let other =
        open(RedisOptions { heartbeat_interval: Duration::from_secs(60), ..options(server.port) }).await;
    ear.hears(&swarm.say(&other, 10)).await;
}
