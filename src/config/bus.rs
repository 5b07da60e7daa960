//! The section `bus`. Does not know how a bus is opened.

use std::path::PathBuf;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Origin},
    secret::Secret,
    setting::{Allowed, Section, optional},
};

/// How coordinators over one store learn of each other's commits. Without a bus that joins them, and while it is down,
/// they learn of them by asking the store (watch.poll_interval_ms).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// `local`: there is no other coordinator, or it may learn of commits by asking the store. `redis`: over Redis 7 or
    /// newer.
    pub kind: BusKind,
    /// Where Redis is: one or several redis://host:port, separated by commas; rediss:// for TLS. Without user and
    /// password, which have settings of their own.
    pub urls: Secret,
    /// What answers there: `single`, a server or what stands in front of it; `sentinel`, sentinels, which know the
    /// master; `cluster`, some nodes of a cluster.
    pub topology: Topology,
    /// What the sentinels call the master.
    pub sentinel_master: String,
    /// The user of Redis. Empty: its default user.
    #[serde(with = "optional")]
    pub user: Option<String>,
    /// The password of that user. Empty: none. A secret: it is never printed, and `password_file` names a file that
    /// holds it.
    pub password: Secret,
    /// The user of the sentinels. Empty: their default user.
    #[serde(with = "optional")]
    pub sentinel_user: Option<String>,
    /// The password of that user. Empty: none. A secret, as the other.
    pub sentinel_password: Secret,
    /// The certificate authorities that are trusted, in PEM. Empty: those of the system.
    #[serde(with = "optional")]
    pub tls_ca_file: Option<PathBuf>,
    /// The own certificate, in PEM, if Redis asks for one. Empty: none.
    #[serde(with = "optional")]
    pub tls_certificate_file: Option<PathBuf>,
    /// Its key, in PEM.
    #[serde(with = "optional")]
    pub tls_key_file: Option<PathBuf>,
    /// What the name of every channel begins with. Fleets over different stores that share a Redis have different ones.
    pub prefix: String,
    /// A commit whose message is longer is announced only, and read from the store by those who need it.
    pub payload_bytes_max: usize,
    /// At most so many commits wait to be sent to one server; what comes then is not sent.
    pub queue_commits_max: usize,
    /// At most about so much waits to be sent; what comes then is announced only.
    pub queue_bytes_max: usize,
    /// At most so many messages wait for the feed of one swarm; what comes then is read from the store.
    pub backlog_messages_max: usize,
    /// At most about so much waits for all feeds; what comes then is read from the store.
    pub backlog_bytes_max: usize,
    /// How long a connection may take.
    pub connect_timeout_ms: u64,
    /// How long an answer may take. Then the connection is made anew.
    pub response_timeout_ms: u64,
    /// How often a server is asked whether it is there.
    pub heartbeat_interval_ms: u64,
    /// The longest pause between two attempts to connect.
    pub retry_pause_max_ms: u64,
}

/// What carries commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusKind {
    /// Nothing beyond the process.
    #[default]
    Local,
    /// Redis.
    Redis,
}

/// What answers at the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// One server.
    #[default]
    Single,
    /// Sentinels.
    Sentinel,
    /// Nodes of a cluster.
    Cluster,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            kind: BusKind::Local,
            urls: Secret::new("redis://127.0.0.1:6379"),
            topology: Topology::Single,
            sentinel_master: "mymaster".to_owned(),
            user: None,
            password: Secret::default(),
            sentinel_user: None,
            sentinel_password: Secret::default(),
            tls_ca_file: None,
            tls_certificate_file: None,
            tls_key_file: None,
            prefix: "swarmem".to_owned(),
            payload_bytes_max: 256 << 10,
            queue_commits_max: 4096,
            queue_bytes_max: 16 << 20,
            backlog_messages_max: 256,
            backlog_bytes_max: 64 << 20,
            connect_timeout_ms: 1000,
            response_timeout_ms: 1000,
            heartbeat_interval_ms: 1000,
            retry_pause_max_ms: 1000,
        }
    }
}

const FILE: Allowed = Allowed::Text("a path, or empty", |_| true);

impl Section for Bus {
    const NAME: &'static str = "bus";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("kind", Allowed::OneOf(&["local", "redis"])),
        // A secret only because somebody might write a password into it: then it is refused without being shown.
        (
            "urls",
            Allowed::Secret(
                "one or several redis://host:port or rediss://host:port, separated by commas, all with TLS or none, \
                 without user and password",
                |text| parse_urls(text).is_some(),
            ),
        ),
        ("topology", Allowed::OneOf(&["single", "sentinel", "cluster"])),
        ("sentinel_master", Allowed::Text("a name", |text| !text.is_empty())),
        ("user", Allowed::Text("a name, or empty", |_| true)),
        ("password", Allowed::Secret("a text, or empty", |_| true)),
        ("sentinel_user", Allowed::Text("a name, or empty", |_| true)),
        ("sentinel_password", Allowed::Secret("a text, or empty", |_| true)),
        ("tls_ca_file", FILE),
        ("tls_certificate_file", FILE),
        ("tls_key_file", FILE),
        ("prefix", Allowed::Text("1 to 64 of a-z A-Z 0-9 : _ - .", is_prefix)),
        ("payload_bytes_max", Allowed::Integer(0, 16 << 20)),
        ("queue_commits_max", Allowed::Integer(1, 1_000_000)),
        ("queue_bytes_max", Allowed::Integer(1024, 1 << 30)),
        ("backlog_messages_max", Allowed::Integer(1, 1_000_000)),
        ("backlog_bytes_max", Allowed::Integer(1024, 4 << 30)),
        ("connect_timeout_ms", Allowed::Integer(10, 60_000)),
        ("response_timeout_ms", Allowed::Integer(10, 60_000)),
        ("heartbeat_interval_ms", Allowed::Integer(10, 60_000)),
        ("retry_pause_max_ms", Allowed::Integer(20, 60_000)),
    ];
}

