//! The program on PostgreSQL, as a user runs it. Knows nothing of how it does it.

use crate::{
    process::{Server, swarmem},
    servers::postgres::{Database, PASSWORD},
};

fn settings(database: &Database) -> [(&'static str, String); 2] {
    let url = database.tcp_url(database.server.port);
    [("SWARMEM_STORE_KIND", "postgres".into()), ("SWARMEM_STORE_URL", url)]
}

fn serve(database: &Database) -> Server {
    let settings = settings(database);
    let environment: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    Server::start_to_be_killed(&[], &environment)
}

pub fn printed(output: &std::process::Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!printed.contains(PASSWORD) && !said.contains(PASSWORD));
    printed
}

#[test]
fn what_one_coordinator_acknowledged_another_has_after_a_kill() {
    let database = Database::new();
    let mut one = serve(&database);
    let two = serve(&database);
    printed(&one.run(&["put", "shared/a", "from one", "--key", "k"]));
    assert_eq!(printed(&two.run(&["get", "shared/a", "k", "--content"])), "from one");
    printed(&two.run(&["put", "shared/a", "from two", "--key", "k"]));
    one.kill();
    printed(&two.run(&["put", "shared/a", "alone", "--key", "k"]));
    one.restart();
    assert_eq!(printed(&one.run(&["get", "shared/a", "k", "--content"])), "alone");
    assert_eq!(printed(&one.run(&["history", "shared/a", "k", "--json"])).lines().count(), 3);
    let health = printed(&one.run(&["health", "--json"]));
    assert!(health.lines().all(|service| service.contains("SERVING") && !service.contains("NOT_SERVING")));
}

#[test]
fn the_store_is_told_of_and_brought_up_to_date() {
    let database = Database::new();
    let run = |arguments: &[&str]| {
        let mut command = swarmem();
        command.args(arguments).envs(settings(&database)).output().unwrap()
    };
    let state = |output| {
        let told: serde_json::Value = serde_json::from_str(&printed(&output)).unwrap();
        (told["kind"].clone(), told["state"].clone(), told["schema_version"].clone())
    };
    let status = ["store", "status", "--json"];
    assert_eq!(state(run(&status)), ("postgres".into(), "empty".into(), serde_json::Value::Null));
    assert_eq!(state(run(&["store", "migrate", "--json"])), ("postgres".into(), "current".into(), 2.into()));
    assert_eq!(state(run(&status)), ("postgres".into(), "current".into(), 2.into()));
    let told = printed(&run(&["store", "status"]));
    assert!(told.contains("up to date") && told.contains(&database.name), "{told}");
    let doctor = String::from_utf8(run(&["doctor", "--listen", "127.0.0.1:0"]).stdout).unwrap();
    assert!(doctor.contains("up to date") && !doctor.contains(PASSWORD), "{doctor}");
    let refused = run(&["backup", "copy.db"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("pg_basebackup"), "{said}");
    // A file of SQLite has a version as well.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let sqlite =
        |word: &str| swarmem().args(["store", word, "--json", "--store"]).arg(&file).output().unwrap();
    assert_eq!(state(sqlite("status")), ("sqlite".into(), "empty".into(), serde_json::Value::Null));
    assert!(!file.exists());
    assert_eq!(state(sqlite("migrate")), ("sqlite".into(), "current".into(), 1.into()));
}

#[test]
fn a_start_that_fails_says_why_without_the_password() {
    let database = Database::new();
    let url = database.tcp_url(database.server.port).replace(PASSWORD, "wrong-horse");
    let mut command = swarmem();
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let output =
        command.env("SWARMEM_STORE_KIND", "postgres").env("SWARMEM_STORE_URL", url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("does not let swarmem in") && said.contains("store.url"), "{said}");
    assert!(!said.contains("wrong-horse"), "{said}");
    assert!(!output.status.success());
}
