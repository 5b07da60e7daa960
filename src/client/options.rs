//! What a client is told about itself: who it is, how long it waits, how it comes back. Knows nothing of how that is done.

use std::{fmt, sync::Arc, time::Duration};

use super::{Backoff, Error, Role};

/// How fresh a read is for which the caller did not choose a consistency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// What the call defaults to: a read sees every write that anybody was acknowledged before it began.
    #[default]
    Strong,
    /// A read sees at least what this client and its clones have written, read and watched in the swarm. Any replica can
    /// answer it without asking another; what others wrote may take a moment to show. As long as the client knows of no
    /// state yet, its reads are strong.
    ReadYourWrites,
}

/// How calls that failed in passing are repeated. A call is repeated until its [`Options::call_timeout`] is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// The pauses; default 50 ms, doubling up to 2 s.
    pub backoff: Backoff,
    /// So many repeats may be made at once by a client and its clones; default 100. A call that never reached a coordinator
    /// is repeated without being counted.
    pub burst: u32,
    /// So many more each second; default 10. One more for ten calls that succeed.
    pub per_second: f64,
}

impl Default for Retry {
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };
        Self { backoff, burst: 100, per_second: 10.0 }
    }
}

/// Who the client is, which swarm it is for, how long it waits and how it comes back.
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
    /// How long one call may take with all its repeats, the opening of a watch included; default 10 s.
    pub call_timeout: Duration,
    /// How long one attempt of a call may take before it is made again on another connection; default 5 s. Opening a watch
    /// again, too.
    pub attempt_timeout: Duration,
    /// How calls are repeated; none: they are not.
    pub retry: Option<Retry>,
    /// The pauses before a watch comes back, for which there is no limit in number; default 50 ms, doubling up to 5 s.
    pub reconnect: Backoff,
    /// How often an idle watch hears from its coordinator unless its request says otherwise; default 10 s, 100 ms to 1 h.
    /// One that hears nothing for three times so long counts as dead and comes back,
    pub bookmark_interval: Duration,
    /// but it is given at least so much time; default 5 s.
    pub silence_min: Duration,
    /// So many watches share a connection before another is made; default 100, what RFC 9113 asks every server to take.
    pub streams_per_connection: usize,
    /// How fresh reads are; default strong.
    pub reads: ReadMode,
    /// Is told of every repeat of a call before it is made; default nobody.
    pub on_repeat: Option<OnRepeat>,
}

/// A call is about to be repeated.
#[derive(Debug)]
pub struct Repeat<'a> {
    /// Why.
    pub error: &'a Error,
    /// How long the call will have taken by then.
    pub passed: Duration,
    /// How much longer it is then repeated.
    pub left: Duration,
}

/// Whoever is told of repeats. It must not block.
#[derive(Clone)]
pub struct OnRepeat(Arc<dyn Fn(&Repeat<'_>) + Send + Sync>);

impl OnRepeat {
    /// Calls this.
    pub fn new(tell: impl Fn(&Repeat<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn tell(&self, repeat: &Repeat<'_>) {
        (self.0)(repeat);
    }
}

impl fmt::Debug for OnRepeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRepeat(..)")
    }
}

impl Options {
    /// The defaults.
    pub fn new(swarm: impl Into<String>, agent: impl Into<String>, role: Role) -> Self {
        Self {
            swarm: swarm.into(),
            agent: agent.into(),
            role,
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(5),
            retry: Some(Retry::default()),
            reconnect: Backoff { first: Duration::from_millis(50), max: Duration::from_secs(5) },
            bookmark_interval: Duration::from_secs(10),
            silence_min: Duration::from_secs(5),
            streams_per_connection: 100,
            reads: ReadMode::default(),
            on_repeat: None,
        }
    }
}
