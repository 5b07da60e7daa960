//! Which module may know which, and which outside crates are confined where. Knows the source only as text.
//!
//! The tables are design, section 6. A module that has no row, an arrow that is not listed and a confined crate in
//! another place are red; so a new arrow is a deliberate change of this file, with its reason in the commit.

mod scan;

use std::{collections::BTreeSet, fs, path::Path};

use scan::{Reference, references, submodules};

/// A module may always use itself and what stands below it in the same row.
struct Row {
    /// A module, with all below it that has no row of its own.
    module: &'static str,
    /// The rows it may use.
    may_use: May,
}

enum May {
    Anything,
    Only(&'static [&'static str]),
}

use May::{Anything, Only};

#[rustfmt::skip]
const ARROWS: &[Row] = &[
    // The two crate roots. lib.rs only declares modules.
    Row { module: "main",            may_use: Only(&["app", "cli", "config", "lifecycle"]) },
    Row { module: "lib",             may_use: Only(&[]) },

    // Where everything is put together.
    Row { module: "app",             may_use: Anything },

    // The ways in.
    Row { module: "api",             may_use: Only(&["coordinator", "recall", "domain", "wire", "lifecycle", "metrics"]) },
    Row { module: "http",            may_use: Only(&["coordinator", "recall", "domain", "lifecycle"]) },
    Row { module: "mcp",             may_use: Only(&["coordinator", "recall", "domain"]) },
    Row { module: "cli",             may_use: Only(&["bench", "client", "domain", "wire"]) },
    Row { module: "bench",           may_use: Only(&["client", "wire"]) },
    Row { module: "client",          may_use: Only(&["wire"]) },

    // The middle knows traits, never a backend: "store" and "bus" do not cover the rows below them.
    Row { module: "coordinator",     may_use: Only(&["store", "bus", "recall", "vault", "domain", "lifecycle", "metrics"]) },
    Row { module: "recall",          may_use: Only(&["domain"]) },
    Row { module: "vault",           may_use: Only(&["domain"]) },

    // Store: the trait and the codec; then its backends.
    Row { module: "store",           may_use: Only(&["store::codec", "domain"]) },
    Row { module: "store::codec",    may_use: Only(&["store", "domain"]) },
    Row { module: "store::memory",   may_use: Only(&["store", "domain"]) },
    Row { module: "store::sqlite",   may_use: Only(&["store", "store::codec", "domain"]) },
    Row { module: "store::postgres", may_use: Only(&["store", "store::codec", "domain"]) },
    Row { module: "store::redis",    may_use: Only(&["store", "store::codec", "domain"]) },

    // Bus: the trait; its codec, which encodes versions as stores do; then its backends.
    Row { module: "bus",             may_use: Only(&["domain"]) },
    Row { module: "bus::codec",      may_use: Only(&["bus", "store::codec", "domain"]) },
    Row { module: "bus::local",      may_use: Only(&["bus", "domain"]) },
    Row { module: "bus::redis",      may_use: Only(&["bus", "bus::codec", "domain"]) },

    // What knows nothing, or next to it.
    Row { module: "config",          may_use: Only(&["domain"]) },
    Row { module: "domain",          may_use: Only(&[]) },
    Row { module: "lifecycle",       may_use: Only(&[]) },
    Row { module: "metrics",         may_use: Only(&[]) },
    Row { module: "wire",            may_use: Only(&[]) },
];

struct Confined {
    /// Outside paths; a `*` at the end stands for any rest of the name.
    paths: &'static [&'static str],
    /// The modules, with all below them, that may name one.
    to: &'static [&'static str],
    /// What would go wrong elsewhere.
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        paths: &["tonic*", "prost*"],
        to: &["api", "client", "wire", "store::codec", "bus::codec"],
        why: "the protocol is translated at the edge, so that the inside can be read and tested without it",
    },
    Confined {
        paths: &["rusqlite"],
        to: &["store::sqlite"],
        why: "a database is known to its backend alone",
    },
    Confined {
        paths: &["tokio_postgres", "tokio_rustls"],
        to: &["store::postgres"],
        why: "a database is known to its backend alone",
    },
    Confined {
        paths: &["prometheus_client"],
        to: &["metrics"],
        why: "names, units and meanings of figures stand in one place",
    },
    Confined {
        paths: &["redis"],
        to: &["store::redis", "bus::redis"],
        why: "a database is known to its backend alone",
    },
    Confined {
        paths: &["std::time::SystemTime", "std::time::UNIX_EPOCH"],
        to: &["domain::time"],
        why: "time is given by a Clock, or tests could not set it",
    },
    Confined {
        paths: &["anyhow"],
        to: &["main", "app", "cli"],
        why: "a library's errors are typed, so that a caller can act on them",
    },
];

