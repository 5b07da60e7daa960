//! The Rust client: connections, identity, deadlines and request ids around the generated stubs. Knows only
//! the protocol, nothing of how a coordinator works.
//!
//! ```no_run
//! use swarmem::{client::{Client, Options, Role}, wire::v1};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(&"127.0.0.1:7420".parse()?, Options::new("lab", "coder", Role::Agent)).await?;
//! let put = v1::PutOperation {
//!     namespace: "shared/findings".into(),
//!     key: "first".into(),
//!     content: "the build is red".into(),
//!     ..Default::default()
//! };
//! let token = client.put(put).await?.token;
//! let mut watch = client
//!     .watch(v1::WatchRequest { start: Some(v1::watch_request::Start::Token(token)), ..Default::default() })
//!     .await?;
//! while let Some(response) = watch.next().await? {
//!     for event in response.decode_events()? {
//!         let _ = event.entry;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod calls;
mod endpoint;
mod error;
mod identity;
mod watch;
mod write_stream;

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Channel, Uri},
};
use tonic_health::pb::health_client::HealthClient;

pub use tonic::{Code, Status};
pub use tonic_health::pb::health_check_response::ServingStatus;

pub use self::{
    endpoint::{Endpoint, PORT_DEFAULT, ParseError},
    error::{Error, FieldViolation, Refusal},
    identity::{Role, Stamp, UnknownRole},
    watch::Watch,
    write_stream::{Answer, IN_FLIGHT_MAX, WriteStream},
};
use crate::wire::v1::{
    memory_service_client::MemoryServiceClient, swarm_service_client::SwarmServiceClient,
    watch_service_client::WatchServiceClient,
};

/// The largest response a client takes, in bytes. A page or a watch response ends at about 1 MiB; a batch of
/// gets may be larger.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often a stream's connection is probed while nothing moves on it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long a probe may go unanswered before the connection counts as dead.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A generated stub's transport: a connection on which every call is stamped with the client's headers.
pub type Transport = InterceptedService<Channel, Stamp>;

/// Who the client is, which swarm it is for, and how long it waits.
#[derive(Clone, Debug)]
pub struct Options {
    /// The swarm its calls are for.
    pub swarm: String,
    /// The agent it speaks as; also the author of what it writes.
    pub agent: String,
    /// What it may do.
    pub role: Role,
    /// How long connecting may take; default 2 s.
    pub connect_timeout: Duration,
    /// How long one call may take, the opening of a watch included; default 10 s.
    pub call_timeout: Duration,
}

impl Options {
    /// Options with default timeouts.
    pub fn new(swarm: impl Into<String>, agent: impl Into<String>, role: Role) -> Self {
        Self {
            swarm: swarm.into(),
            agent: agent.into(),
            role,
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
        }
    }
}

/// A client of one coordinator, speaking as one agent in one swarm. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// Apart from `streams`, so that a call never waits behind the bytes of a watch.
    calls: Channel,
    streams: Channel,
    /// Apart from `streams`, so that an answer never waits behind the bytes of a watch that is not read.
    writes: Channel,
    options: Options,
}

impl Client {
    /// Connects for calls; the connection for streams is made with the first of them.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers at the endpoint within the connect timeout.
    pub async fn connect(endpoint: &Endpoint, options: Options) -> Result<Self, Error> {
        let calls = transport(endpoint, &options);
        let streams = transport(endpoint, &options)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let (calls, streams, writes) = match endpoint.address() {
            endpoint::Address::Tcp(_) => {
                (calls.connect().await, streams.connect_lazy(), streams.connect_lazy())
            }
            endpoint::Address::Unix(path) => {
                let open = {
                    let path = path.clone();
                    move |_: Uri| {
                        let path = path.clone();
                        async move { UnixStream::connect(path).await.map(TokioIo::new) }
                    }
                };
                (
                    calls.connect_with_connector(tower::service_fn(open.clone())).await,
                    streams.connect_with_connector_lazy(tower::service_fn(open.clone())),
                    streams.connect_with_connector_lazy(tower::service_fn(open)),
                )
            }
        };
        let calls = calls.map_err(|error| Error::connect(endpoint, &error))?;
        Ok(Self { calls, streams, writes, options })
    }

    /// The same connections, for another swarm.
    #[must_use]
    pub fn in_swarm(&self, swarm: impl Into<String>) -> Self {
        let options = Options { swarm: swarm.into(), ..self.options.clone() };
        Self { options, ..self.clone() }
    }

    /// The options the client was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The stub of `MemoryService`, for calls with fields this client does not set. Whoever uses it for a write
    /// sets `request_id`.
    pub fn memory(&self) -> MemoryServiceClient<Transport> {
        MemoryServiceClient::with_interceptor(self.calls.clone(), self.call_stamp())
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    /// The stub of `WatchService`, on the connection for streams, without a deadline.
    pub fn watches(&self) -> WatchServiceClient<Transport> {
        WatchServiceClient::with_interceptor(self.streams.clone(), self.stamp())
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    /// The stub of `MemoryService` for streams of writes, on a connection of their own, without a deadline.
    fn writes(&self) -> MemoryServiceClient<Transport> {
        MemoryServiceClient::with_interceptor(self.writes.clone(), self.stamp())
    }

    /// The stub of `SwarmService`.
    pub fn swarms(&self) -> SwarmServiceClient<Transport> {
        SwarmServiceClient::with_interceptor(self.calls.clone(), self.call_stamp())
    }

    /// The stub of `grpc.health.v1`.
    pub fn health(&self) -> HealthClient<Transport> {
        HealthClient::with_interceptor(self.calls.clone(), self.call_stamp())
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(&self.options.agent, self.options.role).for_swarm(&self.options.swarm)
    }

    fn call_stamp(&self) -> Stamp {
        self.stamp().with_timeout(self.options.call_timeout)
    }
}

fn transport(endpoint: &Endpoint, options: &Options) -> tonic::transport::Endpoint {
    let uri = match endpoint.address() {
        endpoint::Address::Tcp(uri) => uri.clone(),
        // Only the authority that HTTP/2 asks for: the connector knows the path.
        endpoint::Address::Unix(_) => Uri::from_static("http://localhost/"),
    };
    tonic::transport::Endpoint::from(uri).connect_timeout(options.connect_timeout)
}
