//! What a user sees who makes a mistake, or whose coordinator does not answer.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use super::{complaint, printed};
use crate::process::{Server, eventually, signal, swarmem};

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
}

#[test]
fn a_wrong_configuration_is_told_with_its_name() {
    assert!(told(&["serve", "--set", "foo.bar=1"], 2).contains("foo.bar"));
    assert!(told(&["serve", "--set", "server.drain_timeout_ms=abc"], 2).contains("server.drain_timeout_ms"));
    let line = told(&["serve", "--config", "nowhere.toml"], 2);
    assert_eq!(line.matches("No such file").count(), 1, "{line}");
    let line = told(&["serve", "--listen", "0.0.0.0:0"], 2);
    assert!(line.contains("--insecure"), "{line}");
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
