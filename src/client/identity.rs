//! Who a client is, and how that is written into the headers of each call. Knows nothing of the calls.

use std::{fmt, str::FromStr, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, Binary, MetadataValue},
    service::Interceptor,
};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sees and writes its own memory and what is shared.
    Agent,
    /// Sees and writes everything.
    Orchestrator,
    /// Sees everything and writes nothing.
    Observer,
}

impl Role {
    /// The role's name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Orchestrator => "orchestrator",
            Self::Observer => "observer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "agent" => Ok(Self::Agent),
            "orchestrator" => Ok(Self::Orchestrator),
            "observer" => Ok(Self::Observer),
            _ => Err(UnknownRole),
        }
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role; use agent, orchestrator or observer")]
pub struct UnknownRole;

/// Puts a client's headers on each of its calls.
#[derive(Clone, Debug)]
pub struct Stamp {
    agent: AgentHeader,
    role: MetadataValue<Ascii>,
    /// Routes the call to the replicas that hold the swarm; the request itself says which swarm it is for.
    swarm: Option<MetadataValue<Ascii>>,
    /// Sent as `grpc-timeout` and enforced here. None for streams, which have no end.
    timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
enum AgentHeader {
    Text(MetadataValue<Ascii>),
    Utf8(MetadataValue<Binary>),
}

impl Stamp {
    pub(super) fn new(agent: &str, role: Role) -> Self {
        Self {
            agent: AgentHeader::new(agent),
            role: MetadataValue::from_static(role.as_str()),
            swarm: None,
            timeout: None,
        }
    }

    /// A name that is no header value names no swarm either: it is left to the coordinator to refuse.
    pub(super) fn for_swarm(self, swarm: &str) -> Self {
        Self { swarm: MetadataValue::try_from(swarm).ok(), ..self }
    }

    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

impl AgentHeader {
    fn new(agent: &str) -> Self {
        let plain = agent.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && agent.trim() == agent;
        match MetadataValue::try_from(agent) {
            Ok(value) if plain => Self::Text(value),
            _ => Self::Utf8(MetadataValue::from_bytes(agent.as_bytes())),
        }
    }
}

impl Interceptor for Stamp {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        match &self.agent {
            AgentHeader::Text(value) => drop(headers.insert("swarmem-agent", value.clone())),
            AgentHeader::Utf8(value) => drop(headers.insert_bin("swarmem-agent-bin", value.clone())),
        }
        headers.insert("swarmem-role", self.role.clone());
        if let Some(swarm) = &self.swarm {
            headers.insert("swarmem-swarm", swarm.clone());
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(agent: &str) -> Request<()> {
        Stamp::new(agent, Role::Agent)
            .for_swarm("lab")
            .with_timeout(Duration::from_secs(3))
            .call(Request::new(()))
            .unwrap()
    }

    #[test]
    fn a_plain_name_travels_as_text() {
        let request = stamped("coder 1");
        assert_eq!(request.metadata().get("swarmem-agent").unwrap(), "coder 1");
        assert!(request.metadata().get_bin("swarmem-agent-bin").is_none());
        assert_eq!(request.metadata().get("swarmem-role").unwrap(), "agent");
        assert_eq!(request.metadata().get("swarmem-swarm").unwrap(), "lab");
        assert_eq!(request.metadata().get("grpc-timeout").unwrap(), "3000000u");
    }

    #[test]
    fn any_other_name_travels_as_bytes() {
        for agent in ["Grüße", " padded ", "tab\t", "a\nb"] {
            let request = stamped(agent);
            assert!(request.metadata().get("swarmem-agent").is_none(), "{agent:?}");
            let bytes = request.metadata().get_bin("swarmem-agent-bin").unwrap().to_bytes().unwrap();
            assert_eq!(bytes, agent.as_bytes());
        }
    }
}
