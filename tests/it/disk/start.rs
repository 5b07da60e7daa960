//! A coordinator that cannot start on what it finds, says so, and leaves nothing behind.

use std::{fs, path::Path, process::Command};

use super::{
    Disk, Fault,
    faults::{Call, DATABASE, ENOSPC},
};
use crate::process::swarmem;

fn serve(store: &Path) -> Command {
    let mut command = swarmem();
    command.args(["serve", "--listen", "127.0.0.1:0", "--store"]).arg(store);
    command
}

fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_database_is_refused_and_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("swarmem.db");
    fs::write(&store, "garbage ".repeat(2_000)).unwrap();
    let refused = serve(&store).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("is not an SQLite database"), "{said}");
    assert_eq!(files(directory.path()), ["swarmem.db"]);
    assert_eq!(fs::read_to_string(&store).unwrap(), "garbage ".repeat(2_000));
}

#[test]
fn a_lock_that_was_there_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("swarmem.db");
    fs::write(&store, "garbage ".repeat(2_000)).unwrap();
    fs::write(directory.path().join("swarmem.db.lock"), "").unwrap();
    assert!(!serve(&store).status().unwrap().success());
    assert_eq!(files(directory.path()), ["swarmem.db", "swarmem.db.lock"]);
}

#[test]
fn a_full_disk_is_named_at_the_start_and_leaves_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("swarmem.db");
    let disk = Disk::new();
    disk.fail(&[Fault::always(Call::Write, DATABASE, ENOSPC)]);
    let refused = serve(&store).envs(disk.environment()).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("full"), "{said}");
    assert!(
        !files(directory.path()).contains(&"swarmem.db.lock".to_owned()),
        "{:?}",
        files(directory.path())
    );
}