/// What is wrong with one file of `src/`, by its path below `src/`.
fn violations(file: &str, source: &str) -> Vec<String> {
    let module = scan::module_of(file);
    references(&module, source)
        .iter()
        .filter_map(|reference| {
            let from = format!("{file}:{} ({})", reference.line, reference.module.join("::"));
            match reference.path.split_first() {
                Some((first, inside)) if first == "crate" => inside_violation(reference, inside),
                _ => outside_violation(reference),
            }
            .map(|problem| format!("{from} uses {}: {problem}", reference.path.join("::")))
        })
        .collect()
}

fn inside_violation(reference: &Reference, inside: &[String]) -> Option<String> {
    if inside.is_empty() {
        return None;
    }
    let Some(from) = row_of(&reference.module) else {
        return Some(format!("{} has no row in ARROWS", reference.module.join("::")));
    };
    let Some(to) = row_of(inside) else {
        return Some(format!("{} is no module that has a row in ARROWS", inside[0]));
    };
    let allowed = match from.may_use {
        Anything => true,
        Only(rows) => from.module == to.module || rows.contains(&to.module),
    };
    (!allowed).then(|| format!("the arrow {} -> {} does not exist", from.module, to.module))
}

fn outside_violation(reference: &Reference) -> Option<String> {
    let rule = CONFINED.iter().find(|rule| rule.paths.iter().any(|path| is_path(path, &reference.path)))?;
    let inside = rule.to.iter().any(|module| is_below(module, &reference.module));
    (!inside).then(|| format!("it is confined to {}: {}", rule.to.join(", "), rule.why))
}

/// The most specific row that covers the path.
fn row_of(path: &[String]) -> Option<&'static Row> {
    ARROWS.iter().filter(|row| is_below(row.module, path)).max_by_key(|row| row.module.len())
}

fn is_below(module: &str, path: &[String]) -> bool {
    let segments: Vec<&str> = module.split("::").collect();
    path.len() >= segments.len() && segments.iter().zip(path).all(|(a, b)| a == b)
}

fn is_path(pattern: &str, path: &[String]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.first().is_some_and(|name| name.starts_with(start)),
        None => is_below(pattern, path),
    }
}

/// Every file below `src/`, by its path there, with its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn only_the_arrows_of_the_table_exist() {
    let files = sources();
    assert!(files.iter().any(|(name, _)| name == "lib.rs"), "no source was found");
    let found: Vec<String> = files.iter().flat_map(|(name, text)| violations(name, text)).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_top_level_module_has_a_row() {
    let modules: BTreeSet<String> = sources()
        .iter()
        .flat_map(|(name, text)| {
            let declared = if name == "lib.rs" { submodules(text) } else { Vec::new() };
            declared.into_iter().chain(scan::module_of(name).into_iter().next())
        })
        .collect();
    let rows: BTreeSet<String> = ARROWS.iter().map(|row| row.module.to_owned()).collect();
    let missing: Vec<_> = modules.difference(&rows).collect();
    assert!(missing.is_empty(), "give these a row in ARROWS: {missing:?}");
}

#[test]
fn the_tables_name_only_what_has_a_row() {
    let known = |module: &str| ARROWS.iter().any(|row| row.module == module);
    for row in ARROWS {
        let Only(targets) = row.may_use else { continue };
        for target in targets {
            assert!(known(target), "{} -> {target}: no such row", row.module);
        }
    }
    for module in CONFINED.iter().flat_map(|rule| rule.to) {
        let top = module.split("::").next().unwrap();
        assert!(known(top), "{module}: no such row");
    }
}

