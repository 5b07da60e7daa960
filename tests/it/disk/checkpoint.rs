//! A disk that fails while the log is moved into the database. Nobody waits for that, so nobody is told; nothing may be
//! lost by it.

use swarmem::client::Role;

use super::{
    Disk, Fault, Ledger,
    faults::{Call, DATABASE, EIO, ENOSPC},
};

#[tokio::test]
async fn a_log_that_cannot_be_moved_into_the_database_loses_nothing() {
    for (call, errno) in [(Call::Write, ENOSPC), (Call::Sync, EIO)] {
        let disk = Disk::new();
        let mut server = disk.server();
        let client = server.client("ann", Role::Orchestrator).await;
        let mut ledger = Ledger::with_contents(&client, 200_000);
        disk.fail(&[Fault::always(call, DATABASE, errno)]);
        // 16 MiB are moved at a time.
        while disk.hits() < 3 {
            ledger.write().await.unwrap();
        }
        ledger.write().await.unwrap();
        disk.cut_power(&mut server);
        let client = server.client("ann", Role::Orchestrator).await;
        ledger.is_held(&client).await;
        ledger.reconnect(&client);
        ledger.write().await.unwrap();
        ledger.is_held(&client).await;
        disk.cut_power(&mut server);
        ledger.is_held(&server.client("ann", Role::Orchestrator).await).await;
    }
}
