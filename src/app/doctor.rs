//! `swarmem doctor`: looks at everything that a coordinator needs, before one is started or beside one that runs. Starts
//! nothing, locks nothing, and says for each check what it saw and what to do.

mod disk;
mod holders;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use crate::{
    bus::redis,
    cli::{self, Format, doctor::Finding, store},
    config::{self, BusKind, Config, StoreKind},
    domain::time::{Clock as _, SystemClock, Timestamp},
    store::sqlite::{self, Holder, Inspection, OpenError},
};

/// 2026-11-01: no clock that is right shows less, since this program was written later.
const WRITTEN_US: i64 = 1_793_491_200 * SECOND_US;
/// Files that are open beside the connections: the database with its readers, logs, the listeners.
const OTHER_FILES: usize = 128;
const SECOND_US: i64 = 1_000_000;

/// Looks at everything. `deep` reads the whole database.
pub async fn examine(config: Result<Config, config::Error>, deep: bool) -> Vec<Finding> {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let mend = "`swarmem config print-default` lists every setting with what it takes";
            return vec![Finding::failure("config", error.to_string(), mend)];
        }
    };
    let path = &config.store.path;
    let server = Holder::of_lock(&beside(path, ".lock")).or_else(|| Holder::of_lock(path));
    let mut findings = vec![Finding::ok("config", "every setting is known, and allowed")];
    let listen = config.server.listen.map(|address| listen(address, server.as_ref()));
    let socket = config.server.unix_socket.as_deref().map(|path| unix_socket(path, server.as_ref()));
    // What is looked at is a coordinator that runs, and not what another one would find.
    let is_served = [&listen, &socket].into_iter().flatten().any(|place| place.is_served);
    findings.extend([listen, socket].into_iter().flatten().map(|place| place.finding));
    if config.store.kind == StoreKind::Postgres {
        findings.push(postgres(&config.store).await);
        findings.push(bus(&config).await);
        findings.push(clock(SystemClock.now(), None));
    } else {
        findings.extend(sqlite_file(path, server.as_ref(), is_served, deep).await);
        if config.bus.kind == BusKind::Redis {
            findings.push(bus(&config).await);
        }
    }
    findings.push(open_files(
        &std::fs::read_to_string("/proc/self/limits").unwrap_or_default(),
        config.transport.connections_max,
    ));
    findings
}

/// The disk, the file, and the clock beside what was written last.
async fn sqlite_file(path: &Path, server: Option<&Holder>, is_served: bool, deep: bool) -> Vec<Finding> {
    let mut findings = disk::check(path);
    let inspection = sqlite::inspect(path, deep).await;
    findings.extend(match (holders::of_removed(path), server) {
        (Some(holder), _) => vec![removed(path, &holder)],
        (None, Some(server)) if matches!(inspection, Err(OpenError::Missing { .. })) => {
            vec![removed(path, server)]
        }
        (None, Some(server)) if !is_served => vec![in_use(path, server)],
        (None, _) => database(path, &inspection, server, deep),
    });
    findings.push(clock(SystemClock.now(), inspection.ok().and_then(|seen| seen.newest)));
    findings
}

/// The server, and its schema.
async fn postgres(config: &config::Store) -> Finding {
    const CHECK: &str = "database";
    match super::store::status(config).await {
        Ok(store::Report { obstacle: Some(obstacle), .. }) => {
            Finding::failure(CHECK, obstacle, "until then a coordinator that is started there does not serve")
        }
        Ok(report) => Finding::ok(CHECK, report.told(Format::Human).trim_end().to_owned()),
        Err(error) => Finding::failure(CHECK, error.to_string(), "`swarmem store status` asks again"),
    }
}

