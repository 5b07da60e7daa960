//! What `deploy/local-fleet` promises: a fleet that works, and nothing left of it.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::fleet::{Fleet, Place, printed};
use crate::{
    process::{eventually, swarmem},
    servers::postgres::program,
};

const WITHOUT_THE_POLL: [&str; 2] = ["--set", "watch.poll_interval_ms=60000"];

async fn nothing_is_left(place: &Place) {
    eventually("the end of every process", async || place.processes().is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_one_coordinator_takes_another_tells_over_redis_and_the_end_leaves_nothing() {
    let mut fleet = Fleet::start(&WITHOUT_THE_POLL);
    // A feed follows before it is known where its watch begins: from before the put, in any case.
    let watch = fleet
        .command(1, &["watch", "shared", "--count", "1", "--json", "--from", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let is_followed = async || (fleet.figure(1, "swarmem_feed_catch_ups_total") >= 1.0).then_some(());
    eventually("the feed of the watch", is_followed).await;
    printed(&fleet.run(0, &["put", "shared/a", "from the first", "--key", "k"]));
    let seen = printed(&watch.wait_with_output().unwrap());
    assert!(seen.contains("from the first"), "{seen}");
    let is_told = async || (fleet.figure(1, "swarmem_bus_received_total") >= 1.0).then_some(());
    eventually("word of it over Redis", is_told).await;

    let third = fleet.told["coordinators"][2]["pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &third]).status().unwrap().success());
    eventually("word of it", async || fleet.complaints().contains("coordinator-3").then_some(())).await;
    printed(&fleet.run(0, &["put", "shared/a", "from two that are left", "--key", "k"]));
    assert_eq!(printed(&fleet.run(1, &["get", "shared/a", "k", "--content"])), "from two that are left");

    let running = fleet.place().processes();
    assert!(running.iter().filter(|name| *name == "swarmem").count() == 2, "{running:?}");
    assert!(running.iter().any(|name| name == "postgres"), "{running:?}");
    assert!(running.iter().any(|name| name.starts_with("redis")), "{running:?}");
    let url = std::fs::read_to_string(fleet.told["postgres"]["url_file"].as_str().unwrap()).unwrap();
    let role = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    assert_eq!(printed(&Command::new(program("psql")).args([&*url, "-Atc", role]).output().unwrap()), "f\n");
    fleet.signal("INT");
    assert_eq!(fleet.ended().await.code(), Some(130), "{}", fleet.complaints());
    let complaints = fleet.complaints();
    assert!(
        complaints.lines().all(|line| line.starts_with("local-fleet: ")),
        "the shell has spoken: {complaints}"
    );
    // At once: the script waits for what it ends.
    assert_eq!(fleet.place().processes(), Vec::<String>::new());
    assert!(!fleet.place().folder().exists());
}

#[tokio::test]
async fn a_load_tells_what_came_and_an_end_by_force_ends_all() {
    let mut fleet = Fleet::start(&["--coordinators", "2", "--load", "1"]);
    let load = fleet.line()["load"].clone();
    assert_eq!((&load["writers"], &load["written"]), (&2.into(), &load["seen"]), "{load}");
    assert!(load["written"].as_u64().unwrap() > 0, "{load}");
    fleet.signal("KILL");
    nothing_is_left(fleet.place()).await;
}

#[tokio::test]
async fn a_step_that_fails_is_named_and_leaves_nothing() {
    let place = Place::new();
    // A program that is no coordinator.
    let output = place.script(&["--swarmem", "/bin/cat"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("could not start coordinator-1"), "{said}");
    assert!(said.contains("unrecognized option"), "the end of its log: {said}");
    assert!(!place.folder().exists());
    nothing_is_left(&place).await;
}

#[test]
fn what_is_missing_is_named_before_anything_starts() {
    let place = Place::new();
    let complaint = |script: &mut Command| {
        let output = script.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = complaint(place.script(&[]).env("POSTGRES_BIN", "/nowhere"));
    assert!(said.contains("initdb is missing") && said.contains("the package postgresql"), "{said}");
    let said = complaint(&mut place.script(&["--swarmem", "/nowhere/swarmem"]));
    assert!(said.contains("/nowhere/swarmem"), "{said}");
    assert!(!place.folder().exists());
    let said = complaint(&mut place.script(&["--coordinators", "none"]));
    assert!(said.contains("--coordinators"), "{said}");
    let said = complaint(&mut place.script(&["--set", "server.listen=127.0.0.1:1"]));
    assert!(said.contains("server.listen"), "{said}");
    // A folder with something in it is not taken, and stays.
    std::fs::create_dir(place.folder()).unwrap();
    std::fs::write(place.folder().join("mine"), "").unwrap();
    let said = complaint(&mut place.script(&[]));
    assert!(said.contains("not an empty folder"), "{said}");
    assert!(place.folder().join("mine").exists());
}

#[test]
fn a_bench_writes_to_one_coordinator_and_watches_on_the_others() {
    let fleet = Fleet::start(&[]);
    let all = [0, 1, 2].map(|coordinator| fleet.grpc(coordinator)).join(",");
    let bench = |arguments: &[&str]| {
        let mut bench = swarmem();
        let short = ["--seconds=200ms", "--warm-up=50ms", "--rate=50", "--fleet", &all];
        printed(&bench.args(["bench", "watch"]).args(short).args(arguments).output().unwrap())
    };
    let told = bench(&["--json", "--watchers=3", "--streams-per-connection=2", "--keep"]);
    let rows: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows.iter().map(|row| row["figure"].as_str().unwrap()).collect::<Vec<_>>(),
        ["fleet_open", "fleet_paced", "fleet_full"]
    );
    for row in &rows {
        assert_eq!((&row["watchers"], &row["connections"]), (&6.into(), &4.into()), "{row}");
    }
    // 200 ms of 50 a second, at three watchers on each of two coordinators.
    assert_eq!(rows[1]["operations"], 60);
    let (p50, p99) = (rows[1]["p50_us"].as_f64().unwrap(), rows[1]["p99_us"].as_f64().unwrap());
    assert!(p50 > 0.0 && p50 <= p99, "{}", rows[1]);
    // They came from where they were said to come from.
    assert_eq!(fleet.figure(0, "swarmem_watch_events_total"), 0.0);
    let seen = [1, 2].map(|coordinator| fleet.figure(coordinator, "swarmem_watch_events_total"));
    assert!(seen[0] >= 30.0 && seen[0] == seen[1], "{seen:?}");
    let table = bench(&[]);
    assert!(table.contains("watched on") && table.contains("fleet_paced"), "{table}");
    assert!(table.contains(fleet.grpc(1)) && table.contains(fleet.grpc(2)), "{table}");
}