/// The check seen red: each line is a way in which a forbidden thing can be written.
#[test]
fn the_check_finds_every_way_to_break_a_rule() {
    let broken = [
        // Arrows, by the ways a path is written.
        ("domain.rs", "use crate::store;", "domain -> store"),
        ("domain/apply.rs", "use crate::{wire::{self, v1}};", "domain -> wire"),
        ("api/status.rs", "use crate::{domain::Revision, store::Error as E};", "api -> store"),
        ("api/status.rs", "fn f() -> crate::store::Error { todo!() }", "api -> store"),
        ("api.rs", "fn f() { crate::bus::publish(); }", "api -> bus"),
        ("api.rs", "impl From<crate::config::Config> for X {}", "api -> config"),
        ("api.rs", "fn f() { println!(\"{}\", crate::config::NAME); }", "api -> config"),
        ("api.rs", "macro_rules! m { () => { $crate::app::run() } }", "api -> app"),
        ("api/memory.rs", "use super::super::store::Store;", "api -> store"),
        ("api/memory.rs", "mod inner { use super::super::super::bus::Bus; }", "api -> bus"),
        ("api.rs", "#[cfg(test)] mod tests { use crate::app::App; }", "api -> app"),
        ("api.rs", "fn f() { use crate::vault; }", "api -> vault"),
        ("api.rs", "#[derive(crate::config::Derive)] struct S;", "api -> config"),
        ("recall.rs", "use crate::*; fn f() { store::open(); }", "* is no module"),
        ("client/watch.rs", "use crate::domain::Revision;", "client -> domain"),
        ("cli/put.rs", "use crate::coordinator::Coordinator;", "cli -> coordinator"),
        ("main.rs", "use swarmem::store::Store;", "main -> store"),
        ("main.rs", "fn main() { swarmem::coordinator::run(); }", "main -> coordinator"),
        ("lifecycle.rs", "use crate::config::Config;", "lifecycle -> config"),
        ("config/server.rs", "use crate::app::App;", "config -> app"),
        ("vault.rs", "use crate::store::Store;", "vault -> store"),
        ("http.rs", "use crate::store::Store;", "http -> store"),
        ("mcp.rs", "use crate::api::Api;", "mcp -> api"),
        ("lib.rs", "pub use domain::Revision;\npub mod domain;", "lib -> domain"),
        // Backends, through the trait's module.
        ("coordinator/lane.rs", "use crate::store::sqlite::Sqlite;", "coordinator -> store::sqlite"),
        ("coordinator.rs", "use crate::store; fn f() { store::memory::Memory::new(); }", "store::memory"),
        ("coordinator.rs", "use crate::store as s; type T = s::redis::R;", "coordinator -> store::redis"),
        ("coordinator.rs", "use crate::store::*; type T = postgres::P;", "coordinator -> store::postgres"),
        ("coordinator/feed.rs", "use crate::bus::{Bus, local::Local};", "coordinator -> bus::local"),
        ("store.rs", "mod sqlite; pub use sqlite::Sqlite;", "store -> store::sqlite"),
        ("store.rs", "mod sqlite; pub use self::sqlite::Sqlite;", "store -> store::sqlite"),
        ("store/sqlite.rs", "use super::memory::Memory;", "store::sqlite -> store::memory"),
        ("store/sqlite/read.rs", "use crate::coordinator::Lane;", "store::sqlite -> coordinator"),
        ("store/codec.rs", "use crate::wire::v1;", "store::codec -> wire"),
        ("bus/redis.rs", "use crate::store::Store;", "bus::redis -> store"),
        ("bus/redis.rs", "use crate::store::codec::decode;", "bus::redis -> store::codec"),
        ("bus/codec.rs", "use crate::store::{codec, Store};", "bus::codec -> store"),
        ("bus/redis/hub.rs", "use prost::Message;", "confined to api"),
        // Modules without a row.
        ("util.rs", "use crate::domain::Revision;", "util has no row"),
        ("api.rs", "use crate::util::f;", "util is no module"),
        ("api.rs", "use crate::Revision;", "Revision is no module"),
        // Confined crates.
        ("coordinator.rs", "use tonic::Status;", "confined to api"),
        ("coordinator.rs", "fn f(_: ::tonic::Status) {}", "confined to api"),
        ("coordinator.rs", "#[tonic::async_trait] trait T {}", "confined to api"),
        ("domain.rs", "#[derive(Clone, prost::Message)] struct S;", "confined to api"),
        ("domain.rs", "use prost_types::Timestamp;", "confined to api"),
        ("store/sqlite.rs", "use tonic_types::ErrorDetails;", "confined to api"),
        ("coordinator.rs", "extern crate rusqlite;", "confined to store::sqlite"),
        ("store.rs", "fn f() { rusqlite::params![]; }", "confined to store::sqlite"),
        (
            "store/memory.rs",
            "fn f() { tokio::select! { _ = tokio_postgres::connect(u) => {} } }",
            "confined to store",
        ),
        ("store/sqlite.rs", "use tokio_postgres::Client;", "confined to store::postgres"),
        ("bus/local.rs", "use redis::Client;", "confined to store::redis"),
        ("coordinator.rs", "use std::time::{Duration, SystemTime};", "confined to domain::time"),
        ("domain/apply.rs", "fn f() { std::time::SystemTime::now(); }", "confined to domain::time"),
        ("api.rs", "use std::time; fn f() { time::SystemTime::now(); }", "confined to domain::time"),
        ("api.rs", "use std::{time as t}; fn f() { t::UNIX_EPOCH; }", "confined to domain::time"),
        ("api.rs", "use std::time::*; fn f() { SystemTime::now(); }", "confined to domain::time"),
        ("coordinator.rs", "fn f() -> anyhow::Result<()> { Ok(()) }", "confined to main"),
    ];
    for (file, source, expected) in broken {
        let found = violations(file, source);
        assert!(found.iter().any(|v| v.contains(expected)), "{file}: {source}\nfound {found:?}");
    }
}

