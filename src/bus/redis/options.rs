//! What a Redis bus is told: where, as whom, and within which bounds. Connects nothing.

use std::{fmt, time::Duration};

/// How a Redis bus behaves.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Where Redis is.
    pub deployment: Deployment,
    /// As whom to log in; none: as nobody, without a password.
    pub login: Option<Login>,
    /// How connections are encrypted; none: not at all.
    pub tls: Option<Tls>,
    /// What every channel's name begins with, so that several fleets can share a Redis.
    pub prefix: String,
    /// Commits that are longer as a message are announced only, and read from the log.
    pub payload_bytes_max: usize,
    /// Commits that may wait to be sent to one server; beyond that they are lost.
    pub queue_commits_max: usize,
    /// About how much of commits may wait to be sent; beyond that they are announced only.
    pub queue_bytes_max: usize,
    /// Messages that may wait for one subscriber; beyond that it has a gap.
    pub backlog_messages_max: usize,
    /// About how much may wait for all subscribers; beyond that they have gaps.
    pub backlog_bytes_max: usize,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take; then the connection is given up.
    pub response_timeout: Duration,
    /// How often a connection that says nothing is asked whether it is there.
    pub heartbeat_interval: Duration,
    /// The longest pause between two attempts to connect.
    pub retry_pause_max: Duration,
}

impl RedisOptions {
    /// The defaults for one server at this address.
    #[must_use]
    pub fn single(address: Address) -> Self {
        Self {
            deployment: Deployment::Single(address),
            login: None,
            tls: None,
            prefix: "swarmem".to_owned(),
            payload_bytes_max: 256 << 10,
            queue_commits_max: 4096,
            queue_bytes_max: 16 << 20,
            backlog_messages_max: 256,
            backlog_bytes_max: 64 << 20,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(1),
            retry_pause_max: Duration::from_secs(1),
        }
    }
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub enum Deployment {
    /// One server, or an address behind which there is always the right one.
    Single(Address),
    /// Sentinels, which know the master.
    Sentinel {
        /// Some of them.
        sentinels: Vec<Address>,
        /// What they call the master.
        master: String,
        /// As whom to log in to them.
        login: Option<Login>,
    },
    /// A cluster.
    Cluster(Vec<Address>),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A user of Redis.
#[derive(Clone)]
pub struct Login {
    /// None: the default user.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Certificates, in PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities that are trusted; none: those of the system.
    pub ca: Option<Vec<u8>>,
    /// The own certificate and its key, if Redis asks for one.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_has_brackets() {
        let shown = |host: &str| Address { host: host.into(), port: 1 }.to_string();
        assert_eq!((shown("a.b"), shown("::1")), ("a.b:1".to_owned(), "[::1]:1".to_owned()));
    }

    #[test]
    fn secrets_are_not_shown() {
        let login = Login { user: Some("ann".into()), password: "sesame".into() };
        let tls = Tls { ca: None, own: Some((b"cert".to_vec(), b"sesame".to_vec())) };
        let options = RedisOptions {
            login: Some(login),
            tls: Some(tls),
            ..RedisOptions::single(Address { host: "redis".into(), port: 1 })
        };
        assert!(!format!("{options:?}").contains("sesame"));
    }
}