/// Whether what is published there is heard. A coordinator runs without; but somebody asked for it.
async fn bus(config: &Config) -> Finding {
    const CHECK: &str = "bus";
    if config.bus.kind == BusKind::Local {
        let poll_ms = config.watch.poll_interval_ms;
        let figure = format!("none: what other coordinators commit is noticed within {poll_ms} ms");
        return Finding::ok(CHECK, figure);
    }
    let options = match super::bus::redis_options(&config.bus) {
        Ok(options) => options,
        Err(error) => {
            return Finding::failure(CHECK, error.to_string(), "let the user that runs swarmem read it");
        }
    };
    match redis::probe(options).await {
        Ok(heard) => {
            let server = |heard: &redis::Heard| {
                format!("{} in {:.1} ms", heard.address, heard.took.as_secs_f64() * 1000.0)
            };
            let servers: Vec<String> = heard.iter().map(server).collect();
            Finding::ok(CHECK, format!("what is published is heard: {}", servers.join(", ")))
        }
        Err(trouble) => {
            let late_ms = config.watch.poll_interval_bus_down_ms.min(config.watch.poll_interval_ms);
            let mend = format!(
                "start it, or correct bus.urls, bus.topology, bus.user and bus.password; until then events of other \
                 coordinators come up to {late_ms} ms late"
            );
            Finding::failure(CHECK, trouble.to_string(), mend)
        }
    }
}

/// The path with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What was found of a place to listen at.
struct Listening {
    finding: Finding,
    /// The coordinator that has the database listens there.
    is_served: bool,
}

impl From<Finding> for Listening {
    fn from(finding: Finding) -> Self {
        Self { finding, is_served: false }
    }
}

impl Listening {
    fn served(finding: Finding) -> Self {
        Self { finding, is_served: true }
    }
}

fn listen(address: SocketAddr, server: Option<&Holder>) -> Listening {
    const CHECK: &str = "listen";
    let mend = "choose another address with --listen or server.listen";
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(CHECK, format!("{address} is free")).into(),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match (holders::of_port(address), server) {
            (Some(holder), Some(server)) if holder == *server => {
                let figure = format!("{address} is held by {holder}, which serves this database");
                Listening::served(Finding::ok(CHECK, figure))
            }
            (holder, _) => {
                let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                Finding::failure(
                    CHECK,
                    format!("{address} is held by {holder}"),
                    format!("stop it, or {mend}"),
                )
                .into()
            }
        },
        Err(error) => Finding::failure(CHECK, format!("{address}: {error}"), mend).into(),
    }
}

fn unix_socket(path: &Path, server: Option<&Holder>) -> Listening {
    const CHECK: &str = "unix_socket";
    let shown = path.display();
    let folder = disk::folder_of(path);
    if !folder.is_dir() {
        let figure = format!("{} is no folder", folder.display());
        return Finding::failure(
            CHECK,
            figure,
            "make the folder, or choose another path with server.unix_socket",
        )
        .into();
    }
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_ok() {
        return match server {
            Some(server) => {
                let figure = format!("{shown} is served; the database is held by {server}");
                Listening::served(Finding::ok(CHECK, figure))
            }
            None => Finding::failure(
                CHECK,
                format!("{shown} is served by another process"),
                "stop it, or choose another path with server.unix_socket",
            )
            .into(),
        };
    }
    Finding::ok(CHECK, format!("{shown} is free")).into()
}

/// Its writes fail, or go where nobody will ever find them.
fn removed(path: &Path, holder: &Holder) -> Finding {
    Finding::failure(
        "database",
        format!("{} was removed or replaced under {holder}", path.display()),
        "stop that process, and `swarmem restore` the newest backup",
    )
}

fn in_use(path: &Path, holder: &Holder) -> Finding {
    Finding::failure(
        "database",
        format!("{} is in use by {holder}, which does not listen there: `serve` is refused", path.display()),
        "stop that process, or choose another database with --store or store.path",
    )
}

