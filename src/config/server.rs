//! The section `server`. Knows addresses and deadlines, not what is served on them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    error::{Error, Origin},
    setting::{Allowed, Section, optional},
};

/// Where the coordinator listens, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address of the gRPC listener. Port 0 takes a free port; empty: no TCP.
    #[serde(serialize_with = "optional::serialize", deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
    /// The address of a gRPC listener that answers for the health alone (grpc.health.v1), for probes that reach no other
    /// one, as 127.0.0.1:7422. Port 0 takes a free port; empty: none.
    #[serde(with = "optional")]
    pub health_listen: Option<SocketAddr>,
    /// The path of a Unix socket to listen on as well. Empty: none.
    #[serde(with = "optional")]
    pub unix_socket: Option<PathBuf>,
    /// Listens beyond loopback (`listen`, `http.listen`) although there is no authentication: whoever reaches the port can
    /// claim to be any agent, in any role, and read and write every swarm.
    pub insecure: bool,
    /// The swarm that is created at start if it does not exist. Empty: none.
    #[serde(with = "optional")]
    pub default_swarm: Option<String>,
    /// How long a shutdown waits for calls and streams to end before it drops them.
    pub drain_timeout_ms: u64,
    /// Over how long a shutdown spreads the ends of the open streams, so that not all clients come back at the same
    /// moment. At most half of drain_timeout_ms is used.
    pub drain_spread_ms: u64,
    /// The deadline of a unary call that brings none.
    pub request_timeout_ms: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 7420))),
            health_listen: None,
            unix_socket: None,
            insecure: false,
            default_swarm: Some("default".to_owned()),
            drain_timeout_ms: 10_000,
            drain_spread_ms: 2000,
            request_timeout_ms: 10_000,
        }
    }
}

impl Section for Server {
    const NAME: &'static str = "server";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        (
            "listen",
            Allowed::Text(
                "an IP address with a port, as 127.0.0.1:7420 or [::1]:7420, or localhost with a port (other names \
                 are not looked up), or empty",
                |text| text.is_empty() || address(text).is_some(),
            ),
        ),
        (
            "health_listen",
            Allowed::Text("an IP address with a port, as 127.0.0.1:7422, or empty", |text| {
                text.is_empty() || text.parse::<SocketAddr>().is_ok()
            }),
        ),
        ("unix_socket", Allowed::Text("a path, or empty", |_| true)),
        ("insecure", Allowed::Boolean),
        // The application turns it into a swarm's name, whose rule is the domain's.
        ("default_swarm", Allowed::Text("the name of a swarm, 1 to 63 of a-z 0-9 - _, or empty", |_| true)),
        ("drain_timeout_ms", Allowed::Integer(0, 3_600_000)),
        ("drain_spread_ms", Allowed::Integer(0, 3_600_000)),
        ("request_timeout_ms", Allowed::Integer(1, 3_600_000)),
    ];
}

/// Whether only this machine reaches it.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Which interface other machines reach must not hang on a table of names, so only the name of loopback is known.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    address(&text).map(Some).ok_or_else(|| D::Error::custom("not an address"))
}

impl Server {
    pub(super) fn check(&self, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        let conflict = |value: &str, conflict: &str| Error::Conflict {
            name: "server.listen".to_owned(),
            value: format!("\"{value}\""),
            origin: origin("server.listen"),
            conflict: conflict.to_owned(),
        };
        match self.listen {
            None if self.unix_socket.is_none() => {
                Err(conflict("", "nothing to listen on; set it or server.unix_socket"))
            }
            Some(address) if !self.insecure && !is_loopback(address) => Err(conflict(
                &address.to_string(),
                "this address can be reached from other machines, and there is no authentication: whoever reaches it \
                 can claim to be any agent in any role. Listen on 127.0.0.1, or accept that with server.insecure = \
                 true (--insecure, SWARMEM_SERVER_INSECURE=true)",
            )),
            _ => Ok(()),
        }
    }
}
