//! The connections of a client: one for calls, one for streams of writes, and as many as its watches need. Knows nothing of what travels on them.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Uri};
use tower::{BoxError, Service as _};

use super::{
    Endpoint, Error, Options,
    endpoint::{Address, Carrier, Way},
    greeting::Greeted,
};

/// How often a connection is probed: one for streams always, one for calls while one waits for its answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long a probe may go unanswered before the connection counts as dead.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls travel apart from streams, so that none waits behind the bytes of a watch; streams are spread, so that none waits in
/// silence for a place on a connection that is full.
#[derive(Debug)]
pub(super) struct Connections {
    endpoint: Endpoint,
    connect_timeout: Duration,
    streams_max: usize,
    calls: Mutex<Trusted>,
    streams: Mutex<Streams>,
    /// For streams of writes: an answer must not wait behind the bytes of a watch that is not read. Made with the first.
    writes: OnceLock<Channel>,
}

/// The connection that calls are made on, and the how-manieth it is.
#[derive(Debug)]
struct Trusted {
    channel: Channel,
    generation: u64,
}

#[derive(Debug, Default)]
struct Streams {
    open: Vec<Shared>,
    ids: u64,
}

/// A connection that streams share.
#[derive(Debug)]
struct Shared {
    id: u64,
    channel: Channel,
    streams: usize,
    /// Something on it went unanswered: what is on it stays, and nothing new comes.
    suspect: bool,
}

/// A place on a connection for streams, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub channel: Channel,
    id: u64,
    connections: Arc<Connections>,
}

impl Connections {
    pub async fn connect(endpoint: &Endpoint, options: &Options) -> Result<Self, Error> {
        let transport = transport(endpoint, options.connect_timeout, Purpose::Calls);
        let connected = match endpoint.address() {
            Address::Tcp(_) => transport.connect_with_connector(tcp(options.connect_timeout)).await,
            Address::Unix(path) => transport.connect_with_connector(unix(path)).await,
            Address::Through(way) => transport.connect_with_connector(through(way)).await,
        };
        let channel = connected.map_err(|error| Error::connect(endpoint, &error))?;
        Ok(Self {
            endpoint: endpoint.clone(),
            connect_timeout: options.connect_timeout,
            streams_max: options.streams_per_connection.max(1),
            calls: Mutex::new(Trusted { channel, generation: 0 }),
            streams: Mutex::default(),
            writes: OnceLock::new(),
        })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The connection for calls, and what to call it if it disappoints.
    pub fn calls(&self) -> (Channel, u64) {
        let calls = locked(&self.calls);
        (calls.channel.clone(), calls.generation)
    }

    /// A call on this connection got no answer: the next ones are made on another. Those under way stay.
    pub fn distrust_calls(&self, generation: u64) {
        let mut calls = locked(&self.calls);
        if calls.generation == generation {
            *calls = Trusted { channel: self.open(Purpose::Calls), generation: generation + 1 };
        }
    }

    /// The connection for streams of writes.
    pub fn writes(&self) -> Channel {
        self.writes.get_or_init(|| self.open(Purpose::Streams)).clone()
    }

    /// A place for a stream, on a connection of its own if all others are full.
    pub fn place(self: &Arc<Self>) -> Place {
        let mut streams = locked(&self.streams);
        let free = |shared: &&mut Shared| !shared.suspect && shared.streams < self.streams_max;
        if let Some(shared) = streams.open.iter_mut().find(free) {
            shared.streams += 1;
            return Place { channel: shared.channel.clone(), id: shared.id, connections: Arc::clone(self) };
        }
        streams.ids += 1;
        let (id, channel) = (streams.ids, self.open(Purpose::Streams));
        streams.open.push(Shared { id, channel: channel.clone(), streams: 1, suspect: false });
        Place { channel, id, connections: Arc::clone(self) }
    }

    fn open(&self, purpose: Purpose) -> Channel {
        let transport = transport(&self.endpoint, self.connect_timeout, purpose);
        match self.endpoint.address() {
            Address::Tcp(_) => transport.connect_with_connector_lazy(tcp(self.connect_timeout)),
            Address::Unix(path) => transport.connect_with_connector_lazy(unix(path)),
            Address::Through(way) => transport.connect_with_connector_lazy(through(way)),
        }
    }

    /// How many connections there are for streams.
    #[cfg(test)]
    fn stream_connections(&self) -> usize {
        locked(&self.streams).open.len()
    }
}

impl Place {
    pub fn endpoint(&self) -> &Endpoint {
        &self.connections.endpoint
    }

