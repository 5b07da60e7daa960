//! A limit of the system on the size of files, which the kernel enforces by a signal that ends a process.

use std::{fs, process::Command};

use swarmem::client::{Code, Role};

use super::{Ledger, health_turns};
use crate::process::Server;

fn limit(server: &Server, bytes: &str) {
    let pid = server.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status().unwrap();
    assert!(set.success(), "prlimit");
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_a_disk_that_fails() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let client = server.client("ann", Role::Orchestrator).await;
    let mut ledger = Ledger::with_contents(&client, 60_000);
    ledger.write().await.unwrap();
    let log_bytes = fs::metadata(server.store() + "-wal").unwrap().len();
    limit(&server, &(log_bytes + 50_000).to_string());
    for _ in 0..5 {
        let error = ledger.write().await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, Some("STORE_UNAVAILABLE")));
    }
    ledger.is_held(&client).await;
    limit(&server, "unlimited");
    ledger.write().await.unwrap();
    health_turns(&client, true).await;
    server.kill();
    server.restart();
    ledger.is_held(&server.client("ann", Role::Orchestrator).await).await;
}
