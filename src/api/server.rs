//! Listening on sockets that are already bound, until the coordinator shuts down. Knows how many connections there may
//! be, not what is said on them.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    time::sleep,
};
use tonic::service::Routes;

use super::connection::{self, Answers};
use crate::{
    coordinator::{Budget, Scarce},
    lifecycle::Lifecycle,
    metrics::Metrics,
};

/// Connections beyond the bound that are told so, at once; still further ones are closed without a word.
const REFUSED_AT_ONCE_MAX: usize = 64;
/// How long to wait when the system has no connection to give, as when the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections and calls may take.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Connections at once.
    pub connections_max: usize,
    /// Open calls and streams of one connection.
    pub streams_max: u32,
    /// Bytes that a peer may send on a stream before they are read.
    pub stream_window_bytes: u32,
    /// Bytes that a peer may send on a connection before they are read.
    pub connection_window_bytes: u32,
    /// Bytes of the largest frame.
    pub frame_bytes_max: u32,
    /// Bytes of a call's headers, with 32 for each.
    pub header_bytes_max: u32,
    /// Bytes that are encoded ahead for a stream.
    pub send_buffer_bytes_max: usize,
    /// Bytes that are encoded ahead for all streams of a connection.
    pub unsent_bytes_max: usize,
    /// Bytes of requests and answers of one connection.
    pub connection_in_flight_bytes_max: usize,
    /// A call without a deadline gets this one; a longer one is cut to it.
    pub request_timeout: Duration,
    /// How long a peer may take for its first words.
    pub handshake_timeout: Duration,
    /// After how long without a call a connection is asked to go.
    pub idle_timeout: Duration,
    /// After how long a silent peer is asked whether it is there.
    pub keepalive_interval: Duration,
    /// How long it has to answer.
    pub keepalive_timeout: Duration,
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// What all listeners share. Clones share it, too.
#[derive(Clone)]
pub struct Server {
    routes: Routes,
    transport: Transport,
    in_flight: Budget,
    connections: Budget,
    refused: Budget,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
}

impl Server {
    /// Serves `routes`. `in_flight` bounds the bytes of requests and answers over all connections.
    #[must_use]
    pub fn new(
        routes: Routes,
        transport: Transport,
        in_flight: Budget,
        metrics: Arc<Metrics>,
        lifecycle: Lifecycle,
    ) -> Self {
        let connections = Budget::new(Scarce::Connections, transport.connections_max);
        let refused = Budget::new(Scarce::Connections, REFUSED_AT_ONCE_MAX);
        Self { routes: routes.prepare(), transport, in_flight, connections, refused, metrics, lifecycle }
    }

    /// Takes connections until the soft cancellation. Each goes on in a task of its own, until every call on it is
    /// answered.
    pub async fn serve(self, listener: Listener) {
        let soft = self.lifecycle.soft.clone();
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = soft.cancelled() => return,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok(()) => is_failing = false,
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(%error, "no connection can be taken; trying again and again");
                    }
                    is_failing = true;
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, listener: &Listener) -> io::Result<()> {
        match listener {
            Listener::Tcp(tcp) => {
                let (socket, _) = tcp.accept().await?;
                // An answer does not wait for the next one to fill a packet.
                socket.set_nodelay(true)?;
                self.connect(socket);
            }
            Listener::Unix(unix) => self.connect(unix.accept().await?.0),
        }
        Ok(())
    }

    /// Serves one connection over anything that carries bytes, in a task of its own; beyond the bound of connections every
    /// call on it is refused.
    pub fn connect<S>(&self, socket: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (permit, answers) = match self.connections.take(1) {
            Ok(permit) => {
                let bytes_max = self.transport.connection_in_flight_bytes_max;
                let share = self.in_flight.share(Scarce::BytesOfConnection, bytes_max);
                (permit, Answers::Services(self.routes.clone(), share, Arc::clone(&self.metrics)))
            }
            Err(error) => {
                tracing::debug!(max = self.transport.connections_max, "a connection too many");
                let Ok(permit) = self.refused.take(1) else { return };
                (permit, Answers::Refusal(error, Arc::clone(&self.metrics)))
            }
        };
        let soft = self.lifecycle.soft.clone();
        let connection = connection::serve(socket, answers, self.transport.clone(), soft);
        let hard = self.lifecycle.hard.clone();
        self.lifecycle.tasks.spawn(async move {
            // Dropped, a connection closes, and with it everything that is open on it.
            hard.run_until_cancelled(connection).await;
            drop(permit);
        });
    }
}

/// Whether one peer failed, and not the listener.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted
            | K::ConnectionReset
            | K::BrokenPipe
            | K::Interrupted
            | K::InvalidInput
            | K::NotConnected
    )
}
