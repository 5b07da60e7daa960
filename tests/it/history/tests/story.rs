//! A small history that keeps every promise, for tests to spoil. Knows no rule.

use super::super::{
    log::Log,
    model::{self, Decided},
    record::*,
    rules::Findings,
};

/// A history in the making, of a swarm in which everything goes well.
pub struct Story {
    pub history: History,
    tick: u64,
    pub time_us: i64,
}

pub fn name(key: &str) -> Name {
    Name { namespace: "shared/a".into(), key: key.into() }
}

pub fn put(key: &str, content: &str, only: Condition) -> Operation {
    Operation::Put { name: name(key), content: content.into(), tags: Vec::new(), ttl_us: None, only }
}

pub fn delete(key: &str, only: Condition) -> Operation {
    Operation::Delete { name: name(key), only }
}

pub fn write(request_id: &str, success: Vec<Operation>) -> Write {
    let (compares, failure) = (Vec::new(), Vec::new());
    Write { request_id: request_id.into(), kind: Kind::Transact, compares, success, failure }
}

impl Story {
    pub fn new() -> Self {
        let part = LogPart { start: At::default(), after: 0, head: 0, events: Vec::new() };
        let history = History { log: vec![part], ..History::default() };
        Self { history, tick: 0, time_us: 1_000 }
    }

    pub fn now(&mut self) -> At {
        self.tick += 10;
        At { tick: self.tick, us: self.tick }
    }

    pub fn log(&self) -> Log {
        Log::of(&self.history, &mut Findings::default())
    }

    pub fn head(&self) -> u64 {
        self.history.log[0].head
    }

    /// What stands in the log as this revision, and the state behind it.
    pub fn append(&mut self, events: Vec<Event>) {
        self.history.log[0].head += 1;
        self.history.log[0].events.extend(events);
    }

    /// The token of a state: where the store has lost something, another than before.
    fn token(&self, revision: u64) -> String {
        match self.history.lost {
            Some(_) => format!("second token {revision}"),
            None => format!("token {revision}"),
        }
    }

    /// The store goes on from this revision; every coordinator knows at once.
    pub fn lose(&mut self, kept: u64) {
        let (at, known) = (self.now(), self.now());
        let log = self.history.log.clone();
        let part = &mut self.history.log[0];
        part.head = kept;
        part.events.retain(|event| event.revision <= kept);
        self.history.lost = Some(Lost { kept, log, at, known });
    }

    fn decide(&mut self, agent: &str, write: &Write) -> (Outcome, Vec<Event>) {
        self.time_us += 1_000;
        match model::decide(&self.log(), self.head(), self.time_us, agent, write) {
            Decided::Done { events, succeeded, results } => {
                let revision = (!events.is_empty()).then_some(self.head() + 1);
                let state = revision.unwrap_or(self.head());
                let token = self.token(state);
                (Outcome::Done { revision, state, token, succeeded, results }, events)
            }
            Decided::Refused { current } => {
                (Outcome::Refused { reason: "CONDITION_FAILED".into(), current }, Vec::new())
            }
            Decided::Invalid(why) => panic!("{why}"),
        }
    }

    fn record(&mut self, agent: &str, start: At, request: Request, outcome: Outcome) -> usize {
        let (end, id) = (self.now(), self.history.calls.len() as u64);
        let (client, agent, via) = (agent.to_owned(), agent.to_owned(), "one".to_owned());
        self.history.calls.push(Call { id, client, agent, via, start, end, request, outcome });
        self.history.calls.len() - 1
    }

    /// A write that is done and answered. Says where the call stands.
    pub fn done(&mut self, agent: &str, write: Write) -> usize {
        let start = self.now();
        let (outcome, events) = self.decide(agent, &write);
        if !events.is_empty() {
            self.append(events);
        }
        self.record(agent, start, Request::Write(write), outcome)
    }

    /// A write that is done, and of which nobody hears.
    pub fn unheard(&mut self, agent: &str, write: Write) -> usize {
        let index = self.done(agent, write);
        self.history.calls[index].outcome = Outcome::Unknown { why: "lost".into() };
        index
    }

    /// A write that is not done, with this outcome.
    pub fn undone(&mut self, agent: &str, write: Write, outcome: Outcome) -> usize {
        let start = self.now();
        self.record(agent, start, Request::Write(write), outcome)
    }

