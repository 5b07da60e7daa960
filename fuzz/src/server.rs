//! The whole service without a socket: HTTP/2 over a pipe in memory. One thread, a clock that only moves when nothing else
//! can, a store in memory. Knows what every answer must look like, and of no method in particular.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Once},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message as _;
use swarmem::{
    api::{self, HealthBoard, WireEncoder, WriteStreamLimits, server::Server as Services},
    app,
    bus::local::LocalBus,
    config::Config,
    coordinator::Coordinator,
    domain::time::{ManualClock, Timestamp},
    lifecycle::Lifecycle,
    store::memory::MemoryStore,
    wire::v1,
};
use tokio::runtime::Runtime;
use tonic::{Code, Status, codegen::http};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
use tonic_types::StatusExt as _;

use super::schema::{Method, Schema};

/// Messages that are read of one answer; a stream may have no end.
const MESSAGES_MAX: usize = 4;
/// How long an answer may take to begin, on the clock of the runtime: longer than a call may.
const BEGIN: Duration = Duration::from_secs(60);
/// How long is waited for more of a stream: long enough for a bookmark.
const MORE: Duration = Duration::from_secs(11);
/// Inputs after which the server is replaced, lest it remember for ever.
const INPUTS_MAX: u32 = 2_000;
/// What a client takes of trailers at least.
const TRAILERS_BYTES_MAX: usize = 8 * 1024;
/// Bytes on their way in one direction.
const PIPE_BYTES: usize = 64 * 1024;
/// The swarm that every input finds, new and empty.
const SWARM: &str = "default";

