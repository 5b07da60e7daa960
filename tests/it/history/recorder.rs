//! Writes down what clients ask and are answered, as it happens. Knows the Rust client, nothing of what is asked and why.

mod stream;

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use swarmem::{
    client::{Client, Code, Error, Origin, WriteStream},
    domain::swarm::{Revision, SwarmId},
    store::{self, LogCursor, PageLimit, Store},
    wire::{
        self,
        v1::{self, consistency::Level, watch_request},
    },
};
use tokio::time::Instant;

use self::stream::Inner;
pub use self::stream::{Over, Watching};

use super::{
    model,
    record::{
        At, Call, Entry, Event, Filter, Freshness, History, LogPart, Lost, Name, Outcome, Request, Start,
        Stream, Write,
    },
    wired,
};

/// A history in the making. Clones write into the same one.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    history: Mutex<History>,
    ticks: AtomicU64,
    ids: AtomicU64,
    /// Of the newest event that somebody was sent, in microseconds of swarm time.
    time_us: AtomicI64,
    began: Instant,
}

/// A client whose every call is written down.
#[derive(Clone)]
pub struct Recorded {
    pub recorder: Recorder,
    pub client: Client,
    /// Its name in the history.
    pub name: String,
    /// Which coordinator it asks.
    pub via: String,
}

impl Default for Recorder {
    fn default() -> Self {
        let (history, ticks, ids, time_us) = Default::default();
        Self(Arc::new(Shared { history, ticks, ids, time_us, began: Instant::now() }))
    }
}

impl Recorder {
    /// The moment now; no two are the same.
    pub fn now(&self) -> At {
        let us = u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        At { tick: self.0.ticks.fetch_add(1, Ordering::SeqCst) + 1, us }
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.0.history.lock().unwrap()
    }

    /// All that was recorded.
    pub fn finish(&self) -> History {
        std::mem::take(&mut *self.history())
    }

    pub fn client(&self, client: Client, name: &str, via: &str) -> Recorded {
        Recorded { recorder: self.clone(), client, name: name.to_owned(), via: via.to_owned() }
    }

    /// How far the log has been read.
    pub fn log_read(&self) -> u64 {
        self.history().log.iter().map(|part| part.head).max().unwrap_or_default()
    }

    /// The newest swarm time that somebody was told of.
    pub fn time_us(&self) -> i64 {
        self.0.time_us.load(Ordering::SeqCst)
    }

    fn id(&self) -> u64 {
        self.0.ids.fetch_add(1, Ordering::SeqCst)
    }

    /// Takes up what was added to the log, by the word of the store itself. To be called before the log is compacted.
    pub async fn read_store(&self, store: &dyn Store, swarm: &SwarmId) -> Result<(), store::Error> {
        let (start, after) = (self.now(), self.log_read());
        let all = PageLimit { rows: usize::MAX, bytes: usize::MAX };
        let page = store.log(swarm, LogCursor::after(Revision(after)), all).await?;
        let events = page.versions.iter().map(|version| model::event(version)).collect();
        self.history().log.push(LogPart { start, after, head: page.head.mark.revision.0, events });
        Ok(())
    }
}

impl Recorder {
    /// The store that was read so far, and that has no more to say than now, is gone since `at`; another went on from the revision
    /// `kept`. Who knows of that is not known yet.
    pub fn lose(&self, kept: u64, at: At) {
        let mut history = self.history();
        let log = std::mem::take(&mut history.log);
        history.log = log.iter().filter(|part| part.after <= kept).cloned().collect();
        for part in &mut history.log {
            part.head = part.head.min(kept);
            part.events.retain(|event| event.revision <= kept);
        }
        history.lost = Some(Lost { kept, log, at, known: At { tick: u64::MAX, us: u64::MAX } });
    }

    /// From now on every coordinator knows.
    pub fn loss_is_known(&self) {
        let known = self.now();
        self.history().lost.as_mut().expect("something was lost").known = known;
    }
}