    /// An entry's time runs out.
    pub fn expire(&mut self, key: &str) {
        self.time_us += 1_000_000;
        let (head, before) = (self.head(), self.log().current(&name(key), self.head()).unwrap().clone());
        let revision = head + 1;
        let mark = swarmem::domain::swarm::Mark {
            revision: swarmem::domain::swarm::Revision(revision),
            ..Default::default()
        };
        let etag = swarmem::domain::entry::Etag(mark).encode();
        let entry = Entry { content: String::new(), revision, etag, expire_us: None, ..before.entry };
        let (change, cause, time_us) = (Change::Delete, Cause::Expiry, self.time_us);
        self.append(vec![Event { revision, ordinal: 0, change, cause, time_us, entry }]);
    }

    pub fn get(&mut self, keys: &[&str], freshness: Freshness) -> usize {
        let (start, revision) = (self.now(), self.head());
        let names: Vec<_> = keys.iter().map(|key| name(key)).collect();
        let log = self.log();
        let entries = names.iter().map(|name| Some(log.current(name, revision)?.entry.clone())).collect();
        let token = self.token(revision);
        let request = Request::Get { names, freshness };
        self.record("reader", start, request, Outcome::Read { revision, token, entries })
    }

    pub fn list(&mut self) -> usize {
        let (start, revision, filter) = (self.now(), self.head(), Filter::everything());
        let entries = self.log().state(revision, &filter).iter().map(|e| Some(e.entry.clone())).collect();
        let token = self.token(revision);
        let request = Request::List { filter, freshness: Freshness::Strong };
        self.record("reader", start, request, Outcome::Read { revision, token, entries })
    }

    /// A stream that is open from now on.
    pub fn open(&mut self, watcher: &str, start: Start, filter: Filter) -> usize {
        let (opened, id) = (self.now(), self.history.streams.len() as u64);
        let (watcher, via) = (watcher.to_owned(), "one".to_owned());
        self.history.streams.push(Stream { id, watcher, via, filter, start, opened, steps: Vec::new() });
        id as usize
    }

    pub fn step(&mut self, stream: usize, what: What) {
        let at = self.now();
        self.history.streams[stream].steps.push(Step { at, what });
    }

    pub fn bookmark(&mut self, stream: usize, revision: u64) {
        let token = format!("{stream} {revision}");
        self.step(stream, What::Bookmark { revision, token });
    }

    pub fn snapshot(&mut self, stream: usize) {
        let revision = self.head();
        let filter = self.history.streams[stream].filter.clone();
        let entries: Vec<_> = self.log().state(revision, &filter).iter().map(|e| e.entry.clone()).collect();
        for part in entries.chunks(2) {
            let token = format!("{stream} at {revision}: {}", part.last().unwrap().name.key);
            self.step(stream, What::Snapshot { entries: part.to_vec(), revision, token });
        }
        self.step(stream, What::SnapshotEnd { revision, token: format!("{stream} {revision}") });
    }

    /// Everything behind `after`, each revision in a response; one of two events in two fragments.
    pub fn follow(&mut self, stream: usize, after: u64) {
        let filter = self.history.streams[stream].filter.clone();
        for revision in after + 1..=self.head() {
            let mut events = self.log().revision(revision).to_vec();
            events.retain(|event| filter.takes(&event.entry));
            let last = events.pop();
            if !events.is_empty() {
                let token = format!("{stream} {:?}", events.last().unwrap().place());
                self.step(stream, What::Events { events, fragment: true, revision: revision - 1, token });
            }
            if let Some(last) = last {
                let token = format!("{stream} {revision}");
                self.step(stream, What::Events { events: vec![last], fragment: false, revision, token });
            }
        }
        self.bookmark(stream, self.head());
    }

    pub fn end(&mut self, floor: u64, watching: &[&str]) {
        let head = self.head();
        let state = self.log().state(head, &Filter::everything()).iter().map(|e| e.entry.clone()).collect();
        let watching = watching.iter().map(|&name| name.to_owned()).collect();
        self.history.end = Some(End { head, floor, entries: state, watching });
    }
}

/// Where things stand in [`good`].
pub struct Places {
    /// Live, from the first revision.
    pub live: usize,
    /// A snapshot, and what followed.
    pub snapshot: usize,
    /// Left in the middle of a revision, and resumed.
    pub first: usize,
    pub resumed: usize,
    /// Both want the same version; the first gets it.
    pub winner: usize,
    pub loser: usize,
    /// Done and not heard of; then heard of.
    pub unknown: usize,
    pub again: usize,
    /// Failed, and was not done.
    pub failed: usize,
    pub transaction: usize,
    pub strong: usize,
    pub at_token: usize,
    pub exact: usize,
    pub list: usize,
}