thread_local! {
    /// Panics of this thread, on which everything runs. The runtime swallows those of tasks.
    static PANICS: Cell<u32> = const { Cell::new(0) };
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// The headers of a call.
pub type Headers = Vec<(&'static str, Vec<u8>)>;

/// An agent's headers.
pub fn headers(agent: &str, role: &str) -> Headers {
    vec![("swarmem-agent", agent.into()), ("swarmem-role", role.into())]
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// `Ok` too where a stream had not ended yet.
    pub status: Status,
    /// What it carried, without the frames.
    pub messages: Vec<Bytes>,
}

/// A coordinator that serves.
pub struct Server {
    runtime: Runtime,
    services: Services,
    connection: RefCell<SendRequest<Bytes>>,
    lifecycle: Lifecycle,
    clock: Arc<ManualClock>,
    inputs: u32,
}

/// Runs one input on the thread's server, which must be well before and after.
pub fn with(run: impl FnOnce(&Server)) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with(|panics| panics.set(panics.get() + 1));
            hook(panic);
        }));
    });
    SERVER.with_borrow_mut(|slot| {
        let mut server =
            slot.take().filter(|server| server.inputs < INPUTS_MAX).unwrap_or_else(Server::start);
        server.inputs += 1;
        let panics = PANICS.get();
        server.empty();
        run(&server);
        server.is_well();
        assert_eq!(PANICS.get(), panics, "a task panicked");
        *slot = Some(server);
    });
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime is built");
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000)));
        let lifecycle = Lifecycle::new();
        let config = Config::default();
        let (services, connection) = runtime.block_on(async {
            let coordinator = Coordinator::start(
                Arc::new(MemoryStore::new(clock.clone())),
                Arc::new(LocalBus::default()),
                clock.clone(),
                Arc::new(WireEncoder),
                app::settings(&config),
                lifecycle.clone(),
            );
            let coordinator = coordinator.await.expect("a store in memory answers");
            let health = HealthBoard::default();
            health.probe(&coordinator).await;
            let write_stream = WriteStreamLimits {
                requests_max: config.lanes.stream_requests_max,
                bytes_max: config.lanes.stream_bytes_max,
            };
            let transport = app::transport(&config);
            let timeout = transport.request_timeout;
            let routes = api::routes(&coordinator, health.clone(), timeout, write_stream);
            let in_flight = coordinator.in_flight().clone();
            let services = Services::new(
                routes,
                transport,
                in_flight,
                Arc::clone(coordinator.metrics()),
                lifecycle.clone(),
            );
            lifecycle.spawn("health", health.keep(coordinator.clone(), lifecycle.clone()));
            let connection = connect(&services).await;
            (services, RefCell::new(connection))
        });
        Self { runtime, services, connection, lifecycle, clock, inputs: 0 }
    }

    /// Lets time pass for entries.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sends messages to a method, each in a frame.
    pub fn call(&self, method: &Method, headers: &Headers, messages: &[Vec<u8>]) -> Answer {
        let mut body = Vec::new();
        for message in messages {
            body.push(0);
            body.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
            body.extend_from_slice(message);
        }
        let answer = self.send(&method.path, headers, body);
        for message in &answer.messages {
            let seen = Schema::get().texts(&method.output, message, &mut |_, _| {});
            assert_eq!(seen, Ok(()), "{} answers with its own type", method.path);
            if method.output == ".swarmem.v1.WriteResponse" {
                let answer = v1::WriteResponse::decode(message.clone()).expect("was looked at");
                let outcome = answer.outcome.unwrap_or_else(|| panic!("{} says nothing", method.path));
                if let v1::write_response::Outcome::Error(error) = outcome {
                    let details = error.encode_to_vec().into();
                    let status = Status::with_details(error.code.into(), error.message, details);
                    assert_ne!(status.code(), Code::Ok, "{} refuses nothing", method.path);
                    judge(&method.path, &status);
                }
            }
        }
        answer
    }

    /// Sends any bytes to any path; the answer is one that the protocol allows.
    pub fn send(&self, path: &str, headers: &Headers, body: Vec<u8>) -> Answer {
        let answer = self.exchange(path, headers, body);
        judge(path, &answer.status);
        fits(path, &answer.status);
        answer
    }

    fn exchange(&self, path: &str, headers: &Headers, body: Vec<u8>) -> Answer {
        let mut request = http::Request::builder()
            .method("POST")
            .uri(format!("http://fuzz{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            // What is no header value cannot be sent.
            if let Ok(value) = http::HeaderValue::from_bytes(value) {
                request = request.header(*name, value);
            }
        }
        let request = request.body(()).expect("a path is a URI");
        self.runtime.block_on(async {
            let connection = self.connection.borrow().clone();
            let mut connection = match connection.ready().await {
                Ok(connection) => connection,
                // Idle for too long, it was asked to go.
                Err(_) => connect(&self.services).await,
            };
            self.connection.replace(connection.clone());
            let (response, mut sending) = connection.send_request(request, false).expect("is ready");
            // Of a call that is refused before it is read the rest cannot be sent.
            let _ = sending.send_data(body.into(), true);
            let response = tokio::time::timeout(BEGIN, response).await;
            let response = response.unwrap_or_else(|_| panic!("{path} does not answer"));
            let response = response.unwrap_or_else(|error| panic!("{path} is cut off: {error}"));
            let (parts, mut receiving) = response.into_parts();
            let mut status = Status::from_header_map(&parts.headers);
            let (mut bytes, mut messages) = (BytesMut::new(), Vec::new());
            while messages.len() < MESSAGES_MAX {
                let patience = if messages.is_empty() { BEGIN } else { MORE };
                let data = match tokio::time::timeout(patience, receiving.data()).await {
                    Ok(Some(data)) => data,
                    Ok(None) => break,
                    // A stream may stay open, but not without a first word.
                    Err(_) if !messages.is_empty() => return Answer { status: Status::ok(""), messages },
                    Err(_) => panic!("{path} neither answers nor ends"),
                };
                let data = data.unwrap_or_else(|error| panic!("{path} is cut off: {error}"));
                let _ = receiving.flow_control().release_capacity(data.len());
                bytes.extend_from_slice(&data);
                while let Some(message) = unframed(&mut bytes) {
                    messages.push(message);
                }
            }
            let is_whole = messages.len() < MESSAGES_MAX;
            if is_whole && status.is_none() {
                let trailers = receiving.trailers().await;
                let trailers = trailers.unwrap_or_else(|error| panic!("{path} is cut off: {error}"));
                status = trailers.as_ref().and_then(Status::from_header_map);
                assert!(status.is_some(), "{path} ended without a status");
            }
            Answer { status: status.unwrap_or_else(|| Status::ok("")), messages }
        })
    }

    /// Every input finds the same: one swarm, new.
    fn empty(&self) {
        let method = |name| Schema::get().method(&format!("/swarmem.v1.SwarmService/{name}"));
        let boss = headers("boss", "orchestrator");
        for answer in self.call(method("ListSwarms"), &boss, &[Vec::new()]).messages {
            let mut swarms = Vec::new();
            let mut see = |field: &str, text: &str| {
                if field == "swarm" {
                    swarms.push(text.to_owned());
                }
            };
            let seen = Schema::get().texts(&method("ListSwarms").output, &answer, &mut see);
            seen.expect("was looked at already");
            for swarm in swarms {
                let delete = v1::DeleteSwarmRequest { swarm };
                self.call(method("DeleteSwarm"), &boss, &[delete.encode_to_vec()]);
            }
        }
        let create = v1::CreateSwarmRequest { swarm: SWARM.into(), retention: None };
        let created = self.call(method("CreateSwarm"), &boss, &[create.encode_to_vec()]);
        assert_eq!(created.status.code(), Code::Ok, "{:?}", created.status);
    }

    /// Health is answered, and all is well.
    fn is_well(&self) {
        for service in ["", "swarmem.v1.MemoryService"] {
            let request = HealthCheckRequest { service: service.into() };
            let check = Schema::get().method("/grpc.health.v1.Health/Check");
            let answer = self.call(check, &Vec::new(), &[request.encode_to_vec()]);
            let status = answer.messages.first().map(|m| HealthCheckResponse::decode(m.clone()));
            let status = status.and_then(Result::ok).map(|answer| answer.status());
            assert_eq!(status, Some(ServingStatus::Serving), "{service:?}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.lifecycle.soft.cancel();
        self.lifecycle.hard.cancel();
    }
}

/// A new connection, kept going by a task.
async fn connect(services: &Services) -> SendRequest<Bytes> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    services.connect(theirs);
    let (connection, driver) = h2::client::handshake(ours).await.expect("the service speaks HTTP/2");
    tokio::spawn(driver);
    connection
}

/// The next message, if it is there as a whole.
fn unframed(bytes: &mut BytesMut) -> Option<Bytes> {
    let len = u32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?) as usize;
    if bytes.len() < 5 + len {
        return None;
    }
    assert_eq!(bytes[0], 0, "nobody asked for compression");
    bytes.advance(5);
    Some(bytes.split_to(len).freeze())
}

