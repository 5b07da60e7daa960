//! Backup and restore on the command line.

use std::process::Stdio;

use super::{complaint, object, printed};
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
    assert!(line.contains("in use by another process"), "{line}");

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