/// A call that has begun. Dropped before it is answered, it may have been done.
struct Begun {
    recorded: Recorded,
    start: At,
    request: Option<Request>,
}

impl Begun {
    fn end(&mut self, outcome: Outcome) {
        let Some(request) = self.request.take() else { return };
        let Recorded { recorder, client, name, via } = &self.recorded;
        let call = Call {
            id: recorder.id(),
            client: name.clone(),
            agent: client.options().agent.clone(),
            via: via.clone(),
            start: self.start,
            end: recorder.now(),
            request,
            outcome,
        };
        recorder.history().calls.push(call);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.end(Outcome::Unknown { why: "the caller walked away".into() });
    }
}

impl Recorded {
    fn begin(&self, request: Request) -> Begun {
        Begun { recorded: self.clone(), start: self.recorder.now(), request: Some(request) }
    }

    /// Makes a write under its request id. May be dropped at any moment.
    pub async fn write(&self, write: &Write) -> Outcome {
        let mut begun = self.begin(Request::Write(write.clone()));
        let outcome = wired::write(&self.client, write).await.unwrap_or_else(|error| failed(&error));
        begun.end(outcome.clone());
        outcome
    }

    /// Sends a write on a stream, once there is room. Its answer may be dropped at any moment.
    pub async fn send(
        &self,
        stream: &WriteStream,
        write: &Write,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        let mut begun = self.begin(Request::Write(write.clone()));
        let sent = wired::send(stream, write).await;
        async move {
            let outcome = match sent {
                Ok(answer) => answer.await.unwrap_or_else(|error| failed(&error)),
                Err(error) => failed(&error),
            };
            begun.end(outcome.clone());
            outcome
        }
    }

    /// Reads some entries at one revision.
    pub async fn get(&self, names: &[Name], freshness: Freshness) -> Outcome {
        let consistency = consistency(&freshness);
        let mut begun = self.begin(Request::Get { names: names.to_vec(), freshness });
        let names = names.iter().map(wired::name).collect();
        let outcome = match self.client.batch_get(names, consistency).await {
            Ok(got) => Outcome::Read {
                revision: got.revision,
                token: got.token,
                entries: got.results.into_iter().map(|r| r.entry.map(wired::entry)).collect(),
            },
            Err(error) => failed(&error),
        };
        begun.end(outcome.clone());
        outcome
    }

    /// Lists all pages at one revision. `filter.reader` must be who the client is.
    pub async fn list(&self, filter: &Filter, freshness: Freshness) -> Outcome {
        let consistency = consistency(&freshness);
        let mut begun = self.begin(Request::List { filter: filter.clone(), freshness });
        let outcome = self.pages(filter, consistency).await.unwrap_or_else(|error| failed(&error));
        begun.end(outcome.clone());
        outcome
    }

