//! The Rust client: connections, identity, deadlines, request ids, repeats and watches that come back, around the generated
//! stubs. Knows only the protocol, nothing of how a coordinator works.
//!
//! - [`Client::put`] and its like have one deadline, one request id, and as many attempts as fit and are allowed. What stays open
//!   is [`Error::OutcomeUnknown`].
//! - [`Client::watch`] is a [`Stream`](futures_util::Stream) that outlives its connections: every event once, in order.
//! - Reads are strong, or at least as new as what the client has seen: [`ReadMode`].
//!
//! What is repeated when, and what ends a watch, stands as a table in `docs/clients.md`; every default in [`Options`].
//!
//! ```no_run
//! use futures_util::TryStreamExt as _;
//! use swarmem::{
//!     client::{Client, Error, Options, ReadMode, Role, reason},
//!     wire::v1::{self, watch_request::Start},
//! };
//!
//! /// Follows what is shared; what it knows it learns anew whenever it cannot go on from where it was.
//! async fn follow(client: &Client) -> Result<(), Error> {
//!     loop {
//!         let filter = v1::Filter { prefixes: vec!["shared".into()], ..Default::default() };
//!         let start = Some(Start::Snapshot(true));
//!         let mut watch =
//!             client.watch(v1::WatchRequest { filter: Some(filter), start, ..Default::default() }).await?;
//!         let mut known = std::collections::BTreeMap::new();
//!         let end = loop {
//!             // Broken connections, drained coordinators and restarts do not show here.
//!             let response = match watch.try_next().await {
//!                 Ok(Some(response)) => response,
//!                 Ok(None) => return Ok(()),
//!                 Err(error) => break error,
//!             };
//!             for entry in response.decode_entries()? {
//!                 known.insert((entry.namespace.clone(), entry.key.clone()), entry);
//!             }
//!             for event in response.decode_events()? {
//!                 let Some(entry) = event.entry.clone() else { continue };
//!                 let name = (entry.namespace.clone(), entry.key.clone());
//!                 match event.r#type() {
//!                     v1::event::Type::Delete => drop(known.remove(&name)),
//!                     _ => drop(known.insert(name, entry)),
//!                 }
//!             }
//!         };
//!         match end.reason() {
//!             Some(reason::COMPACTED | reason::INCARNATION_CHANGED) => {}
//!             _ => return Err(end),
//!         }
//!     }
//! }
//!
//! # async fn example() -> Result<(), Error> {
//! let options =
//!     Options { reads: ReadMode::ReadYourWrites, ..Options::new("lab", "coder", Role::Agent) };
//! let endpoint = "127.0.0.1:7420".parse().expect("an address");
//! let client = Client::connect(&endpoint, options).await?;
//! let put = v1::PutOperation {
//!     namespace: "shared/findings".into(),
//!     key: "build".into(),
//!     content: "red since 10:40".into(),
//!     ..Default::default()
//! };
//! match client.put(put.clone()).await {
//!     Ok(done) => drop(done.token),
//!     // The write may have been done. Under its id it can be made again at leisure, and is done once.
//!     Err(Error::OutcomeUnknown { request_id: Some(id), .. }) => {
//!         client.with_request_id(id).put(put).await?;
//!     }
//!     Err(error) => return Err(error),
//! }
//! let name = v1::EntryName { namespace: "shared/findings".into(), key: "build".into() };
//! // Sees the write, on whatever replica.
//! let entry = client.get(name, None).await?.entry;
//! # drop(entry);
//! follow(&client).await
//! # }
//! ```

mod attempts;
mod calls;
mod connections;
mod endpoint;
mod error;
mod greeting;
mod identity;
mod newest;
mod options;
pub mod reason;
mod retry;
mod watch;
mod watch_once;
mod write_stream;
mod writes;

use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tonic::{service::interceptor::InterceptedService, transport::Channel};
use tonic_health::pb::health_client::HealthClient;

pub use tonic::{Code, Status};
pub use tonic_health::pb::health_check_response::ServingStatus;

use self::{
    connections::Connections,
    newest::{Newest, Swarms},
    retry::Budget,
};
pub use self::{
    endpoint::{Endpoint, PORT_DEFAULT, ParseError},
    error::{Error, FieldViolation, Origin, Refusal},
    identity::{Role, Stamp, UnknownRole},
    options::{OnRepeat, Options, ReadMode, Repeat, Retry},
    retry::Backoff,
    watch::{Link, Watch},
    watch_once::WatchOnce,
    write_stream::{Answer, IN_FLIGHT_MAX, WriteStream},
    writes::Identified,
};
use crate::wire::v1::{
    memory_service_client::MemoryServiceClient, recall_service_client::RecallServiceClient,
    swarm_service_client::SwarmServiceClient, watch_service_client::WatchServiceClient,
};