pub fn etag_of(story: &Story, key: &str) -> String {
    story.log().current(&name(key), story.head()).unwrap().entry.etag.clone()
}

/// Some of everything.
pub fn good() -> (Story, Places) {
    let mut story = Story::new();
    let live = story.open("live", Start::Now, Filter::everything());
    story.bookmark(live, 0);
    story.done("ann", write("1", vec![put("a", "1a", Condition::Always)]));
    story.done("bob", write("2", vec![put("b", "2b", Condition::Absent)]));
    story.done("ann", write("3", vec![put("a", "3a", Condition::Exists), put("c", "3c", Condition::Always)]));
    let etag = etag_of(&story, "b");
    story.done("bob", write("4", vec![delete("b", Condition::Etag(etag))]));
    let mut short = put("t", "5t", Condition::Always);
    if let Operation::Put { ttl_us, tags, .. } = &mut short {
        (*ttl_us, *tags) = (Some(500_000), vec!["red".into()]);
    }
    story.done("ann", write("5", vec![short]));
    let snapshot = story.open("snapshot", Start::Snapshot, Filter::everything());
    story.snapshot(snapshot);
    story.expire("t");
    let etag = etag_of(&story, "a");
    let winner = story.done("ann", write("7", vec![put("a", "7a", Condition::Etag(etag.clone()))]));
    let loser = story.done("bob", write("7b", vec![put("a", "7b", Condition::Etag(etag))]));
    let unknown = story.unheard("ann", write("8", vec![put("d", "8d", Condition::Always)]));
    let again = story.undone(
        "ann",
        write("8", vec![put("d", "8d", Condition::Always)]),
        Outcome::Done {
            revision: Some(8),
            state: 8,
            token: "token 8".into(),
            succeeded: true,
            results: vec![Effect::Put { etag: etag_of(&story, "d"), version: 1 }],
        },
    );
    let lost = Outcome::Unknown { why: "lost".into() };
    story.undone("bob", write("8b", vec![put("d", "8b", Condition::Always)]), lost);
    let failed = Outcome::Failed { why: "down".into() };
    let failed = story.undone("bob", write("8c", vec![put("d", "8c", Condition::Always)]), failed);
    let mut transaction =
        write("9", vec![put("e", "9e", Condition::Always), Operation::Get { name: name("c") }]);
    transaction.compares =
        vec![Compare::Content(name("a"), "7a".into()), Compare::Below("shared/x".into(), false)];
    transaction.failure = vec![put("e", "9f", Condition::Always)];
    let transaction = story.done("ann", transaction);
    story.done("bob", write("10", vec![delete("nothing", Condition::Always)]));
    story.done("bob", write("11", vec![Operation::DeletePrefix { prefix: "shared/a".into() }]));
    story.done(
        "ann",
        write("12", vec![put("a", "12a", Condition::Absent), put("b", "12b", Condition::Absent)]),
    );
    let strong = story.get(&["a", "c"], Freshness::Strong);
    let at_token = story.get(&["b"], Freshness::AtLeast("token 9".into()));
    let exact = story.get(&["a"], Freshness::Exact(story.head()));
    let list = story.list();
    story.follow(live, 0);
    story.follow(snapshot, 5);
    let only_ann = Filter { authors: vec!["ann".into()], ..Filter::default() };
    let first = story.open("restless", Start::Revision(3), only_ann.clone());
    story.bookmark(first, 2);
    let (events, token) = (story.log().revision(3)[..1].to_vec(), "inside 3".to_owned());
    story.step(first, What::Events { events, fragment: true, revision: 2, token: token.clone() });
    story.step(first, What::Left);
    let resumed = story.open("restless", Start::Token(token), only_ann);
    let (events, token) = (story.log().revision(3)[1..].to_vec(), "3 3".to_owned());
    story.step(resumed, What::Events { events, fragment: false, revision: 3, token });
    story.follow(resumed, 3);
    let late = story.open("late", Start::Revision(1), Filter::everything());
    let reason = Some("COMPACTED".into());
    story.step(late, What::Ended { code: "OutOfRange".into(), reason, floor: Some(2) });
    story.end(2, &["live", "snapshot", "restless"]);
    let places = Places {
        live,
        snapshot,
        first,
        resumed,
        winner,
        loser,
        unknown,
        again,
        failed,
        transaction,
        strong,
        at_token,
        exact,
        list,
    };
    (story, places)
}
