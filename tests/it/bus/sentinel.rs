//! Sentinels know the master; when it is another one, the bus goes there.

use swarmem::bus::redis::{Deployment, RedisOptions};

use super::harness::{Swarm, address, open, options, until_up};
use crate::{
    process::eventually,
    servers::redis::{RedisServer, Sentinels},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_a_gap() {
    let mut fleet = Sentinels::start();
    eventually("the sentinel knows the replica", async || fleet.knows_the_replica().then_some(())).await;
    // One that is not there comes first: the next is asked.
    let nobody = {
        let mut server = RedisServer::start();
        server.kill();
        server
    };
    let deployment = Deployment::Sentinel {
        sentinels: vec![address(nobody.port), address(fleet.sentinel.port)],
        master: Sentinels::MASTER.to_owned(),
        login: None,
    };
    let options = RedisOptions { deployment, ..options(0) };
    let (here, there) = (open(options.clone()).await, open(options).await);
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    far.hears(&swarm.say(&here, 10)).await;

    fleet.master.kill();
    far.hears_gap().await;
    until_up(&there).await;
    until_up(&here).await;
    let subscribers = || fleet.replica.ask::<(String, i64)>(&["PUBSUB", "NUMSUB", "swarmem:{swarm}"]).1;
    assert_eq!(subscribers(), 1);
    let replication: String = fleet.replica.ask(&["INFO", "replication"]);
    assert!(replication.contains("role:master"), "{replication}");
    far.hears(&swarm.say(&here, 10)).await;
}
