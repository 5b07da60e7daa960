//! The program with a Redis that is not there, is there, or refuses it.

use std::process::{Output, Stdio};

use crate::{
    process::{Server, eventually, swarmem},
    servers::redis::RedisServer,
};

fn succeeded(output: Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_serves_without_its_bus_and_finds_it_later() {
    let mut redis = RedisServer::start();
    redis.kill();
    let url = format!("bus.urls=redis://127.0.0.1:{}", redis.port);
    let mut server = Server::start(&["--set", "bus.kind=redis", "--set", &url]);
    succeeded(server.run(&["put", "shared/a", "one", "--key", "k"]));
    succeeded(server.run(&["health"]));
    let log = || server.log();
    eventually("it says so", async || log().contains("the bus is not there").then_some(())).await;
    redis.run();
    eventually("it says so", async || log().contains("the bus works").then_some(())).await;
    let mut watching = server.command(&["watch", "shared"]).stdout(Stdio::null()).spawn().unwrap();
    let subscribers = || redis.ask::<(String, i64)>(&["PUBSUB", "NUMSUB", "swarmem:{default}"]).1;
    eventually("the swarm has a feed", async || (subscribers() == 1).then_some(())).await;
    watching.kill().unwrap();
    watching.wait().unwrap();
    server.signal("TERM");
    assert!(server.ended().await.success(), "{}", server.log());
    assert_eq!(redis.ask::<String>(&["CLIENT", "LIST"]).lines().count(), 1, "nothing is left connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_once_and_stops_nothing() {
    let redis = RedisServer::with(&["requirepass sesame"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "open-barley\n").unwrap();
    let url = format!("bus.urls=redis://127.0.0.1:{}", redis.port);
    let password = format!("bus.password_file={}", file.path().display());
    let server = Server::start(&["--set", "bus.kind=redis", "--set", &url, "--set", &password]);
    let log = || server.log();
    eventually("it says so", async || log().contains("bus.password").then_some(())).await;
    for n in 0..20 {
        succeeded(server.run(&["put", "shared/a", "one", "--key", &n.to_string()]));
    }
    succeeded(server.run(&["health"]));
    let log = server.log();
    assert_eq!(log.matches("the bus is not there").count(), 1, "{log}");
    assert!(!log.contains("barley"), "{log}");
}

#[test]
fn the_doctor_tries_the_bus_and_says_what_is_wrong() {
    let redis = RedisServer::with(&[
        "requirepass sesame",
        "user mute on >sesame resetchannels -@all +hello +auth +ping +subscribe +unsubscribe &swarmem:*",
    ]);
    let found = |settings: &[&str]| {
        let url = format!("bus.urls=redis://127.0.0.1:{}", redis.port);
        let directory = tempfile::tempdir().unwrap();
        let mut doctor = swarmem();
        doctor.args(["doctor", "--json", "--listen=127.0.0.1:0", "--set=bus.kind=redis", "--set", &url]);
        doctor.args(settings.iter().flat_map(|setting| ["--set", setting])).current_dir(&directory);
        let output = doctor.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(!printed.contains("sesame") && !printed.contains("barley"), "{printed}");
        let bus = printed.lines().find(|line| line.contains("\"check\":\"bus\"")).unwrap().to_owned();
        (bus, output.status.code().unwrap())
    };
    let (bus, code) = found(&["bus.password=sesame"]);
    assert!(bus.contains("\"ok\"") && bus.contains(&redis.port.to_string()) && code == 0, "{bus}");
    for (settings, wrong) in [
        (&["bus.password=open-barley"][..], "look at bus.user and bus.password"),
        (&[], "look at bus.user and bus.password"),
        (&["bus.user=mute", "bus.password=sesame"], "lacks a right"),
        (&["bus.password=sesame", "bus.urls=redis://127.0.0.1:1"], "127.0.0.1:1"),
    ] {
        let (bus, code) = found(settings);
        assert!(bus.contains("\"failure\"") && bus.contains(wrong) && code == 1, "{bus}");
    }
}
