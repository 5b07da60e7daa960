//! Whatever interrupts a subscription is a gap, and behind it everything goes on.

use swarmem::bus::{Bus as _, Message, redis::RedisBus};

use super::harness::{Ear, Swarm, open, options, until_down, until_up};
use crate::{
    process::eventually,
    servers::redis::{RedisServer, ask},
};

/// Two buses, and ears for two swarms on one of them.
struct Pair {
    here: RedisBus,
    there: RedisBus,
    swarms: [Swarm; 2],
    ears: [Ear; 2],
}

impl Pair {
    async fn over(server: &RedisServer) -> Self {
        let (here, there) = (open(options(server.port)).await, open(options(server.port)).await);
        let swarms = [Swarm::new("one"), Swarm::new("two")];
        let ears = [swarms[0].listen(&there).await, swarms[1].listen(&there).await];
        let mut pair = Self { here, there, swarms, ears };
        pair.works().await;
        pair
    }

    async fn works(&mut self) {
        for (swarm, ear) in self.swarms.iter().zip(&mut self.ears) {
            ear.hears(&swarm.say(&self.here, 10)).await;
        }
    }

    /// All subscribers of the bus have heard of an interruption, and of nothing else.
    async fn heard_gaps(&mut self) {
        for ear in &mut self.ears {
            ear.hears_gap().await;
        }
        until_up(&self.there).await;
        assert!(self.there.counts().interruptions >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back() {
    let mut server = RedisServer::start();
    let mut pair = Pair::over(&server).await;
    server.kill();
    let why = until_down(&pair.there).await;
    assert!(why.contains(&server.port.to_string()), "{why}");
    until_down(&pair.here).await;
    for _ in 0..10 {
        pair.swarms[0].say(&pair.here, 10);
    }
    eventually("they are lost", async || (pair.here.counts().lost == 10).then_some(())).await;
    server.run();
    pair.heard_gaps().await;
    until_up(&pair.here).await;
    pair.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_killed() {
    let server = RedisServer::start();
    let mut pair = Pair::over(&server).await;
    for _ in 0..3 {
        let killed: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]);
        assert!(killed >= 1);
        pair.heard_gaps().await;
        pair.works().await;
    }
    // Those that publish, too: what they lose they send again.
    let killed: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "NORMAL"]);
    assert!(killed >= 1);
    let commit = pair.swarms[0].say(&pair.here, 10);
    match pair.ears[0].next().await {
        Message::Commit(heard) => assert_eq!(heard, commit),
        Message::Gap => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_output_buffer_overruns() {
    let server = RedisServer::with(&["client-output-buffer-limit pubsub 256kb 0 0"]);
    let mut pair = Pair::over(&server).await;
    // More than the limit before the server writes the first byte to a client.
    let script = "for i = 1, 64 do redis.call('PUBLISH', KEYS[1], string.rep('x', 65536)) end";
    let mut connection = server.connection();
    ask::<()>(&mut connection, &["EVAL", script, "1", "swarmem:{one}"]);
    pair.ears[1].hears_gap().await;
    assert_eq!(pair.there.counts().interruptions, 1);
    until_up(&pair.there).await;
    while !matches!(pair.ears[0].next().await, Message::Gap) {}
    pair.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_any_more() {
    let server = RedisServer::start();
    let mut pair = Pair::over(&server).await;
    server.signal("-STOP");
    until_down(&pair.there).await;
    // Nobody waits for it: not to say something, and not long to begin to listen.
    let mut late = Swarm::new("three").listen(&pair.there).await;
    server.signal("-CONT");
    late.hears_gap().await;
    pair.heard_gaps().await;
    until_up(&pair.here).await;
    pair.works().await;
}
