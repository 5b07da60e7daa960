//! `doctor` and `completions`: everything that may be wrong is made wrong once.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::printed;
use crate::process::{Server, swarmem};

/// What each check found, and the exit code.
struct Report {
    findings: Vec<Value>,
    code: i32,
}

impl Report {
    fn of(arguments: &[&str]) -> Self {
        let output = swarmem().args(["doctor", "--json"]).args(arguments).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let findings: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for finding in &findings {
            assert_eq!(finding["mend"].is_string(), finding["status"] != "ok", "{finding}");
            assert!(finding["figure"].as_str().is_some_and(|figure| !figure.is_empty()), "{finding}");
        }
        Self { findings, code: output.status.code().unwrap() }
    }

    /// The figure of a check that came out so.
    #[track_caller]
    fn expect(&self, check: &str, status: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        let found = found.unwrap_or_else(|| panic!("no {check} in {:?}", self.findings));
        assert_eq!(found["status"], status, "{found}");
        let failed = self.findings.iter().any(|finding| finding["status"] == "failure");
        assert_eq!(self.code, i32::from(failed));
        found["figure"].as_str().unwrap()
    }
}

/// A folder with the path of a database in it.
pub(super) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("swarmem.db");
    (directory, path)
}

fn look(path: &Path, more: &[&str]) -> Report {
    Report::of(&[&["--listen", "127.0.0.1:0", "--store", path.to_str().unwrap()], more].concat())
}

/// A database that a coordinator has made, filled and left.
pub(super) async fn left_behind() -> (TempDir, PathBuf) {
    let mut server = Server::start(&[]);
    for n in 0..20 {
        printed(&server.run(&["put", "shared/a", &"x".repeat(4000), "--key", &n.to_string()]));
    }
    server.signal("TERM");
    assert!(server.ended().await.success());
    let (directory, path) = place();
    fs::copy(server.store(), &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (directory, path)
}

pub(super) fn alter(path: &Path, sql: &'static str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn what_is_well_is_said_to_be_well() {
    let (directory, path) = place();
    let report = look(&path, &[]);
    for check in ["config", "listen", "folder", "database", "clock", "filesystem"] {
        report.expect(check, "ok");
    }
    assert!(
        report.findings.iter().any(|f| f["check"] == "sync" && f["figure"].as_str().unwrap().contains("p99"))
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "it leaves nothing");
    // A date, not a count of seconds.
    let clock = report.expect("clock", "ok");
    assert!(clock.starts_with("20") && clock[..20].ends_with('Z'), "{clock}");

    let (directory, path) = left_behind().await;
    let report = look(&path, &["--deep"]);
    assert!(report.expect("database", "ok").contains("the newest"));
    assert_eq!(report.expect("permissions", "ok"), "600");
    report.expect("integrity", "ok");
    report.expect("clock", "ok");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "it leaves nothing");

    let told = swarmem().args(["doctor", "--listen", "127.0.0.1:0", "--store"]).arg(&path).output().unwrap();
    let told = printed(&told);
    assert!(told.lines().any(|line| line.starts_with("ok ") && line.contains("database")), "{told}");
}

#[tokio::test]
async fn a_coordinator_that_runs_is_named_and_left_alone() {
    let server = Server::start(&[]);
    printed(&server.run(&["put", "shared/a", "x", "--key", "k"]));
    let store = server.store();
    let report = Report::of(&["--listen", server.address(), "--store", &store, "--deep"]);
    assert!(report.expect("listen", "ok").contains("serves this database"));
    assert!(report.expect("database", "ok").contains("held by process"));
    report.expect("integrity", "ok");
    printed(&server.run(&["put", "shared/a", "y", "--key", "k"]));
    assert!(!server.log().contains("WARN"), "{}", server.log());
    // The address of another coordinator is not that of the one which has the database.
    let other = Server::start(&[]);
    let report = Report::of(&["--listen", other.address(), "--store", &store]);
    assert!(report.expect("listen", "failure").contains(&other.id().to_string()));
    report.expect("database", "failure");
    // For another database the port is not free.
    let (_directory, path) = place();
    let report = Report::of(&["--listen", server.address(), "--store", path.to_str().unwrap()]);
    assert!(report.expect("listen", "failure").contains("(swarmem)"));
}

#[tokio::test]
async fn a_database_that_is_in_use_elsewhere_is_a_failure() {
    let server = Server::start(&[]);
    let store = PathBuf::from(server.store());
    let other_name = store.with_file_name("other.db");
    fs::hard_link(&store, &other_name).unwrap();
    for path in [&store, &other_name] {
        let report = look(path, &[]);
        let figure = report.expect("database", "failure");
        assert!(
            figure.contains("in use") && figure.contains(&format!("process {}", server.id())),
            "{figure}"
        );
    }
}