/// The largest response a client takes, in bytes. A page or a watch response ends at about 1 MiB; a batch of
/// gets may be larger.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A generated stub's transport: a connection on which every call is stamped with the client's headers.
pub type Transport = InterceptedService<Channel, Stamp>;

/// A client of one coordinator, speaking as one agent in one swarm. Clones share their connections, what they have seen of each
/// swarm, and how often they may repeat a call.
#[derive(Clone, Debug)]
pub struct Client {
    connections: Arc<Connections>,
    options: Arc<Options>,
    stamp: Stamp,
    budget: Arc<Mutex<Budget>>,
    swarms: Arc<Swarms>,
    /// What was seen of the client's swarm.
    newest: Arc<Newest>,
}

impl Client {
    /// Connects for calls; a connection for streams is made with the first of them.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers at the endpoint within the connect timeout. This is not repeated.
    pub async fn connect(endpoint: &Endpoint, options: Options) -> Result<Self, Error> {
        let connections = Arc::new(Connections::connect(endpoint, &options).await?);
        let budget = Budget::new(&options.retry.unwrap_or_default(), Instant::now());
        let swarms = Arc::<Swarms>::default();
        Ok(Self {
            connections,
            stamp: Stamp::new(&options.agent, options.role).for_swarm(&options.swarm),
            budget: Arc::new(Mutex::new(budget)),
            newest: swarms.of(&options.swarm),
            swarms,
            options: Arc::new(options),
        })
    }

    /// The same connections, for another swarm.
    #[must_use]
    pub fn in_swarm(&self, swarm: impl Into<String>) -> Self {
        let options = Options { swarm: swarm.into(), ..Options::clone(&self.options) };
        Self {
            stamp: self.stamp.clone().for_swarm(&options.swarm),
            newest: self.swarms.of(&options.swarm),
            options: Arc::new(options),
            ..self.clone()
        }
    }

    /// The same connections and memory, with reads of another kind.
    #[must_use]
    pub fn reading(&self, reads: ReadMode) -> Self {
        let options = Options { reads, ..Options::clone(&self.options) };
        Self { options: Arc::new(options), ..self.clone() }
    }

    /// The options the client was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The token of the newest state of the swarm that this client and its clones have seen in writes, reads and watches; none if
    /// they have seen none. Another client's read at least at this token sees all that this one has.
    pub fn newest_token(&self) -> Option<String> {
        self.newest.token()
    }

    /// The stub of `MemoryService`, for calls with fields this client does not set: one attempt each. Whoever uses it for a
    /// write sets `request_id`.
    pub fn memory(&self) -> MemoryServiceClient<Transport> {
        memory_on(self.calls())
    }

    /// The stub of `RecallService`: one attempt each.
    pub fn recalls(&self) -> RecallServiceClient<Transport> {
        recalls_on(self.calls())
    }

    /// The stub of `WatchService`, on a connection for streams, without a deadline. Its streams are not counted when
    /// streams are spread over connections.
    pub fn watches(&self) -> WatchServiceClient<Transport> {
        let channel = self.connections.place().channel.clone();
        WatchServiceClient::new(InterceptedService::new(channel, self.stamp.clone()))
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    /// The stub of `SwarmService`: one attempt each.
    pub fn swarms(&self) -> SwarmServiceClient<Transport> {
        SwarmServiceClient::new(self.calls())
    }

    /// The stub of `grpc.health.v1`: one attempt each.
    pub fn health(&self) -> HealthClient<Transport> {
        HealthClient::new(self.calls())
    }

    fn calls(&self) -> Transport {
        let (channel, _) = self.connections.calls();
        InterceptedService::new(channel, self.stamp.clone().with_timeout(self.options.call_timeout))
    }
}

fn recalls_on(transport: Transport) -> RecallServiceClient<Transport> {
    RecallServiceClient::new(transport).max_decoding_message_size(RESPONSE_BYTES_MAX)
}

fn memory_on(transport: Transport) -> MemoryServiceClient<Transport> {
    MemoryServiceClient::new(transport).max_decoding_message_size(RESPONSE_BYTES_MAX)
}
