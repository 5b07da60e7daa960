//! What clients see while the disk under a coordinator is in trouble, and what is there afterwards. One file per
//! trouble. Knows the coordinator as a process, and by its protocol.

mod checkpoint;
mod corrupt;
mod faults;
mod full;
mod ledger;
mod limit;
mod read_only;
mod slow;
mod start;
mod storm;
mod sync;

use swarmem::client::{Client, Code, Role, ServingStatus};

use self::{
    faults::{Disk, Fault},
    ledger::{Follower, Ledger},
};
use crate::process::{Server, eventually};

const MEMORY: &str = "swarmem.v1.MemoryService";

async fn serves(client: &Client, service: &str) -> bool {
    client.check_health(service).await.unwrap() == ServingStatus::Serving
}

/// Waits until the health of what needs the store is so; the rest serves all the time.
async fn health_turns(client: &Client, serving: bool) {
    eventually("another health", async || (serves(client, MEMORY).await == serving).then_some(())).await;
    assert_eq!(serves(client, "swarmem.v1.SwarmService").await, serving);
    assert!(serves(client, "swarmem.v1.WatchService").await && serves(client, "").await);
}

/// How often a text stands in the log.
fn times_logged(server: &Server, text: &str) -> usize {
    server.log().lines().filter(|line| line.contains(text)).count()
}

/// A trouble in which every write fails while reads go on, from its beginning to its end without a restart. Returns the
/// reasons that writes were refused with, and what the command line said of it.
async fn all_writes_fail(faults: &[Fault]) -> (Vec<String>, String) {
    let disk = Disk::new();
    let mut server = disk.server();
    let client = server.client("ann", Role::Orchestrator).await;
    let mut ledger = Ledger::new(&client);
    let follower = Follower::start(&client).await;
    for _ in 0..5 {
        ledger.write().await.unwrap();
    }

    disk.fail(faults);
    let mut reasons = Vec::new();
    for _ in 0..30 {
        let error = ledger.write().await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!error.to_string().contains('/'), "a file is named: {error}");
        reasons.push(error.reason().unwrap().to_owned());
    }
    ledger.is_held(&client).await;
    let put = server.run(&["put", "shared/x", "from the command line"]);
    assert_eq!(put.status.code(), Some(5));
    health_turns(&client, false).await;
    ledger.is_held(&client).await;
    assert!(disk.hits() > 0, "no fault was met");

    disk.heal();
    health_turns(&client, true).await;
    ledger.write().await.unwrap();
    ledger.is_held(&client).await;
    follower.has_seen_everything(&client).await;
    eventually("the end of the trouble", async || {
        (times_logged(&server, "well again: writes succeed") == 1).then_some(())
    })
    .await;
    assert_eq!(times_logged(&server, "in trouble: writes fail"), 1, "{}", server.log());
    let warnings = times_logged(&server, "WARN") + times_logged(&server, "ERROR");
    assert_eq!(warnings, 2, "one of the store, one of its health: {}", server.log());

    server.kill();
    server.restart();
    let client = server.client("ann", Role::Orchestrator).await;
    ledger.is_held(&client).await;
    disk.cut_power(&mut server);
    let client = server.client("ann", Role::Orchestrator).await;
    ledger.is_held(&client).await;
    (reasons, String::from_utf8(put.stderr).unwrap())
}