    /// Something here got no answer: no other stream comes to this connection.
    pub fn distrust(&self) {
        let mut streams = locked(&self.connections.streams);
        if let Some(shared) = streams.open.iter_mut().find(|shared| shared.id == self.id) {
            shared.suspect = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = locked(&self.connections.streams);
        let Some(at) = streams.open.iter().position(|shared| shared.id == self.id) else { return };
        let shared = &mut streams.open[at];
        shared.streams -= 1;
        // One is kept for the next stream; the others end with their last.
        if shared.streams == 0 && (at > 0 || shared.suspect) {
            streams.open.remove(at);
        }
    }
}

#[derive(Clone, Copy)]
enum Purpose {
    Calls,
    Streams,
}

fn transport(endpoint: &Endpoint, connect_timeout: Duration, purpose: Purpose) -> tonic::transport::Endpoint {
    let uri = match endpoint.address() {
        Address::Tcp(uri) => uri.clone(),
        // Only the authority that HTTP/2 asks for: the connector knows the way.
        Address::Unix(_) | Address::Through(_) => Uri::from_static("http://localhost/"),
    };
    tonic::transport::Endpoint::from(uri)
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(matches!(purpose, Purpose::Streams))
}

fn unix(
    path: &std::path::Path,
) -> impl tower::Service<
    Uri,
    Response = TokioIo<Greeted<UnixStream>>,
    Error = std::io::Error,
    Future = impl Future<Output = std::io::Result<TokioIo<Greeted<UnixStream>>>> + Send,
> + Clone
+ Send
+ 'static {
    let path = path.to_owned();
    tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(|socket| TokioIo::new(Greeted::new(socket))) }
    })
}

/// A connection that came over a way of the caller's own.
type Brought = TokioIo<Greeted<Box<dyn Carrier>>>;

fn through(
    way: &Way,
) -> impl tower::Service<
    Uri,
    Response = Brought,
    Error = std::io::Error,
    Future = impl Future<Output = std::io::Result<Brought>> + Send,
> + Clone
+ Send
+ 'static {
    let connect = Arc::clone(&way.connect);
    tower::service_fn(move |_: Uri| {
        let connecting = connect();
        async move { Ok(TokioIo::new(Greeted::new(connecting.await?))) }
    })
}

/// As the transport does it by itself, which has no place for listening to the peer.
fn tcp(
    connect_timeout: Duration,
) -> impl tower::Service<
    Uri,
    Response = TokioIo<Greeted<TcpStream>>,
    Error = BoxError,
    Future = impl Future<Output = Result<TokioIo<Greeted<TcpStream>>, BoxError>> + Send,
> + Clone
+ Send
+ 'static {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_timeout));
    tower::service_fn(move |uri: Uri| {
        let connecting = connector.call(uri);
        async move { Ok(TokioIo::new(Greeted::new(connecting.await?.into_inner()))) }
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a holder that panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(streams_max: usize) -> Arc<Connections> {
        let endpoint: Endpoint = "127.0.0.1:9".parse().unwrap();
        let connect_timeout = Duration::from_secs(1);
        let channel = transport(&endpoint, connect_timeout, Purpose::Calls).connect_lazy();
        Arc::new(Connections {
            endpoint,
            connect_timeout,
            streams_max,
            calls: Mutex::new(Trusted { channel, generation: 0 }),
            streams: Mutex::default(),
            writes: OnceLock::new(),
        })
    }

    #[tokio::test]
    async fn streams_are_spread_over_connections_and_those_end_with_them() {
        let connections = connections(2);
        let mut places: Vec<_> = (0..5).map(|_| connections.place()).collect();
        assert_eq!(places.iter().map(|place| place.id).collect::<Vec<_>>(), [1, 1, 2, 2, 3]);
        drop(places.remove(0));
        assert_eq!(connections.place().id, 1, "a place that became free is taken again");
        drop(places);
        assert_eq!(connections.stream_connections(), 1, "one is kept");
    }

    #[tokio::test]
    async fn nothing_new_comes_to_a_connection_that_did_not_answer() {
        let connections = connections(100);
        let silent = connections.place();
        silent.distrust();
        let other = connections.place();
        assert_ne!(other.id, silent.id);
        drop(silent);
        assert_eq!((connections.stream_connections(), connections.place().id), (1, other.id));
    }

    #[tokio::test]
    async fn a_connection_for_calls_is_replaced_once_however_many_complain() {
        let connections = connections(1);
        let (_, generation) = connections.calls();
        connections.distrust_calls(generation);
        connections.distrust_calls(generation);
        assert_eq!(connections.calls().1, generation + 1);
    }
}
