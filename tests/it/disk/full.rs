//! A disk that is full: writes are refused and say so, reads go on, and so does everything once there is room.

use super::{
    Disk, Fault, Ledger, all_writes_fail,
    faults::{Call, EIO, ENOSPC, LOG},
    ledger::Fate,
};
use swarmem::client::Role;

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let (reasons, said) = all_writes_fail(&[Fault::always(Call::Write, LOG, ENOSPC)]).await;
    assert!(reasons.iter().all(|reason| reason == "STORE_FULL"), "{reasons:?}");
    assert!(said.contains("the disk of the store is full") && said.contains("free some space"), "{said}");
}

#[tokio::test]
async fn a_disk_that_fails_writes_is_unavailable_until_it_is_well() {
    let (reasons, _) = all_writes_fail(&[Fault::always(Call::Write, LOG, EIO)]).await;
    assert!(reasons.iter().all(|reason| reason == "STORE_UNAVAILABLE"), "{reasons:?}");
}

/// The classes of errors that a commit takes for undone are, wherever in it they happen.
#[tokio::test]
async fn a_write_that_fails_anywhere_in_a_commit_undoes_all_of_it() {
    let disk = Disk::new();
    let mut server = disk.server();
    let mut ledger = Ledger::new(&server.client("ann", Role::Orchestrator).await);
    let mut undone = 0;
    for errno in [ENOSPC, EIO] {
        for skip in 0.. {
            let client = server.client("ann", Role::Orchestrator).await;
            ledger.reconnect(&client);
            ledger.write().await.unwrap();
            disk.fail(&[Fault::once(Call::Write, LOG, errno, skip)]);
            let written = ledger.write().await;
            disk.heal();
            assert_ne!(ledger.last(), Fate::Open, "{written:?}");
            // What the failed write left in the log is not overwritten before the recovery.
            match skip % 2 {
                0 => disk.cut_power(&mut server),
                _ => {
                    server.kill();
                    server.restart();
                }
            }
            ledger.is_held(&server.client("ann", Role::Orchestrator).await).await;
            if written.is_ok() {
                break;
            }
            undone += 1;
        }
    }
    assert!(undone > 10, "only {undone} commits failed");
}
