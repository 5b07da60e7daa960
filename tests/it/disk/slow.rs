//! A disk that takes its time: writes wait, reads do not, and health tells when it takes too long.

use swarmem::client::Role;

use super::{
    Disk, Fault, Follower, Ledger,
    faults::{Call, HANG, LOG},
    health_turns,
};
use crate::process::{PATIENCE, eventually};

#[tokio::test]
async fn a_sync_that_hangs_delays_writes_and_loses_none() {
    let disk = Disk::new();
    let mut server = disk.server();
    let client = server.client_within("ann", Role::Orchestrator, PATIENCE).await;
    let mut ledger = Ledger::new(&client);
    let follower = Follower::start(&client).await;
    ledger.write().await.unwrap();

    disk.fail(&[Fault::always(Call::Sync, LOG, HANG)]);
    let writing = tokio::spawn(async move {
        let written = ledger.write().await;
        (ledger, written)
    });
    eventually("a sync that hangs", async || (disk.hits() > 0).then_some(())).await;
    let mut other = Ledger::new(&client.in_swarm("other"));
    health_turns(&client, false).await;
    let swarm = client.get_swarm().await.unwrap().swarm.unwrap();
    assert_eq!(swarm.revision, 1, "reads go on, and see nothing that is not on the disk");
    assert!(!writing.is_finished());

    disk.heal();
    let (ledger, written) = writing.await.unwrap();
    written.unwrap();
    health_turns(&client, true).await;
    client.in_swarm("other").create_swarm(None).await.unwrap();
    other.write().await.unwrap();
    follower.has_seen_everything(&client).await;
    disk.cut_power(&mut server);
    ledger.is_held(&server.client("ann", Role::Orchestrator).await).await;
}