#[test]
fn the_check_lets_pass_what_is_allowed() {
    let fine = [
        ("main.rs", "use swarmem::{app::App, cli, config::Config, lifecycle::Lifecycle};"),
        ("app.rs", "use crate::{api, store::sqlite::Sqlite, bus::local::Local}; use anyhow::Result;"),
        (
            "api/status.rs",
            "use tonic::Status; use crate::{coordinator, domain, wire::v1}; use super::convert;",
        ),
        ("bus/codec.rs", "use prost::Message; use crate::{domain::Key, store::codec};"),
        ("store/codec.rs", "use prost::Message; pub mod v1 { tonic::include_proto!(\"swarmem.store.v1\"); }"),
        (
            "store/sqlite/rows.rs",
            "use super::{super::{Error, codec}, Sqlite}; use rusqlite::Row; use crate::domain::Key;",
        ),
        ("store.rs", "pub mod sqlite; pub mod memory; mod codec; use codec::Record; use crate::domain::Key;"),
        ("domain/time.rs", "use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        ("domain.rs", "mod apply; pub use apply::{apply, Outcome}; use std::time::Duration;"),
        ("coordinator.rs", "use crate::store::{self, Store}; fn f(redis: u8) -> store::Error { redis; g() }"),
        ("coordinator.rs", "/// See [`crate::api`].\n pub(crate) struct S; pub(super) fn f() {}"),
        (
            "store/memory.rs",
            "#[cfg(test)] mod tests { use super::*; fn f() { Memory::new(); Vec::<u8>::new(); } }",
        ),
        ("main.rs", "fn main() {} #[cfg(test)] mod tests { use super::*; fn f() { Vec::<u8>::new(); } }"),
        ("lib.rs", "pub mod domain; #[cfg(feature = \"server\")] pub mod store;"),
    ];
    for (file, source) in fine {
        let found = violations(file, source);
        assert!(found.is_empty(), "{file}: {source}\nfound {found:?}");
    }
}
