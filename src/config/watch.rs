//! The section `watch`. Does not know how a stream works.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::setting::{Allowed, Section};

/// How changes reach watchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Watch streams open at once, over all connections and swarms. Further ones are refused with RESOURCE_EXHAUSTED. An
    /// idle one takes some 10 KiB.
    pub streams_max: usize,
    /// At most so many recent events of a swarm are held in memory; a stream behind them reads from the store.
    pub ring_events_max: usize,
    /// At most so much of a swarm's recent events is held in memory.
    pub ring_bytes_max: usize,
    /// A response is closed once it holds so much. The events of one revision that need more come as fragments.
    pub response_bytes_max: usize,
    /// How often the store is asked for revisions that no notification told of: the longest delay of an event when
    /// notifications are lost.
    pub poll_interval_ms: u64,
    /// The same while the bus is down, if that is less.
    pub poll_interval_bus_down_ms: u64,
    /// How many swarms at once have what was missed read from the store, and how many watches at once are opened; further
    /// ones wait for their turn.
    pub backfills_max: usize,
    /// How often an idle stream gets a bookmark, unless its request says otherwise.
    pub bookmark_interval_ms: u64,
    /// A stream whose transport has accepted nothing for so long, with data pending, is closed with RESOURCE_EXHAUSTED.
    pub slow_consumer_ms: u64,
    /// How long a swarm's recent events stay in memory after its last stream has ended.
    pub feed_idle_ms: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            streams_max: 16_384,
            ring_events_max: 4096,
            ring_bytes_max: 8 << 20,
            response_bytes_max: 1 << 20,
            poll_interval_ms: 1000,
            poll_interval_bus_down_ms: 200,
            backfills_max: 8,
            bookmark_interval_ms: 10_000,
            slow_consumer_ms: 300_000,
            feed_idle_ms: 30_000,
        }
    }
}

impl Section for Watch {
    const NAME: &'static str = "watch";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("streams_max", Allowed::Integer(1, 1_000_000)),
        ("ring_events_max", Allowed::Integer(1, 1 << 20)),
        ("ring_bytes_max", Allowed::Integer(1024, 1 << 30)),
        // gRPC clients refuse messages over 4 MiB unless they are told otherwise.
        ("response_bytes_max", Allowed::Integer(1024, 3 << 20)),
        ("poll_interval_ms", Allowed::Integer(10, 60_000)),
        ("poll_interval_bus_down_ms", Allowed::Integer(10, 60_000)),
        ("backfills_max", Allowed::Integer(1, 1024)),
        ("bookmark_interval_ms", Allowed::Integer(100, 3_600_000)),
        ("slow_consumer_ms", Allowed::Integer(100, 86_400_000)),
        ("feed_idle_ms", Allowed::Integer(10, 86_400_000)),
    ];
}
