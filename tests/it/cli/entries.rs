//! Writing and reading on the command line.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use super::{complaint, object, objects, printed};
use crate::process::Server;

#[test]
fn an_entry_is_written_read_and_deleted() {
    let server = Server::start(&[]);
    let put = object(&server.run(&[
        "put",
        "shared/a",
        "grüße 日本語 🎉",
        "--key",
        "k",
        "--tag",
        "x",
        "--attr",
        "n=3",
        "--ttl",
        "2h",
        "--json",
    ]));
    assert_eq!((&put["key"], &put["revision"], &put["version"]), (&"k".into(), &1.into(), &1.into()));

    let get = object(&server.run(&["get", "shared/a", "k", "--json"]));
    assert_eq!((&get["content"], &get["attributes"]["n"]), (&"grüße 日本語 🎉".into(), &3.into()));
    assert_eq!((&get["etag"], &get["author"]), (&put["etag"], &"cli".into()));
    assert_eq!(printed(&server.run(&["get", "shared/a", "k", "--content"])), "grüße 日本語 🎉");
    let human = printed(&server.run(&["get", "shared/a", "k"]));
    assert!(human.starts_with("namespace ") && human.ends_with("\n\ngrüße 日本語 🎉\n"), "{human}");

    let etag = put["etag"].as_str().unwrap();
    printed(&server.run(&["put", "shared/a", "new", "--key", "k", "--if-etag", etag]));
    let line = complaint(&server.run(&["put", "shared/a", "x", "--key", "k", "--if-etag", etag]), 4);
    assert!(line.contains("shared/a/k") && line.contains("etag"), "{line}");
    complaint(&server.run(&["put", "shared/a", "x", "--key", "k", "--if-absent"]), 4);

    assert_eq!(printed(&server.run(&["delete", "shared/a", "k"])), "deleted 1 entry\n");
    assert_eq!(printed(&server.run(&["delete", "shared/a", "k"])), "there was nothing to delete\n");
    let line = complaint(&server.run(&["get", "shared/a", "k"]), 3);
    assert!(line.contains("swarmem list"), "{line}");

    let history = objects(&server.run(&["history", "shared/a", "k", "--json"]));
    let types: Vec<_> = history.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["delete", "put", "put"]);
    let human = printed(&server.run(&["history", "shared/a", "k"]));
    assert!(human.starts_with("REVISION ") && human.lines().count() == 4, "{human}");
    assert_eq!(printed(&server.run(&["get", "shared/a", "k", "--at", "2", "--content"])), "new");
}

