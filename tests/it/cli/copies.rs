//! Backup and restore on the command line.

use std::{fs, path::Path, process::Stdio};

use super::{
    complaint,
    doctor::{alter, left_behind, place},
    object, printed,
};
use crate::process::{Server, swarmem};

#[test]
fn a_backup_taken_while_writes_go_on_is_restored_as_a_new_incarnation() {
    let server = Server::start(&[]);
    let store = server.store();
    printed(&server.run(&["put", "shared/a", "before", "--key", "first"]));
    let incarnation =
        |server: &Server| object(&server.run(&["swarm", "get", "--json"]))["incarnation"].clone();
    let before = incarnation(&server);
    let mut writers: Vec<_> = (0..8)
        .map(|index| {
            let key = index.to_string();
            server
                .command(&["put", "shared/a", "meanwhile", "--key", &key])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let backup = server.run(&["backup", "copy.db", "--store", &store]);
    assert_eq!(printed(&backup), format!("copied {store} to copy.db\n"));
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    let line = complaint(&server.run(&["backup", "copy.db", "--store", &store]), 1);
    assert!(line.contains("copy.db exists"), "{line}");
    complaint(&server.run(&["backup", "other.db", "--store", "nowhere.db"]), 1);

    let line = complaint(&server.run(&["restore", "copy.db", "--store", &store, "--force"]), 1);
    assert!(line.contains("in use by process"), "{line}");

    let mut server = server;
    printed(&server.run(&["put", "shared/a", "too late", "--key", "after"]));
    server.kill();
    let line = complaint(&server.run(&["restore", "copy.db", "--store", &store]), 1);
    assert!(line.contains("--force"), "{line}");
    let restored = printed(&server.run(&["restore", "copy.db", "--store", &store, "--force"]));
    assert!(restored.contains("new incarnation"), "{restored}");
    server.restart();
    assert_eq!(printed(&server.run(&["get", "shared/a", "first", "--content"])), "before");
    complaint(&server.run(&["get", "shared/a", "after"]), 3);
    assert_ne!(incarnation(&server), before);
}

#[test]
fn what_is_no_database_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("text"), "no database").unwrap();
    for line in [["backup", "copy.db", "--store", "text"], ["restore", "text", "--store", "new.db"]] {
        let line = complaint(&swarmem().args(line).current_dir(&directory).output().unwrap(), 1);
        assert!(line.contains("text is not an SQLite database"), "{line}");
    }
    assert!(!directory.path().join("copy.db").exists() && !directory.path().join("new.db").exists());
}

fn restore(backup: &Path, target: &Path) -> std::process::Output {
    swarmem().arg("restore").arg(backup).arg("--store").arg(target).arg("--force").output().unwrap()
}

#[tokio::test]
async fn what_is_not_ours_is_not_replaced_even_by_force() {
    let (_backup, backup) = left_behind().await;
    let (directory, target) = place();
    for text in ["notes that nobody wants to lose", "SQLite format 3\0, or so it says"] {
        fs::write(&target, text).unwrap();
        let line = complaint(&restore(&backup, &target), 1);
        let shown = target.display().to_string();
        assert!(line.contains(&shown) && line.contains("move it away") && line.contains("--force"), "{line}");
        assert_eq!(fs::read(&target).unwrap(), text.as_bytes());
        fs::remove_file(&target).unwrap();
    }
    fs::write(&target, "").unwrap();
    alter(&target, "PRAGMA journal_mode = WAL; CREATE TABLE other (x)");
    let before = fs::read(&target).unwrap();
    let line = complaint(&restore(&backup, &target), 1);
    assert!(line.contains("move it away"), "{line}");
    assert_eq!(fs::read(&target).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "it leaves nothing");
}

#[tokio::test]
async fn what_was_ours_is_replaced_however_it_is_now() {
    let (_backup, backup) = left_behind().await;
    let (_target, target) = left_behind().await;
    let mut bytes = fs::read(&target).unwrap();
    let damaged = bytes.len() - 4096;
    bytes[100..damaged].fill(0xa5);
    fs::write(&target, bytes).unwrap();
    printed(&restore(&backup, &target));
    alter(&target, "PRAGMA user_version = 999");
    printed(&restore(&backup, &target));
    fs::write(&target, "").unwrap();
    printed(&restore(&backup, &target));
}

#[tokio::test]
async fn a_copy_that_fails_names_the_file_that_failed() {
    let (directory, source) = left_behind().await;
    let copy =
        |target: &Path| swarmem().arg("backup").arg(target).arg("--store").arg(&source).output().unwrap();
    let target = directory.path().join("no/such/folder/copy.db");
    let line = complaint(&copy(&target), 1);
    assert!(line.contains(target.to_str().unwrap()) && line.contains("No such file"), "{line}");
    assert!(!line.contains("code:") && !line.contains(source.to_str().unwrap()), "{line}");
    let line = complaint(&copy(Path::new("/proc/copy.db")), 1);
    assert!(line.contains("/proc/copy.db") && !line.contains("code:"), "{line}");
    let mut bytes = fs::read(&source).unwrap();
    let (half, end) = (bytes.len() / 2 / 4096 * 4096, bytes.len());
    bytes[half..end].fill(0xa5);
    fs::write(&source, bytes).unwrap();
    let target = directory.path().join("copy.db");
    let line = complaint(&copy(&target), 1);
    assert!(line.contains(source.to_str().unwrap()) && line.contains("malformed"), "{line}");
    assert!(!line.contains("code:"), "{line}");
    assert!(!target.exists());
}
