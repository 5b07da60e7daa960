//! A coordinator that is started, asked how it is, and stopped on the command line.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use swarmem::{
    client::{Code, Error, Role},
    wire::{WatchResponseType, v1},
};

use super::{complaint, error_object, objects, printed};
use crate::process::{PATIENCE, Server, eventually, swarmem};

#[test]
fn health_is_told_for_each_service() {
    let server = Server::start(&[]);
    let health = objects(&server.run(&["health", "--json"]));
    assert!(health.len() >= 4 && health.iter().all(|service| service["status"] == "SERVING"), "{health:?}");
    assert!(printed(&server.run(&["health"])).starts_with("SERVICE "));
}

#[test]
fn the_default_configuration_can_be_given_back() {
    let default = printed(&swarmem().args(["config", "print-default"]).output().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("swarmem.toml");
    std::fs::write(&file, default).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]);
    printed(&server.run(&["put", "shared/a", "x"]));
}

#[test]
fn a_second_coordinator_on_a_database_is_refused() {
    let server = Server::start(&[]);
    let store = server.store();
    let line = complaint(&server.run(&["serve", "--listen", "127.0.0.1:0", "--store", &store]), 1);
    assert!(line.contains(&format!("in use by process {}", server.id())), "{line}");
    assert!(line.contains("stop that process"), "{line}");
    let other_name = store.replace("swarmem.db", "other-name.db");
    std::fs::hard_link(&store, &other_name).unwrap();
    let line = complaint(&server.run(&["serve", "--listen", "127.0.0.1:0", "--store", &other_name]), 1);
    assert!(line.contains(&format!("in use by process {}", server.id())), "{line}");
    let line = complaint(&server.run(&["serve", "--listen", server.address(), "--store", "other.db"]), 1);
    assert!(line.contains(server.address()) && line.contains("--listen"), "{line}");
}

#[test]
fn a_unix_socket_serves_like_an_address() {
    // A path of a socket is short, so not the directory of the server.
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let server = Server::start(&["--unix-socket", socket.to_str().unwrap()]);
    let address = format!("unix:{}", socket.display());
    printed(&server.run(&["put", "shared/a", "x", "--key", "k", "--address", &address]));
    assert_eq!(printed(&server.run(&["get", "shared/a", "k", "--content", "--address", &address])), "x");
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let mut server = Server::start_to_be_killed(&["--unix-socket", socket.to_str().unwrap()], &[]);
    server.kill();
    assert!(socket.exists());
    server.restart();
    let address = format!("unix:{}", socket.display());
    printed(&server.run(&["health", "--address", &address]));
    server.signal("TERM");
    assert!(server.ended().await.success());
    assert!(!socket.exists(), "a coordinator that ends takes its socket with it");
}

#[tokio::test]
async fn sigterm_drains_the_open_watches_and_ends_well() {
    let mut server = Server::start(&[]);
    let client = server.client("watcher", Role::Observer).await;
    let mut watch = client.watch_once(v1::WatchRequest::default()).await.unwrap();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.r#type(), WatchResponseType::Bookmark);
    let mut followed = server
        .command(&["watch", "--json", "--from", "now", "--no-reconnect"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    printed(&server.run(&["put", "shared/a", "x"]));

    server.signal("TERM");
    let mut last = None;
    let error = loop {
        match tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch ends") {
            Ok(Some(response)) => last = Some(response),
            Ok(None) => panic!("the watch ended without a word"),
            Err(error) => break error,
        }
    };
    assert_eq!(last.unwrap().r#type(), WatchResponseType::Bookmark);
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, Some("DRAINING")));
    let Error::Refused(refusal) = error else { panic!("not a refusal") };
    assert!(refusal.retry_after.is_some_and(|after| after > Duration::ZERO));
    assert!(server.ended().await.success(), "{}", server.log());
    assert!(!server.log().contains("WARN"), "everything ended in time: {}", server.log());
    eventually("the end of the watch", async || followed.try_wait().unwrap()).await;
    let told = error_object(&followed.wait_with_output().unwrap(), 5);
    assert_eq!(told["reason"], "DRAINING");
    assert!(told["token"].as_str().is_some_and(|token| !token.is_empty()), "{told}");
}

#[tokio::test]
async fn an_interrupted_coordinator_ends_well_and_its_data_stays() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    printed(&server.run(&["put", "shared/a", "kept", "--key", "k"]));
    server.signal("INT");
    assert!(server.ended().await.success(), "{}", server.log());
    let line = complaint(&server.run(&["get", "shared/a", "k"]), 5);
    assert!(line.contains("swarmem serve"), "{line}");
    server.restart();
    assert_eq!(printed(&server.run(&["get", "shared/a", "k", "--content"])), "kept");
}

/// A killed process holds its locks until the system has taken it apart.
#[test]
fn a_restart_does_not_wait_for_the_end_of_the_killed() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("swarmem.db");
    let start = || {
        let mut serve = swarmem();
        serve.args(["serve", "--json", "--listen", "127.0.0.1:0", "--store"]).arg(&store);
        serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut killed: Vec<std::process::Child> = Vec::new();
    for _ in 0..20 {
        let mut serve = start();
        let mut greeting = String::new();
        BufReader::new(serve.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let greeted = !greeting.is_empty();
        serve.kill().unwrap();
        if !greeted {
            let said = serve.wait_with_output().unwrap();
            panic!("{}", String::from_utf8_lossy(&said.stderr));
        }
        killed.push(serve);
    }
    for mut serve in killed {
        serve.wait().unwrap();
    }
}

#[test]
fn loopback_may_be_called_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut serve = swarmem();
    serve.args(["serve", "--json", "--listen", "localhost:0"]).current_dir(&directory);
    let mut serve = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut greeting = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
    serve.kill().unwrap();
    let said = serve.wait_with_output().unwrap();
    assert!(greeting.contains("127.0.0.1:"), "{greeting}{}", String::from_utf8_lossy(&said.stderr));
}
