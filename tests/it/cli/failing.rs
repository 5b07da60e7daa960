//! What a user sees who makes a mistake, or whose coordinator does not answer.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
};

use clap::CommandFactory as _;
use serde_json::Value;
use swarmem::{cli::Cli, client::Code, config};

use super::{complaint, error_object, printed};
use crate::{
    client::scripted::{Answer, Scripted, refusal},
    process::{Server, eventually, signal, swarmem},
};

fn told(arguments: &[&str], code: i32) -> String {
    let directory = tempfile::tempdir().unwrap();
    complaint(&swarmem().args(arguments).current_dir(&directory).output().unwrap(), code)
}

#[test]
fn a_wrong_command_line_is_told_with_what_may_be_meant() {
    assert!(told(&["putt"], 2).contains("'put'"));
    assert!(told(&["get", "shared/a"], 2).contains("<KEY>"));
    assert!(told(&["watch", "--snapshot", "--from", "3"], 2).contains("--from"));
    assert!(told(&["list", "--role", "king"], 2).contains("orchestrator"));
    assert!(told(&["list", "--address", "https://host"], 2).contains("https"));
    for arguments in [
        &["list", "--limit", "0"][..],
        &["history", "shared/a", "k", "--limit", "0"],
        &["watch", "--count", "0"],
    ] {
        assert!(told(arguments, 2).contains("from 1"), "{arguments:?}");
    }
    let line = told(&["put", "shared/a", "x", "--ttl", "-5s"], 2);
    assert!(line.contains("not be negative") && !line.contains("-- -5s"), "{line}");
}

#[test]
fn a_wrong_configuration_is_told_with_its_name() {
    assert!(told(&["serve", "--set", "foo.bar=1"], 2).contains("foo.bar"));
    assert!(told(&["serve", "--set", "server.drain_timeout_ms=abc"], 2).contains("server.drain_timeout_ms"));
    let line = told(&["serve", "--config", "nowhere.toml"], 2);
    assert_eq!(line.matches("No such file").count(), 1, "{line}");
    let line = told(&["serve", "--listen", "0.0.0.0:0"], 2);
    assert!(line.contains("--insecure"), "{line}");
    let line = told(&["serve", "--listen", "db.example:7420"], 2);
    assert!(line.contains("names are not looked up"), "{line}");
    // Also where it shows only when it is used.
    let (postgres, redis) = ("store.kind=postgres", "bus.kind=redis");
    for (settings, named) in [
        (&["server.default_swarm=No!"][..], "server.default_swarm"),
        (&[postgres, "store.url=postgres://a:b@c@d/e"], "store.url has more than one @"),
        (&[postgres, "store.url=postgres://a:b@c:port/e"], "store.url"),
        (&[redis, "bus.urls=rediss://127.0.0.1:1", "bus.tls_ca_file=/nowhere"], "bus.tls_ca_file"),
    ] {
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        let line = told(&["serve", "--listen", "127.0.0.1:0"].into_iter().chain(set).collect::<Vec<_>>(), 2);
        assert!(line.contains(named), "{line}");
    }
}

#[test]
fn a_misspelt_variable_is_told_with_what_may_be_meant() {
    let directory = tempfile::tempdir().unwrap();
    let told = |variable: &str| {
        let mut serve = swarmem();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--set", "lanes.idle_ms=no"]).env(variable, "1");
        complaint(&serve.current_dir(&directory).output().unwrap(), 2)
    };
    assert!(told("SWARMEM_WACHT__STREAMS_MAX").contains("SWARMEM_WATCH_STREAMS_MAX"));
    assert!(told("SWARMEM_ADRESS").contains("SWARMEM_ADDRESS"));
}

#[test]
fn the_variables_of_the_command_line_are_known_to_the_configuration() {
    fn variables(command: &clap::Command) -> BTreeSet<String> {
        let own = command.get_arguments().filter_map(|argument| argument.get_env());
        let own = own.map(|name| name.to_str().unwrap().to_owned());
        own.chain(command.get_subcommands().flat_map(variables)).collect()
    }
    let known: BTreeSet<_> = config::COMMAND_LINE_VARIABLES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(variables(&Cli::command()), known);
}

