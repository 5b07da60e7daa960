//! A cluster has each swarm's channel on one of its masters; when that dies, the bus finds the next.

use swarmem::bus::{
    Bus as _, Message,
    redis::{Deployment, RedisOptions, probe},
};

use super::harness::{Ear, Swarm, address, open, options, until_down, until_up};
use crate::{process::eventually, servers::redis::Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_dies_is_a_gap() {
    let mut cluster = Cluster::start();
    eventually("the cluster is whole", async || cluster.is_whole().then_some(())).await;
    let known = cluster.nodes[..2].iter().map(|node| address(node.port)).collect();
    let options = RedisOptions { deployment: Deployment::Cluster(known), ..options(0) };
    let (here, there) = (open(options.clone()).await, open(options).await);
    let swarms: Vec<_> = (0..12).map(|n| Swarm::new(&format!("swarm-{n}"))).collect();
    let mut ears: Vec<Ear> = Vec::new();
    for swarm in &swarms {
        ears.push(swarm.listen(&there).await);
    }
    for (swarm, ear) in swarms.iter().zip(&mut ears) {
        ear.hears(&swarm.say(&here, 10)).await;
    }
    let at = |cluster: &Cluster, n: usize| cluster.master_of(&format!("swarmem:{{swarm-{n}}}"), 5);
    let masters: Vec<_> = (0..12).map(|n| at(&cluster, n)).collect();
    assert!((0..3).all(|master| masters.contains(&master)), "{masters:?}");

    let dead = masters[0];
    cluster.nodes[dead].kill();
    until_down(&there).await;
    let replica = dead + 3;
    let is_master = || cluster.nodes[replica].ask::<String>(&["INFO", "replication"]).contains("role:master");
    eventually("the replica takes over", async || is_master().then_some(())).await;
    until_up(&there).await;
    until_up(&here).await;
    for (n, ear) in ears.iter_mut().enumerate() {
        if masters[n] == dead {
            ear.hears_gap().await;
        }
    }
    assert_eq!(at(&cluster, 0), replica);
    // Those of the other masters were not disturbed.
    for (swarm, ear) in swarms.iter().zip(&mut ears) {
        let commit = swarm.say(&here, 10);
        loop {
            match ear.next().await {
                Message::Commit(heard) if heard == commit => break,
                Message::Gap => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(there.counts().interruptions >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_is_a_gap() {
    let cluster = Cluster::start();
    eventually("the cluster is whole", async || cluster.is_whole().then_some(())).await;
    let known = vec![address(cluster.nodes[0].port)];
    let options = RedisOptions { deployment: Deployment::Cluster(known), ..options(0) };
    assert_eq!(probe(options.clone()).await.unwrap().len(), 3, "each of them is tried");
    let (here, there) = (open(options.clone()).await, open(options).await);
    let swarm = Swarm::new("swarm");
    let mut ear = swarm.listen(&there).await;
    ear.hears(&swarm.say(&here, 10)).await;

    let from = cluster.master_of("swarmem:{swarm}", 0);
    let to = (from + 1) % 3;
    let slot: i64 = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", "swarmem:{swarm}"]);
    let new: String = cluster.nodes[to].ask(&["CLUSTER", "MYID"]);
    for node in [to, from, (from + 2) % 3] {
        cluster.nodes[node].ask::<()>(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &new]);
    }
    ear.hears_gap().await;
    until_up(&there).await;
    let subscribers =
        || cluster.nodes[to].ask::<(String, i64)>(&["PUBSUB", "SHARDNUMSUB", "swarmem:{swarm}"]).1;
    eventually("it is subscribed there", async || (subscribers() == 1).then_some(())).await;
    // The publisher learns of it from the first refusal, and may lose that one.
    let mut arrived = false;
    while !arrived {
        let commit = swarm.say(&here, 10);
        let before = here.counts();
        eventually("it is settled", async || {
            let now = here.counts();
            (now.published + now.lost >= before.published + before.lost).then_some(())
        })
        .await;
        arrived = match tokio::time::timeout(std::time::Duration::from_millis(200), ear.next()).await {
            Ok(Message::Commit(heard)) => heard == commit,
            _ => false,
        };
    }
}
