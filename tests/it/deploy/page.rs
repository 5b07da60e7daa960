//! `docs/operations/fleet.md`, followed to the letter: its blocks marked `sh`, in order and in one shell, against a
//! PostgreSQL and a Redis of the test's own. Knows nothing of what they do.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use super::fleet::Fleet;
use crate::{process::swarmem, servers::redis::free_port};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations/fleet.md");

/// Ends what the page left running, also when it did not come to its end.
const BEGIN: &str = "set -euo pipefail\ntrap 'jobs -pr | xargs -r kill' EXIT\n";

/// A fenced block of the page.
struct Block {
    language: String,
    /// Where it begins, counted from 1.
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(page.lines()) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), line: number, text: String::new() });
            }
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// What the page leaves to its reader.
fn values(fleet: &Fleet) -> BTreeMap<&'static str, String> {
    let read = |file: &serde_json::Value| fs::read_to_string(file.as_str().unwrap()).unwrap();
    let mut values = BTreeMap::from([
        ("DATABASE_URL", read(&fleet.told["postgres"]["url_file"])),
        ("REDIS_URL", format!("redis://{}", fleet.told["redis"]["address"].as_str().unwrap())),
        ("REDIS_PASSWORD", read(&fleet.told["redis"]["password_file"])),
    ]);
    for name in ["A", "A_HTTP", "B", "B_HTTP", "C", "C_HTTP"] {
        values.insert(name, format!("127.0.0.1:{}", free_port()));
    }
    values
}

#[test]
fn each_command_on_the_page_does_what_the_page_says() {
    let fleet = Fleet::start(&["--coordinators", "0"]);
    let values = values(&fleet);
    let blocks = blocks(&fs::read_to_string(PAGE).unwrap());
    let left_to_the_reader = blocks.iter().find(|block| block.language == "ini").unwrap();
    let named: BTreeSet<_> =
        left_to_the_reader.text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(named, values.keys().copied().collect());

    let mut script = BEGIN.to_owned();
    for block in blocks.iter().filter(|block| block.language == "sh") {
        script += &format!("echo '== the block at line {}' >&2\n{}", block.line, block.text);
    }
    assert!(
        script.contains("swarmem serve") && script.contains("kill -TERM"),
        "the page has lost its blocks"
    );

    let directory = tempfile::tempdir().unwrap();
    let program = Path::new(swarmem().get_program()).parent().unwrap().to_owned();
    let path = env::join_paths([program].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let mut shell = Command::new("bash");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SWARMEM_")) {
            shell.env_remove(name);
        }
    }
    shell.args(["-c", &script]).envs(&values).env("PATH", path.unwrap()).current_dir(directory.path());
    let output = shell.stdin(Stdio::null()).output().unwrap();

    let logs = ["a.log", "b.log", "c.log"].map(|log| fs::read_to_string(directory.path().join(log)));
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{said}\n{logs:#?}");
    // What the page promises to show.
    assert_eq!(printed.matches("the build is red").count(), 1, "{printed}");
    assert_eq!(printed.matches("the build is green").count(), 2, "{printed}");
    assert!(printed.contains("swarmem_store_up 1") && printed.contains("swarmem_bus_up 1"), "{printed}");
    assert!(printed.contains("written while A was away"), "{printed}");
    for secret in [&values["DATABASE_URL"], &values["REDIS_PASSWORD"]] {
        assert!(!printed.contains(secret) && !said.contains(secret), "{printed}\n{said}");
        assert!(logs.iter().flatten().all(|log| !log.contains(secret)), "{logs:#?}");
    }
}