#[test]
fn a_missing_coordinator_is_told_with_how_to_start_one() {
    // Nothing listens on port 1 of loopback.
    let line = told(&["list", "--address", "127.0.0.1:1"], 5);
    assert!(line.contains("swarmem serve --listen 127.0.0.1:1"), "{line}");
    let line = told(&["health", "--address", "unix:/no/such/socket"], 5);
    assert!(line.contains("--unix-socket /no/such/socket"), "{line}");
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let server = Server::start(&[]);
    let told = |arguments: &[&str], code| complaint(&server.run(arguments), code);
    told(&["get", "shared/a", "nothing"], 3);
    told(&["list", "--swarm", "nowhere"], 3);
    told(&["swarm", "create", "default"], 4);
    told(&["put", "shared/a", "x", "--role", "observer"], 6);
    told(&["put", "agents/other/a", "x", "--role", "agent"], 6);
    assert!(told(&["put", "alone", "x"], 7).contains("namespace"));
    assert!(told(&["put", "/shared/x", "x"], 7).contains("shared/x, without the slash before it"));
    told(&["put", "shared/a", &"x".repeat(100_000), "--attributes", "[1]"], 7);
    told(&["watch", "--from", "77"], 8);
    let long = ["x"; 513].concat();
    told(&["put", "shared/a", "x", "--key", &long], 7);
    let help = printed(&server.run(&["--help"]));
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "130"] {
        assert!(help.lines().any(|line| line.starts_with(&format!("{code:>5}  "))), "{code}: {help}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = Server::start(&[]);
    let long = "x".repeat(100_000);
    for key in ["1", "2", "3"] {
        printed(&server.run(&["put", "shared/a", &long, "--key", key]));
    }
    for arguments in [&["list", "--json"][..], &["watch", "--from", "1"], &["get", "shared/a", "1"]] {
        let mut child = piped(server.command(arguments));
        let mut first = [0];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(printed(&output), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_watch_that_is_interrupted_says_how_to_resume() {
    let server = Server::start(&[]);
    let mut child = piped(server.command(&["watch", "--from", "1"]));
    printed(&server.run(&["put", "shared/a", "x"]));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    signal(&child, "INT");
    let status = eventually("the end of the watch", async || child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(130));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let token =
        said.trim_end().strip_prefix("stopped; resume with `--from ").and_then(|t| t.strip_suffix('`'));
    let token = token.unwrap_or_else(|| panic!("{said:?}"));
    printed(&server.run(&["put", "shared/a", "y"]));
    let resumed = printed(&server.run(&["watch", "--count", "1", "--from", token]));
    assert!(resumed.contains("  y"), "{resumed}");
}

fn piped(mut command: Command) -> std::process::Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn with_json_an_error_is_an_object() {
    let server = Server::start(&[]);
    let told = |arguments: &[&str], code| error_object(&server.run(&[arguments, &["--json"]].concat()), code);
    assert_eq!(told(&["get", "shared/a", "nothing"], 3)["reason"], "ENTRY_NOT_FOUND");
    let wrong = told(&["put", "alone", "x"], 7);
    assert_eq!((&wrong["reason"], &wrong["field"]), (&"INVALID_FIELD".into(), &"put.namespace".into()));
    assert_eq!(told(&["put", "shared/a", "x", "--role", "observer"], 6)["reason"], "NOT_PERMITTED");
    let usage = told(&["get", "shared/a"], 2);
    assert_eq!((&usage["reason"], &usage["field"]), (&"USAGE".into(), &Value::Null));
    assert_eq!(
        told(&["put", "shared/a", "x", "--attributes", "[", "--attr", "a=1"], 7)["reason"],
        "INVALID_INPUT"
    );
    assert_eq!(told(&["list", "--address", "127.0.0.1:1"], 5)["reason"], "NO_COORDINATOR");
    assert_eq!(told(&["serve", "--set", "foo.bar=1"], 2)["reason"], "USAGE");
    assert_eq!(
        told(&["serve", "--listen", "127.0.0.1:0", "--store", &server.store()], 1)["reason"],
        "FAILED"
    );
    assert_eq!(told(&["backup", "copy.db", "--store", "nowhere.db"], 1)["reason"], "FAILED");
    let gone = told(&["watch", "--from", "77"], 8);
    assert_eq!(gone["reason"], "FUTURE_REVISION");
}

#[tokio::test]
async fn with_json_an_interrupted_watch_hands_out_its_token() {
    let server = Server::start(&[]);
    printed(&server.run(&["put", "shared/a", "x"]));
    let mut child = piped(server.command(&["watch", "--from", "1", "--json"]));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"put\"") {
        line.clear();
        stdout.read_line(&mut line).unwrap();
    }
    signal(&child, "INT");
    let stopped = error_object(&child.wait_with_output().unwrap(), 130);
    assert_eq!(stopped["reason"], "INTERRUPTED");
    let from = format!("token:{}", stopped["token"].as_str().unwrap());
    printed(&server.run(&["put", "shared/a", "y"]));
    let resumed = printed(&server.run(&["watch", "--count", "1", "--from", &from]));
    assert!(resumed.contains("  y"), "{resumed}");
}

/// Says something to whoever connects, and listens no further.
fn somebody_else(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            // Who has gone again does not want to hear it.
            let _ = peer.write_all(says);
            let mut asked = [0; 4096];
            while peer.read(&mut asked).is_ok_and(|read| read > 0) {}
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_repeated_for_long_says_so() {
    for (json, lines) in [(&[][..], 1), (&["--json"], 0)] {
        let away = || refusal(Code::Unavailable, "STORE_UNAVAILABLE", Some(1000));
        let coordinator = Scripted::start([away(), away(), Answer::At(1)]).await;
        let mut put = swarmem();
        put.args(["put", "shared/a", "x", "--address", coordinator.address()]).args(json);
        let output = tokio::task::spawn_blocking(move || put.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), lines, "{said}");
        assert_eq!(said.matches("still trying").count(), lines, "{said}");
        assert!(!String::from_utf8(output.stdout).unwrap().contains("still trying"));
    }
}

#[test]
fn somebody_else_at_the_address_is_told_from_a_coordinator() {
    let told = |address: &str, is: &str, arguments: &[&str]| {
        // So much time that whoever tries again until it is over fails the test.
        let line = told(&[arguments, &["--address", address, "--timeout", "1h"]].concat(), 5);
        assert!(line.contains(&format!("at {address}: it ")) && line.contains(is), "{arguments:?}: {line}");
        assert!(line.ends_with("; check --address\n") && !line.contains('}'), "{line}");
        assert!(!line.contains("may have been done"), "{line}");
    };
    for (says, is) in [
        (&b"-ERR unknown command 'PRI'\r\n"[..], "does not speak gRPC"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
    ] {
        told(&somebody_else(says), is, &["put", "shared/a", "x"]);
    }
    let http = somebody_else(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    for arguments in [
        &["put", "shared/a", "x"][..],
        &["list"],
        &["watch"],
        &["health"],
        &["swarm", "create", "lab"],
        &["swarm", "delete", "lab", "--yes"],
        &["bench", "put", "--seconds=1ms"],
    ] {
        told(&http, "HTTP/1", arguments);
    }
}