    async fn pages(&self, filter: &Filter, consistency: Option<v1::Consistency>) -> Result<Outcome, Error> {
        let filter = Some(wired::filter(filter));
        let mut request = v1::ListRequest { filter, consistency, ..Default::default() };
        let mut entries = Vec::new();
        loop {
            let page = self.client.list(request.clone()).await?;
            entries.extend(page.entries.into_iter().map(|entry| Some(wired::entry(entry))));
            if page.next_page_token.is_empty() {
                return Ok(Outcome::Read { revision: page.revision, token: page.token, entries });
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Opens a watch that comes back by itself.
    pub async fn watch(&self, start: Start, filter: &Filter, bookmarks: Duration) -> Watching {
        let mut watching = self.opening(start.clone(), filter);
        match self.client.watch(watch_request(&start, filter, bookmarks)).await {
            Ok(watch) => watching.receive(Inner::Lasting(Box::new(watch))),
            Err(error) => watching.end(&error),
        }
        watching
    }

    /// Opens a watch that ends with its connection.
    pub async fn watch_once(&self, start: Start, filter: &Filter, bookmarks: Duration) -> Watching {
        let mut watching = self.opening(start.clone(), filter);
        match self.client.watch_once(watch_request(&start, filter, bookmarks)).await {
            Ok(watch) => watching.receive(Inner::Once(Box::new(watch))),
            Err(error) => watching.end(&error),
        }
        watching
    }

    fn opening(&self, start: Start, filter: &Filter) -> Watching {
        let opened = self.recorder.now();
        let mut history = self.recorder.history();
        let stream = history.streams.len();
        history.streams.push(Stream {
            id: stream as u64,
            watcher: self.name.clone(),
            via: self.via.clone(),
            filter: filter.clone(),
            start,
            opened,
            steps: Vec::new(),
        });
        drop(history);
        Watching::new(self.recorder.clone(), stream)
    }

    /// Takes up what was added to the log, as a watcher sees it.
    pub async fn read_log(&self) -> Result<(), Error> {
        let (start, after) = (self.recorder.now(), self.recorder.log_read());
        let head = self.client.get_swarm().await?.swarm.unwrap_or_default().revision;
        let mut events: Vec<Event> = Vec::new();
        if head > after {
            let start = Start::Revision(after + 1);
            let request = watch_request(&start, &Filter::everything(), Duration::from_secs(1));
            let mut watch = self.client.watch(request).await?;
            while let Some(response) = watch.next().await? {
                events.extend(response.decode_events()?.into_iter().map(wired::event));
                if response.revision >= head && !response.fragment {
                    break;
                }
            }
        }
        events.retain(|event| event.revision <= head);
        self.recorder.history().log.push(LogPart { start, after, head, events });
        Ok(())
    }
}

fn watch_request(start: &Start, filter: &Filter, bookmarks: Duration) -> v1::WatchRequest {
    let start = match start {
        Start::Now => None,
        Start::Token(token) => Some(watch_request::Start::Token(token.clone())),
        Start::Revision(revision) => Some(watch_request::Start::Revision(*revision)),
        Start::Time(us) => Some(watch_request::Start::Time(wire::Timestamp {
            seconds: us.div_euclid(1_000_000),
            nanos: i32::try_from(us.rem_euclid(1_000_000) * 1_000).unwrap(),
        })),
        Start::Snapshot => Some(watch_request::Start::Snapshot(true)),
    };
    let filter = Some(wired::filter(filter));
    v1::WatchRequest { filter, start, bookmark_interval: bookmarks.try_into().ok(), ..Default::default() }
}

fn consistency(freshness: &Freshness) -> Option<v1::Consistency> {
    let of = |level: Level, token: &str, revision| {
        Some(v1::Consistency { level: level.into(), token: token.to_owned(), revision })
    };
    match freshness {
        Freshness::Strong => of(Level::Strong, "", 0),
        Freshness::AtLeast(token) => of(Level::AtLeast, token, 0),
        Freshness::Stale => of(Level::StaleOk, "", 0),
        Freshness::Exact(revision) => of(Level::Unspecified, "", *revision),
    }
}

/// What an error says of the call.
fn failed(error: &Error) -> Outcome {
    let why = format!("{:?}: {error}", error.code());
    match error {
        Error::Connect { .. } | Error::NotACoordinator { .. } => Outcome::Failed { why },
        Error::OutcomeUnknown { .. } | Error::Protocol(_) => Outcome::Unknown { why },
        Error::Refused(refusal) => match (&refusal.origin, &refusal.reason, refusal.code) {
            (Origin::Connection, ..) | (_, None, _) | (_, _, Code::Unknown) => Outcome::Unknown { why },
            (_, _, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => {
                Outcome::Failed { why }
            }
            (_, Some(reason), _) => Outcome::Refused { reason: reason.clone(), current: None },
        },
    }
}

/// The entries of a reading, if it was one.
pub fn entries(outcome: &Outcome) -> Option<Vec<Entry>> {
    match outcome {
        Outcome::Read { entries, .. } => Some(entries.iter().flatten().cloned().collect()),
        _ => None,
    }
}
