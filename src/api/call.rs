//! Who calls, and for which swarm: what the headers of a call say.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
};
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    Service,
    admission::Admission,
    status::{Explained, invalid, of},
};
use crate::{
    coordinator::Error,
    domain::{
        Invalid,
        access::{Principal, Role},
        limits::Limits,
        namespace::AgentId,
        position::Arguments,
        request::{Digest, Idempotency, RequestId},
        swarm::SwarmId,
    },
};

const AGENT: &str = "swarmem-agent";
const AGENT_BIN: &str = "swarmem-agent-bin";
const ROLE: &str = "swarmem-role";
const SWARM: &str = "swarmem-swarm";

/// A call, its headers understood.
pub(super) struct Call<T> {
    pub caller: Principal,
    pub deadline: Instant,
    /// When the caller itself stops waiting, if it said so; what ends a stream.
    pub patience: Option<Instant>,
    pub message: T,
    admission: Arc<Admission>,
    swarm_header: Option<String>,
}

impl Service {
    /// Reads the headers of a call.
    pub fn call<T>(&self, request: Request<T>) -> Result<Call<T>, Status> {
        let limits = self.coordinator.limits();
        let headers = request.metadata();
        let caller = principal(headers, limits)?;
        let swarm_header = match headers.get(SWARM).map(MetadataValue::to_str) {
            None => None,
            Some(Ok(swarm)) => Some(swarm.to_owned()),
            Some(Err(_)) => return Err(invalid(Invalid::new(SWARM, "is not text"))),
        };
        let admission = Admission::of(request.extensions())?;
        let deadline = admission.deadline();
        let patience = admission.stream_deadline();
        Ok(Call { caller, deadline, patience, swarm_header, admission, message: request.into_inner() })
    }
}

impl<T> Call<T> {
    /// What the headers say apart from the message.
    pub fn split(self) -> (Call<()>, T) {
        let Self { caller, deadline, patience, message, admission, swarm_header } = self;
        (Call { caller, deadline, patience, message: (), admission, swarm_header }, message)
    }

    /// The swarm that the message names; the header may route, but not contradict.
    pub fn swarm(&self, name: &str) -> Result<SwarmId, Status> {
        let swarm = SwarmId::parse(name).map_err(invalid)?;
        match &self.swarm_header {
            Some(header) if header != name => {
                let problem = format!("says another swarm than the request, which is for {name:?}");
                Err(invalid(Invalid::new(SWARM, problem)))
            }
            _ => Ok(swarm),
        }
    }

    /// What came in was taken: of a stream's request only what comes from now on is counted.
    pub fn received(&self) {
        self.admission.received();
    }

    /// Counts an answer of about so many bytes until it is sent.
    pub fn hold(&self, bytes: usize) -> Result<(), Status> {
        self.admission.hold(bytes)
    }

    /// Counts an answer to a change: it is not refused for its size, which would leave open whether the change was made.
    pub fn hold_anyway(&self, bytes: usize) {
        self.admission.hold_anyway(bytes);
    }

    /// Nothing is begun for a caller that has stopped waiting.
    pub fn in_time(&self) -> Result<(), Status> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(of(Error::DeadlineExceeded)) }
    }

    /// Waits for something read, no longer than the caller does.
    pub async fn read<R>(&self, work: impl Future<Output = Result<R, Error>>) -> Result<R, Status> {
        self.in_time()?;
        timeout_at(self.deadline, work).await.unwrap_or(Err(Error::DeadlineExceeded)).map_err(of)
    }

    /// Waits for a change that is made whether anybody waits or not.
    pub async fn change<R>(&self, work: impl Future<Output = Result<R, Error>>) -> Result<R, Status> {
        timeout_at(self.deadline, work).await.unwrap_or(Err(Error::OutcomeUnknown)).map_err(of)
    }
}

fn principal(headers: &MetadataMap, limits: &Limits) -> Result<Principal, Status> {
    for header in [AGENT, ROLE] {
        // Whoever adds the true one behind a forged one must not be passed over.
        if headers.get_all(header).iter().count() > 1 {
            return Err(invalid(Invalid::new(header, "is given more than once")));
        }
    }
    let (header, name) = match (headers.get_bin(AGENT_BIN), headers.get(AGENT)) {
        (Some(_), Some(_)) => {
            return Err(invalid(Invalid::new(AGENT_BIN, "goes with no swarmem-agent beside it")));
        }
        (Some(name), None) => {
            let bytes = name.to_bytes().map_err(|_| invalid(Invalid::new(AGENT_BIN, "is not base64")))?;
            let text = String::from_utf8(bytes.to_vec());
            (AGENT_BIN, text.map_err(|_| invalid(Invalid::new(AGENT_BIN, "is not UTF-8")))?)
        }
        (None, Some(name)) => {
            let text = name
                .to_str()
                .map_err(|_| invalid(Invalid::new(AGENT, "is not ASCII; use swarmem-agent-bin")))?;
            (AGENT, text.to_owned())
        }
        (None, None) => {
            let message = "the header swarmem-agent must name the calling agent";
            return Err(Explained::new(Code::Unauthenticated, "AGENT_REQUIRED", message).into_status());
        }
    };
    let agent = AgentId::parse(&name, limits).map_err(|e| invalid(Invalid::new(header, e.problem)))?;
    let role = match headers.get(ROLE).map(MetadataValue::as_bytes) {
        None | Some(b"agent") => Role::Agent,
        Some(b"orchestrator") => Role::Orchestrator,
        Some(b"observer") => Role::Observer,
        Some(_) => return Err(invalid(Invalid::new(ROLE, "must be agent, orchestrator or observer"))),
    };
    Ok(Principal { agent, role })
}

/// What makes a call idempotent; `message` is the request with its id taken out.
pub(super) fn idempotency(
    method: &str,
    request_id: &str,
    message: &impl prost::Message,
) -> Result<Option<Idempotency>, Status> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let id = RequestId::parse(request_id).map_err(invalid)?;
    // Tells two requests of one agent under one id apart. Whoever makes two that collide fools nobody else, so it need
    // not be a cryptographic hash, which would be the dearest step of a small write.
    let mut hash = Xxh3Default::new();
    hash.update(method.as_bytes());
    hash.update(&[0]);
    hash.update(&message.encode_to_vec());
    let digest: Digest = hash.digest128().to_be_bytes();
    Ok(Some(Idempotency { id, digest }))
}

/// What a token is bound to; `message` is the request without what may change.
pub(super) fn arguments(method: &str, message: &impl prost::Message) -> Arguments {
    let mut hash = blake3::Hasher::new();
    hash.update(method.as_bytes());
    hash.update(&[0]);
    hash.update(&message.encode_to_vec());
    let mut cut = [0; 8];
    cut.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    // 0 means: bound to nothing.
    Arguments(u64::from_be_bytes(cut).max(1))
}