/// What must hold of every answer. A store in memory is never unavailable, so nothing may be blamed on it.
fn judge(path: &str, status: &Status) {
    if status.code() == Code::Ok {
        return;
    }
    let info = status.get_details_error_info();
    // What reflection says in the middle of a stream is not this service's to word.
    if path.starts_with("/grpc.reflection.") && info.is_none() {
        return;
    }
    let info = info.unwrap_or_else(|| panic!("{path}: no ErrorInfo in {status:?}"));
    let code = status.code();
    let allowed: &[&str] = match code {
        Code::InvalidArgument => &["INVALID_FIELD", "REQUEST_ID_REUSED", "MALFORMED_MESSAGE"],
        Code::NotFound => &["SWARM_NOT_FOUND", "SWARM_DELETED", "ENTRY_NOT_FOUND", "SERVICE_UNKNOWN"],
        Code::AlreadyExists => &["SWARM_EXISTS"],
        Code::PermissionDenied => &["NOT_PERMITTED"],
        Code::Unauthenticated => &["AGENT_REQUIRED"],
        Code::Aborted => &["CONDITION_FAILED"],
        Code::OutOfRange => &["COMPACTED", "FUTURE_REVISION"],
        Code::FailedPrecondition => &["INCARNATION_CHANGED"],
        Code::ResourceExhausted => {
            &["MESSAGE_TOO_LARGE", "PREFIX_TOO_LARGE", "ANSWER_TOO_LARGE", "HEADERS_TOO_LARGE", "OVERLOADED"]
        }
        Code::Unimplemented => &["METHOD_UNKNOWN"],
        // Only where the caller gave the call too little time.
        Code::DeadlineExceeded => &["DEADLINE_EXCEEDED"],
        _ => &[],
    };
    assert!(allowed.contains(&info.reason.as_str()), "{path}: {code:?} {} {status:?}", info.reason);
    assert_eq!(info.domain, api::status::DOMAIN);
    if info.reason == "INVALID_FIELD" {
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let is_named = |field: &str, text: &str| !field.is_empty() && !text.is_empty();
        assert!(
            violations.len() == 1 && is_named(&violations[0].field, &violations[0].description),
            "{path}: {violations:?}"
        );
    }
}

/// A client takes the trailers.
fn fits(path: &str, status: &Status) {
    let mut trailers = http::HeaderMap::new();
    status.add_header(&mut trailers).expect("a status is made of header values");
    // As the transport counts them: 32 bytes beside each name and value.
    let bytes: usize = trailers.iter().map(|(name, value)| 32 + name.as_str().len() + value.len()).sum();
    assert!(bytes <= TRAILERS_BYTES_MAX, "{path}: {bytes} bytes of trailers for {status:?}");
}
