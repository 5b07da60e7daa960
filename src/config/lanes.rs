//! The section `lanes`. Does not know how a lane works.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Origin},
    limits::Limits,
    setting::{Allowed, Section},
};

/// How writes are gathered into commits. Every swarm that is written to has one lane; its commits follow one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Lanes {
    /// At most so many requests go into one commit.
    pub batch_requests_max: usize,
    /// At most so much goes into one commit. A request that alone is larger has a commit of its own.
    pub batch_bytes_max: usize,
    /// At most so much is loaded for one commit, counting 256 KiB for every content that a request has to see. A
    /// transaction that alone needs more, 48 MiB at most, has a commit of its own.
    pub batch_load_bytes_max: usize,
    /// At most so many requests wait in one lane; beyond that they are refused with RESOURCE_EXHAUSTED.
    pub queue_requests_max: usize,
    /// At most so much waits in one lane. Not less than limits.request_bytes_max.
    pub queue_bytes_max: usize,
    /// One stream of writes has at most so many of them unanswered; beyond that it is not read from.
    pub stream_requests_max: usize,
    /// One stream of writes has at most about so much of them unanswered; beyond that it is not read from.
    pub stream_bytes_max: usize,
    /// A lane that has had nothing to do for so long is ended; the next write starts it again.
    pub idle_ms: u64,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            batch_requests_max: 1024,
            batch_bytes_max: 8 << 20,
            batch_load_bytes_max: 64 << 20,
            queue_requests_max: 10_000,
            queue_bytes_max: 64 << 20,
            stream_requests_max: 1024,
            stream_bytes_max: 4 << 20,
            idle_ms: 60_000,
        }
    }
}

impl Section for Lanes {
    const NAME: &'static str = "lanes";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("batch_requests_max", Allowed::Integer(1, 65_536)),
        ("batch_bytes_max", Allowed::Integer(1024, 256 << 20)),
        ("batch_load_bytes_max", Allowed::Integer(1024, 1 << 30)),
        ("queue_requests_max", Allowed::Integer(1, 1_000_000)),
        ("queue_bytes_max", Allowed::Integer(1024, 1 << 30)),
        ("stream_requests_max", Allowed::Integer(1, 65_536)),
        ("stream_bytes_max", Allowed::Integer(1024, 256 << 20)),
        ("idle_ms", Allowed::Integer(10, 86_400_000)),
    ];
}

impl Lanes {
    pub(super) fn check(&self, limits: &Limits, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        if self.queue_bytes_max >= limits.request_bytes_max {
            return Ok(());
        }
        Err(Error::Conflict {
            name: "lanes.queue_bytes_max".to_owned(),
            value: self.queue_bytes_max.to_string(),
            origin: origin("lanes.queue_bytes_max"),
            conflict: format!(
                "a request may be larger than the whole queue; raise it, or lower limits.request_bytes_max = {}",
                limits.request_bytes_max
            ),
        })
    }
}
