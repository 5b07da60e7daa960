//! The section `transport`. Knows what a connection may take, not how one is served.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Origin},
    limits::Limits,
    setting::{Allowed, Section},
};

/// What connections may take. Beyond a bound a call is refused with RESOURCE_EXHAUSTED and told when to try again; it
/// never waits without end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Transport {
    /// Connections at once. Calls on further ones are refused. Each takes a file descriptor and, idle, some 20 KiB.
    pub connections_max: usize,
    /// Calls and streams that one connection may have open. Enough for every agent of a host to share one; a client
    /// that wants more has to wait.
    pub streams_max: u32,
    /// What a client may send on one stream before it is read. The largest entry fits, so one put needs no second round
    /// trip.
    pub stream_window_bytes: u32,
    /// What a client may send on one connection before it is read: the most that it can make the coordinator hold
    /// unread. Two of the largest entries and hundreds of small ones fit.
    pub connection_window_bytes: u32,
    /// The largest HTTP/2 frame that is taken. Larger ones make small calls wait behind large ones.
    pub frame_bytes_max: u32,
    /// The headers of a call, names and values and 32 bytes for each. What swarmem reads of them takes less than 1 KiB;
    /// the rest is for proxies and tracing.
    pub header_bytes_max: u32,
    /// What is encoded ahead for one stream that its client has not yet read.
    pub send_buffer_bytes_max: usize,
    /// What is encoded ahead for all watch streams of one connection. A connection that reads nothing costs this, and
    /// one response more.
    pub unsent_bytes_max: usize,
    /// Bytes of requests and answers that the coordinator holds at once, over all connections and swarms, with 4 KiB for
    /// each open call. The main bound on its memory. 0: a quarter of what the process's control groups allow it, and 256 MiB
    /// where they do not limit it.
    pub in_flight_bytes_max: usize,
    /// How much of that one connection may take.
    pub connection_in_flight_bytes_max: usize,
    /// How long a new connection may take for its first words of HTTP/2.
    pub handshake_timeout_ms: u64,
    /// A connection on which nothing was open for so long, or up to twice as long, is asked to go. Clients connect again
    /// when they need to.
    pub idle_timeout_ms: u64,
    /// A peer that was silent for so long is asked whether it is there.
    pub keepalive_interval_ms: u64,
    /// A peer that does not answer within this is gone; its calls and streams end.
    pub keepalive_timeout_ms: u64,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            streams_max: 1000,
            stream_window_bytes: 512 << 10,
            connection_window_bytes: 1 << 20,
            frame_bytes_max: 16 << 10,
            header_bytes_max: 16 << 10,
            send_buffer_bytes_max: 64 << 10,
            unsent_bytes_max: 4 << 20,
            in_flight_bytes_max: 0,
            connection_in_flight_bytes_max: 64 << 20,
            handshake_timeout_ms: 5000,
            idle_timeout_ms: 900_000,
            keepalive_interval_ms: 30_000,
            keepalive_timeout_ms: 20_000,
        }
    }
}

/// The largest window that HTTP/2 knows.
const WINDOW_MAX: u64 = (1 << 31) - 1;
/// What a call counts for, beside its bytes; and the largest answer.
const CALL_BYTES: usize = 4 << 10;
const ANSWER_BYTES: usize = 4 << 20;

impl Section for Transport {
    const NAME: &'static str = "transport";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("connections_max", Allowed::Integer(1, 1_000_000)),
        ("streams_max", Allowed::Integer(1, 1_000_000)),
        // The least that every client may assume.
        ("stream_window_bytes", Allowed::Integer(65_535, WINDOW_MAX)),
        ("connection_window_bytes", Allowed::Integer(65_535, WINDOW_MAX)),
        // The bounds are those of HTTP/2.
        ("frame_bytes_max", Allowed::Integer(16_384, 16_777_215)),
        ("header_bytes_max", Allowed::Integer(1024, 1 << 20)),
        ("send_buffer_bytes_max", Allowed::Integer(1024, 1 << 30)),
        ("unsent_bytes_max", Allowed::Integer(1024, 1 << 40)),
        ("in_flight_bytes_max", Allowed::Integer(0, 1 << 40)),
        ("connection_in_flight_bytes_max", Allowed::Integer(1024, 1 << 40)),
        ("handshake_timeout_ms", Allowed::Integer(10, 3_600_000)),
        ("idle_timeout_ms", Allowed::Integer(10, 86_400_000)),
        ("keepalive_interval_ms", Allowed::Integer(10, 86_400_000)),
        ("keepalive_timeout_ms", Allowed::Integer(10, 3_600_000)),
    ];
}

impl Transport {
    pub(super) fn check(&self, limits: &Limits, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        let conflict = |key: &str, value: usize, conflict: String| {
            let name = format!("transport.{key}");
            Err(Error::Conflict { value: value.to_string(), origin: origin(&name), name, conflict })
        };
        let (all, one) = (self.in_flight_bytes_max, self.connection_in_flight_bytes_max);
        // A request is counted as it comes in, and once more while it waits for its commit.
        let largest =
            CALL_BYTES + (2 * limits.request_bytes_max).max(limits.request_bytes_max + ANSWER_BYTES);
        if one < largest {
            let problem = format!("the largest call takes {largest}, and would never be served; raise it");
            return conflict("connection_in_flight_bytes_max", one, problem);
        }
        if all > 0 && all < one {
            let problem = format!("less than transport.connection_in_flight_bytes_max = {one}; raise it");
            return conflict("in_flight_bytes_max", all, problem);
        }
        Ok(())
    }
}