#[tokio::test]
async fn a_database_that_was_taken_from_under_a_coordinator_is_a_failure() {
    let server = Server::start(&[]);
    printed(&server.run(&["put", "shared/a", "x", "--key", "k"]));
    let store = PathBuf::from(server.store());
    let look = || Report::of(&["--listen", server.address(), "--store", store.to_str().unwrap()]);
    look().expect("database", "ok");
    fs::copy(&store, store.with_file_name("copy.db")).unwrap();
    fs::remove_file(&store).unwrap();
    let told = |report: &Report| {
        let figure = report.expect("database", "failure");
        assert!(figure.contains("removed") && figure.contains(&server.id().to_string()), "{figure}");
    };
    told(&look());
    fs::rename(store.with_file_name("copy.db"), &store).unwrap();
    told(&look());
    // Without the lock, too: by who has the file open.
    fs::remove_file(format!("{}.lock", store.display())).unwrap();
    told(&look());
}

#[test]
fn an_address_that_cannot_be_had_is_a_failure() {
    let (directory, path) = place();
    let store = path.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let report = Report::of(&["--listen", &address, "--store", store]);
    assert!(report.expect("listen", "failure").contains(&std::process::id().to_string()));
    let report = Report::of(&["--listen", "192.0.2.1:7420", "--insecure", "--store", store]);
    report.expect("listen", "failure");
    let socket = directory.path().join("none/s");
    look(&path, &["--unix-socket", socket.to_str().unwrap()]).expect("unix_socket", "failure");
    let socket = directory.path().join("s");
    look(&path, &["--unix-socket", socket.to_str().unwrap()]).expect("unix_socket", "ok");
    let _taken = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    look(&path, &["--unix-socket", socket.to_str().unwrap()]).expect("unix_socket", "failure");
}

#[test]
fn settings_that_are_not_taken_are_a_failure() {
    let report = Report::of(&["--set", "lanes.idle_ms=soon"]);
    assert!(report.expect("config", "failure").contains("lanes.idle_ms"));
    let (_directory, path) = place();
    look(&path, &["--set", "transport.connections_max=1000000"]).expect("open_files", "warning");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_a_failure() {
    look(Path::new("/proc/swarmem.db"), &[]).expect("folder", "failure");
    let (directory, _) = place();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    look(&file.join("swarmem.db"), &[]).expect("folder", "failure");
    let report = look(&directory.path().join("a/b/swarmem.db"), &[]);
    assert!(report.expect("folder", "ok").contains("first start"));
    assert!(!directory.path().join("a").exists());
}

#[tokio::test]
async fn a_file_that_is_not_ours_or_too_new_is_a_failure() {
    let (_directory, path) = place();
    fs::write(&path, "not a database, and long enough that nobody takes it for an empty one".repeat(20))
        .unwrap();
    look(&path, &[]).expect("database", "failure");

    let (_directory, path) = place();
    fs::write(&path, "").unwrap();
    alter(&path, "CREATE TABLE other (x)");
    assert!(look(&path, &[]).expect("database", "failure").contains("not one of swarmem"));

    let (_directory, path) = left_behind().await;
    alter(&path, "PRAGMA user_version = 999");
    assert!(look(&path, &[]).expect("database", "failure").contains("999"));
}

#[tokio::test]
async fn a_database_that_others_can_read_is_a_warning() {
    let (directory, path) = left_behind().await;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(look(&path, &[]).expect("permissions", "warning"), "644");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    look(&path, &[]).expect("permissions", "ok");
}

#[tokio::test]
async fn a_swarm_from_the_future_is_a_warning() {
    let (_directory, path) = left_behind().await;
    alter(&path, "UPDATE heads SET time_us = time_us + 3600000000");
    assert!(look(&path, &[]).expect("clock", "warning").contains("default"));
}

#[tokio::test]
async fn damage_is_found_by_looking_at_everything() {
    let (_directory, path) = left_behind().await;
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2 / 4096 * 4096;
    bytes[half..half + 3 * 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    look(&path, &["--deep"]).expect("integrity", "failure");
}

#[tokio::test]
async fn a_log_that_a_killed_coordinator_left_is_told_and_kept() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    printed(&server.run(&["put", "shared/a", "kept", "--key", "k"]));
    server.kill();
    let store = PathBuf::from(server.store());
    let log = PathBuf::from(format!("{}-wal", server.store()));
    let before = fs::read(&log).unwrap();
    assert!(!before.is_empty());
    let report = look(&store, &["--deep"]);
    assert!(report.expect("log", "ok").contains("MiB"));
    report.expect("integrity", "ok");
    assert_eq!(fs::read(&log).unwrap(), before, "nothing was moved");
    server.restart();
    assert_eq!(printed(&server.run(&["get", "shared/a", "k", "--content"])), "kept");
}

#[test]
fn shells_learn_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&swarmem().args(["completions", shell]).output().unwrap());
        for word in ["doctor", "completions", "deep", "unix-socket"] {
            assert!(script.contains(word), "{word} is missing for {shell}");
        }
    }
    assert_eq!(swarmem().args(["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
}