fn database(
    path: &Path,
    inspection: &Result<Inspection, OpenError>,
    server: Option<&Holder>,
    deep: bool,
) -> Vec<Finding> {
    const CHECK: &str = "database";
    let shown = path.display();
    let held = server.map_or_else(String::new, |server| format!(", held by {server}"));
    let seen = match inspection {
        Ok(seen) => seen,
        Err(OpenError::Missing { .. }) => {
            return vec![Finding::ok(CHECK, format!("{shown} is made at the first start"))];
        }
        Err(error @ OpenError::Newer { .. }) => {
            return vec![Finding::failure(CHECK, error.to_string(), "start a newer program")];
        }
        Err(error @ (OpenError::NotADatabase { .. } | OpenError::NotSwarmem { .. })) => {
            let mend = "choose another file with --store or store.path";
            return vec![Finding::failure(CHECK, error.to_string(), mend)];
        }
        Err(error) => {
            let mend = "let the user that runs swarmem read and write it; if it is damaged, `swarmem restore` a backup";
            return vec![Finding::failure(CHECK, format!("{error}{held}"), mend)];
        }
    };
    let version = match seen.schema_version {
        None => "empty".to_owned(),
        Some(found) if found < seen.known_version => {
            format!("schema version {found}, brought to {} at the next start", seen.known_version)
        }
        Some(found) => format!("schema version {found}, the newest"),
    };
    let mut findings = vec![Finding::ok(CHECK, format!("{shown}: {version}{held}"))];
    if deep {
        findings.push(match &seen.damage[..] {
            [] => Finding::ok("integrity", "the whole database is intact"),
            damage => Finding::failure(
                "integrity",
                damage.join("; "),
                "stop the coordinator, keep a copy of the file, and `swarmem restore` the newest backup",
            ),
        });
    }
    findings
}

/// Swarm time never runs back, so a head from the future holds its swarm's time still until the clock is there.
fn clock(now: Timestamp, newest: Option<(String, Timestamp)>) -> Finding {
    const CHECK: &str = "clock";
    let date = cli::date(now.as_micros() / SECOND_US);
    let mend = "set the clock, and keep it set by NTP";
    if now.as_micros() < WRITTEN_US {
        let figure = format!("{date}: before this program was written");
        return Finding::failure(CHECK, figure, mend);
    }
    match newest {
        Some((swarm, time)) if time.as_micros() > now.as_micros() + SECOND_US => {
            let ahead = (time.as_micros() - now.as_micros()) / SECOND_US;
            let figure = format!(
                "swarm {swarm} was last written {ahead} s from now; its time stands still until then"
            );
            Finding::warning(CHECK, figure, mend)
        }
        _ => Finding::ok(CHECK, format!("{date}, behind no swarm")),
    }
}

fn open_files(limits: &str, connections_max: usize) -> Finding {
    const CHECK: &str = "open_files";
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = soft.and_then(|rest| rest.split_whitespace().next());
    let needed = connections_max + OTHER_FILES;
    match soft.map(str::parse::<usize>) {
        Some(Ok(soft)) if soft < needed => Finding::warning(
            CHECK,
            format!(
                "{soft} may be open, {needed} are needed for transport.connections_max = {connections_max}"
            ),
            format!(
                "raise it (ulimit -n {needed}, LimitNOFILE={needed}), or lower transport.connections_max"
            ),
        ),
        Some(_) => Finding::ok(CHECK, format!("{} may be open", soft.unwrap_or_default())),
        None => Finding::ok(CHECK, "unknown how many may be open"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_clock_that_is_wrong_is_seen() {
        let now = Timestamp::from_micros(WRITTEN_US + 1000 * SECOND_US);
        let swarm = |time| Some(("s".to_owned(), time));
        for (clock_shows, newest, verdict) in [
            (now, None, Verdict::Ok),
            (now, swarm(now), Verdict::Ok),
            (now, swarm(now.plus(std::time::Duration::from_secs(2))), Verdict::Warning),
            (Timestamp::from_micros(0), None, Verdict::Failure),
        ] {
            assert_eq!(clock(clock_shows, newest).status, verdict);
        }
    }

    #[test]
    fn too_few_files_are_seen() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024      4096     files\n";
        assert_eq!(open_files(limits, 896).status, Verdict::Ok);
        assert_eq!(open_files(limits, 897).status, Verdict::Warning);
        assert_eq!(open_files(&limits.replace("1024", "unlimited"), 1_000_000).status, Verdict::Ok);
        assert_eq!(open_files("", 1).status, Verdict::Ok);
    }
}