#[test]
fn entries_are_listed_counted_and_cleared() {
    let server = Server::start(&[]);
    assert_eq!(printed(&server.run(&["list"])), "no entries\n");
    assert_eq!(printed(&server.run(&["list", "--json"])), "");
    for (namespace, key, more) in [
        ("shared/a", "1", &["--tag", "red", "--attr", "n=1"][..]),
        ("shared/a/b", "2", &["--attr", "n=2", "--kind", "preference"]),
        ("shared/ab", "3", &["--tag", "red", "--agent", "other"]),
        ("agents/cli/notes", "4", &[]),
    ] {
        let line = [&["put", namespace, "some text\nof two lines", "--key", key], more].concat();
        printed(&server.run(&line));
    }
    let keys = |arguments: &[&str]| {
        let listed = objects(&server.run(&[&["list", "--json"], arguments].concat()));
        listed.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&[]), ["4", "1", "2", "3"]);
    assert_eq!(keys(&["shared/a"]), ["1", "2"]);
    assert_eq!(keys(&["--tag", "red"]), ["1", "3"]);
    assert_eq!(keys(&["--kind", "preference"]), ["2"]);
    assert_eq!(keys(&["--author", "other"]), ["3"]);
    assert_eq!(keys(&["--where", "n gt 1"]), ["2"]);
    assert_eq!(keys(&["--limit", "2"]), ["4", "1"]);
    assert_eq!(keys(&["--role", "agent", "--agent", "other"]), ["1", "2", "3"]);

    let table = printed(&server.run(&["list", "shared"]));
    assert!(table.starts_with("NAMESPACE") && table.contains("some text of two lines"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    let table = printed(&server.run(&["list", "--keys"]));
    assert!(table.contains("shared/ab") && !table.contains("some text"), "{table}");
    assert!(objects(&server.run(&["list", "--keys", "--json"]))[0].get("content").is_none());
    assert_eq!(printed(&server.run(&["list", "--count"])), "4\n");
    assert_eq!(object(&server.run(&["list", "--count", "--json"]))["count"], 4);

    let namespaces = objects(&server.run(&["namespaces", "--json"]));
    let names: Vec<_> = namespaces.iter().map(|n| n["namespace"].as_str().unwrap()).collect();
    assert_eq!(names, ["agents/cli/notes", "shared/a", "shared/a/b", "shared/ab"]);
    assert!(printed(&server.run(&["namespaces", "shared", "--depth", "2"])).starts_with("NAMESPACE"));

    let line = complaint(&server.run(&["delete", "shared/a", "--prefix"]), 2);
    assert!(line.contains("--yes"), "{line}");
    assert_eq!(keys(&[]), ["4", "1", "2", "3"], "nobody was asked");
    assert_eq!(printed(&server.run(&["delete", "shared/a", "--prefix", "--yes"])), "deleted 2 entries\n");
    assert_eq!(keys(&[]), ["4", "3"]);
}

#[test]
fn more_than_one_request_takes_is_deleted_step_by_step() {
    let server = Server::start(&["--set", "limits.delete_prefix_max=2"]);
    for key in ["1", "2", "3", "4", "5"] {
        printed(&server.run(&["put", "shared/a", "x", "--key", key]));
    }
    let limited = printed(&server.run(&["delete", "shared/a", "--prefix", "--yes", "--limit", "1"]));
    assert_eq!(limited, "deleted 1 entry; there are more\n");
    // None at all is not as many as there are.
    complaint(&server.run(&["delete", "shared/a", "--prefix", "--yes", "--limit", "0"]), 2);
    assert_eq!(printed(&server.run(&["list", "--count"])), "4\n");
    assert_eq!(printed(&server.run(&["delete", "shared/a", "--prefix", "--yes"])), "deleted 4 entries\n");
    // A text that was forgotten does not become an empty entry.
    complaint(&server.run(&["put", "shared/a", "--key", "6"]), 2);
    assert_eq!(printed(&server.run(&["list", "--count"])), "0\n");
}

#[test]
fn swarms_are_created_described_and_deleted() {
    let server = Server::start(&[]);
    let created = object(&server.run(&["swarm", "create", "lab", "--keep-for", "1h", "--json"]));
    assert_eq!((&created["swarm"], &created["retention_age_s"]), (&"lab".into(), &3600.0.into()));
    complaint(&server.run(&["swarm", "create", "lab"]), 4);
    complaint(&server.run(&["swarm", "create", "Not A Name"]), 7);
    printed(&server.run(&["put", "shared/a", "x", "--swarm", "lab"]));
    assert_eq!(object(&server.run(&["swarm", "get", "lab", "--json"]))["entries"], 1);
    assert_eq!(object(&server.run(&["swarm", "get", "--json"]))["entries"], 0);
    let table = printed(&server.run(&["swarm", "list"]));
    assert!(
        table.starts_with("SWARM ") && table.contains("\ndefault ") && table.contains("\nlab "),
        "{table}"
    );
    let line = complaint(&server.run(&["swarm", "delete", "lab"]), 2);
    assert!(line.contains("--yes"), "{line}");
    assert_eq!(printed(&server.run(&["swarm", "delete", "lab", "--yes"])), "deleted the swarm lab\n");
    let line = complaint(&server.run(&["list", "--swarm", "lab"]), 3);
    assert!(line.contains("swarmem swarm list"), "{line}");
}

#[test]
fn content_comes_from_standard_input_as_it_is() {
    let server = Server::start(&[]);
    let long = "all that is known\n".repeat(10_000);
    let mut put = server
        .command(&["put", "shared/a", "-", "--key", "k"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    put.stdin.take().unwrap().write_all(long.as_bytes()).unwrap();
    printed(&put.wait_with_output().unwrap());
    assert_eq!(printed(&server.run(&["get", "shared/a", "k", "--content"])), long);
    let table = printed(&server.run(&["list"]));
    assert!(table.lines().all(|line| line.chars().count() < 160), "{table}");
}

#[test]
fn a_watch_prints_what_happened_and_stops_at_its_count() {
    let server = Server::start(&[]);
    for key in ["1", "2", "3"] {
        printed(&server.run(&["put", "shared/a", "text", "--key", key]));
    }
    let events = objects(&server.run(&["watch", "--from", "2", "--count", "2", "--json"]));
    // The first is the bookmark that says where the watch begins.
    let lines: Vec<_> =
        events.iter().map(|e| (e["type"].as_str().unwrap(), e["revision"].as_u64().unwrap())).collect();
    assert_eq!(lines, [("bookmark", 1), ("put", 2), ("put", 3)]);
    let token = format!(
        "token:{}",
        object(&server.run(&["put", "shared/a", "x", "--json"]))["token"].as_str().unwrap()
    );
    printed(&server.run(&["delete", "shared/a", "1"]));
    let events = objects(&server.run(&["watch", "--from", &token, "--count", "1", "--json"]));
    assert_eq!((&events[1]["type"], &events[1]["revision"]), (&"delete".into(), &5.into()));
    let lines = printed(&server.run(&["watch", "--from", "1", "--count", "3"]));
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let line = complaint(&server.run(&["watch", "--from", "99"]), 8);
    assert!(line.contains("--from 6"), "{line}");
    complaint(&server.run(&["watch", "--from", "token:abc"]), 7);
}

#[test]
fn a_watch_begins_with_a_snapshot_and_goes_on() {
    let server = Server::start(&[]);
    printed(&server.run(&["put", "shared/a", "held", "--key", "1"]));
    let watch = server
        .command(&["watch", "shared", "--snapshot", "--count", "1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut watch = watch.unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    assert_eq!((&first["type"], &first["entry"]["content"]), (&"snapshot".into(), &"held".into()));
    assert_eq!(next()["type"], "snapshot_end");
    printed(&server.run(&["put", "shared/a", "new", "--key", "2"]));
    let event = next();
    assert_eq!((&event["type"], &event["entry"]["content"]), (&"put".into(), &"new".into()));
    printed(&watch.wait_with_output().unwrap());
}
