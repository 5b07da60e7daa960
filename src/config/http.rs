//! The section `http`. Knows an address, not what is served there.

use std::net::SocketAddr;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Origin},
    server::{Server, is_loopback},
    setting::{Allowed, Section, optional},
};

/// Where figures and probes are served over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The address of the HTTP listener: /metrics, /livez, /readyz. Whoever reaches it sees figures, and no names and no memory;
    /// other machines do so only with `server.insecure`. Port 0 takes a free port; empty: no HTTP.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 7421))) }
    }
}

impl Section for Http {
    const NAME: &'static str = "http";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[(
        "listen",
        Allowed::Text("an IP address with a port, as 127.0.0.1:7421, or empty", |text| {
            text.is_empty() || text.parse::<SocketAddr>().is_ok()
        }),
    )];
}

impl Http {
    pub(super) fn check(&self, server: &Server, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        const NAME: &str = "http.listen";
        match self.listen {
            Some(address) if !server.insecure && !is_loopback(address) => Err(Error::Conflict {
                name: NAME.to_owned(),
                value: format!("\"{address}\""),
                origin: origin(NAME),
                conflict: "this address can be reached from other machines, and there is no authentication: whoever reaches \
                           it sees all that is served there. Listen on 127.0.0.1 (probes that speak gRPC have \
                           server.health_listen), or accept that with server.insecure = true (--insecure, \
                           SWARMEM_SERVER_INSECURE=true)"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}