impl Bus {
    /// Host and port of every address, and whether they are reached by TLS.
    #[must_use]
    pub fn addresses(&self) -> (Vec<(String, u16)>, bool) {
        parse_urls(self.urls.expose()).unwrap_or_default()
    }

    pub(super) fn check(&self, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        let conflict = |name: &str, value: &str, conflict: &str| {
            Err(Error::Conflict {
                name: name.to_owned(),
                value: value.to_owned(),
                origin: origin(name),
                conflict: conflict.to_owned(),
            })
        };
        // Whoever says "local" sets the others aside; whoever says nothing has forgotten it.
        if self.kind == BusKind::Local && origin("bus.kind") == Origin::Default {
            let names = Self::FIELD_NAMES.iter().map(|key| format!("bus.{key}"));
            if let Some(name) = names.into_iter().find(|name| origin(name) != Origin::Default) {
                return conflict(
                    &name,
                    "(not shown)",
                    "it is not used, since bus.kind is not set; set bus.kind = \"redis\", or \"local\" if there is to be no \
                     bus",
                );
            }
        }
        let (addresses, _) = self.addresses();
        if self.topology == Topology::Single && addresses.len() > 1 {
            return conflict(
                "bus.topology",
                "\"single\"",
                "there are several addresses in bus.urls; if they are sentinels or nodes of a cluster, say so here",
            );
        }
        if self.user.is_some() && self.password.is_empty() {
            return conflict("bus.password", "\"\"", "bus.user needs one");
        }
        if self.tls_certificate_file.is_some() != self.tls_key_file.is_some() {
            return conflict(
                "bus.tls_key_file",
                "(one of two)",
                "bus.tls_certificate_file and it go together",
            );
        }
        Ok(())
    }
}

fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":_-.".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn parse_urls(text: &str) -> Option<(Vec<(String, u16)>, bool)> {
    let urls: Option<Vec<_>> = text.split(',').map(|url| parse_url(url.trim())).collect();
    let urls = urls?;
    let tls = urls.first()?.1;
    let all_alike = urls.iter().all(|(_, other)| *other == tls);
    all_alike.then(|| (urls.into_iter().map(|(address, _)| address).collect(), tls))
}

/// Host, port and whether it is with TLS.
fn parse_url(url: &str) -> Option<((String, u16), bool)> {
    let (rest, tls) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { "6379" } else { port.strip_prefix(':')? })
        }
        None => rest.split_once(':').unwrap_or((rest, "6379")),
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let port: u16 = port.parse().ok().filter(|&port| port > 0)?;
    (!host.is_empty() && host.bytes().all(is_host)).then(|| ((host.to_owned(), port), tls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs: Vec<_> = pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        Config::load(None, std::iter::empty(), &pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn urls_are_taken_apart() {
        for (text, addresses, tls) in [
            ("redis://redis", &[("redis", 6379)][..], false),
            ("rediss://a.b-c:1/", &[("a.b-c", 1)], true),
            ("redis://[::1]:7, redis://[::1]", &[("::1", 7), ("::1", 6379)], false),
        ] {
            let addresses = addresses.iter().map(|&(host, port)| (host.to_owned(), port)).collect();
            assert_eq!(parse_urls(text), Some((addresses, tls)), "{text}");
        }
        for wrong in ["", "redis", "redis://", "redis://a:0", "redis://a:x", "redis://a,", "http://a"] {
            assert_eq!(parse_urls(wrong), None, "{wrong}");
        }
        for wrong in ["redis://a,rediss://b", "redis://a/0", "redis://[a]", "redis://a:1:2", "unix:///a"] {
            assert_eq!(parse_urls(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        let error = load(&[("bus.urls", "redis://ann:sesame@redis:6379")]).unwrap_err();
        assert!(error.contains("without user and password") && !error.contains("sesame"), "{error}");
        let config = load(&[("bus.kind", "redis"), ("bus.password", "sesame")]).unwrap();
        assert_eq!(config.bus.password.expose(), "sesame");
        assert!(!format!("{config:?}").contains("sesame"));
    }

    #[test]
    fn a_password_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sesame\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let env = [("SWARMEM_BUS_PASSWORD_FILE", &*path), ("SWARMEM_BUS_KIND", "redis")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::load(None, env.into_iter(), &[]).unwrap();
        assert_eq!(config.bus.password.expose(), "sesame");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for (pairs, named) in [
            (&[("bus.urls", "redis://a,redis://b")][..], "bus.topology"),
            (&[("bus.user", "ann")], "bus.password"),
            (&[("bus.tls_key_file", "key.pem")], "bus.tls_certificate_file"),
        ] {
            let error = load(&[&[("bus.kind", "redis")], pairs].concat()).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let cluster =
            [("bus.kind", "redis"), ("bus.urls", "redis://a,redis://b"), ("bus.topology", "cluster")];
        load(&cluster).unwrap();
    }

    #[test]
    fn settings_of_a_bus_that_is_not_asked_for_are_refused() {
        // Also one that is said to be what it is anyway.
        let urls = ("bus.urls", "redis://127.0.0.1:6379");
        for set in [urls, ("bus.password", "sesame"), ("bus.prefix", "a")] {
            let error = load(&[set]).unwrap_err();
            assert!(error.contains(set.0) && error.contains("bus.kind = \"redis\""), "{error}");
            assert!(!error.contains("sesame"), "{error}");
            load(&[set, ("bus.kind", "local")]).unwrap();
        }
        let mut config = Config::default();
        config.bus.prefix = "a".into();
        config.validate().unwrap();
    }
}
