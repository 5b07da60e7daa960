//! A sync that fails. The kernel forgets what it could not write, so a later sync that succeeds says nothing of it,
//! and reads come from memory until the power is cut (ADR 7).

use std::time::Duration;

use swarmem::{
    client::{Code, Role},
    wire::v1,
};

use super::{
    Disk, Fault, Follower, Ledger,
    faults::{Call, EIO, LOG},
    health_turns,
    ledger::Fate,
};

/// Longer than waiting requests are kept while an outcome is unknown, and shorter than the server's own limit.
const DEADLINE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn what_a_failed_sync_left_is_gone_once_it_was_refused() {
    for cut in [false, true] {
        let disk = Disk::new();
        let mut server = disk.server();
        let client = server.client("ann", Role::Orchestrator).await;
        let mut ledger = Ledger::new(&client);
        ledger.write().await.unwrap();
        for times in [1, 4] {
            disk.fail(&[Fault { times: Some(times), ..Fault::always(Call::Sync, LOG, EIO) }]);
            let error = ledger.write().await.unwrap_err();
            assert_eq!((error.code(), error.reason()), (Code::Unavailable, Some("STORE_UNAVAILABLE")));
        }
        disk.heal();
        if cut {
            disk.cut_power(&mut server);
        } else {
            server.kill();
            server.restart();
        }
        let client = server.client("ann", Role::Orchestrator).await;
        ledger.is_held(&client).await;
        ledger.reconnect(&client);
        ledger.write().await.unwrap();
        ledger.is_held(&client).await;
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_called_so_and_what_follows_it_is_safe() {
    let disk = Disk::new();
    let mut server = disk.server();
    let client = server.client_within("ann", Role::Orchestrator, DEADLINE).await;
    let mut ledger = Ledger::new(&client);
    for _ in 0..3 {
        ledger.write().await.unwrap();
    }
    disk.fail(&[Fault::always(Call::Sync, LOG, EIO)]);
    let mut behind = Ledger::with_contents(&client, 40);
    let unknown = tokio::spawn(async move {
        let written = ledger.write().await;
        (ledger, written)
    });
    crate::process::eventually("a failed sync", async || (disk.hits() > 0).then_some(())).await;
    let refused = behind.write().await.unwrap_err();
    assert_eq!(refused.reason(), Some("STORE_UNAVAILABLE"), "those who wait are not kept: {refused}");
    health_turns(&client, false).await;
    let (mut ledger, written) = unknown.await.unwrap();
    assert_eq!(ledger.last(), Fate::Open, "{written:?}");
    ledger.is_held(&client).await;

    // Right then it dies. Whether the write counts is open until the next start, and settled by it.
    server.kill();
    disk.heal();
    server.restart();
    let client = server.client("ann", Role::Orchestrator).await;
    ledger.is_held(&client).await;
    ledger.reconnect(&client);
    for _ in 0..3 {
        ledger.write().await.unwrap();
    }
    let follower = Follower::start(&client).await;
    follower.has_seen_everything(&client).await;
    let head = client.get_swarm().await.unwrap().swarm.unwrap();
    disk.cut_power(&mut server);
    let client = server.client("ann", Role::Orchestrator).await;
    ledger.is_held(&client).await;
    let after = client.get_swarm().await.unwrap().swarm.unwrap();
    assert_eq!((after.revision, after.entries), (head.revision, head.entries));
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_without_a_restart() {
    let disk = Disk::new();
    let mut server = disk.server();
    let client = server.client_within("ann", Role::Orchestrator, DEADLINE).await;
    let mut ledger = Ledger::new(&client);
    let follower = Follower::start(&client).await;
    ledger.write().await.unwrap();
    disk.fail(&[Fault::always(Call::Sync, LOG, EIO)]);
    ledger.write().await.unwrap_err();
    assert_eq!(ledger.last(), Fate::Open);
    // So that it turns when the store is back, and not before.
    health_turns(&client, false).await;
    disk.heal();
    health_turns(&client, true).await;
    ledger.write().await.unwrap();
    ledger.is_held(&client).await;
    follower.has_seen_everything(&client).await;
    disk.cut_power(&mut server);
    ledger.is_held(&server.client("ann", Role::Orchestrator).await).await;
}

/// Swarms are made and deleted outside of lanes.
#[tokio::test]
async fn a_swarm_whose_making_may_have_failed_is_not_called_unmade() {
    let disk = Disk::new();
    let server = disk.server();
    let client = server.client("ann", Role::Orchestrator).await;
    let other = client.in_swarm("other");
    let request = v1::CreateSwarmRequest { swarm: "other".into(), retention: None };
    disk.fail(&[Fault::always(Call::Sync, LOG, EIO)]);
    let error = swarmem::client::Error::from(other.swarms().create_swarm(request).await.unwrap_err());
    assert_eq!((error.code(), error.reason()), (Code::Unknown, Some("OUTCOME_UNKNOWN")));
    let request = v1::DeleteSwarmRequest { swarm: "default".into() };
    let error = swarmem::client::Error::from(client.swarms().delete_swarm(request).await.unwrap_err());
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, Some("STORE_UNAVAILABLE")), "{error}");
    disk.heal();
    health_turns(&client, true).await;
}
