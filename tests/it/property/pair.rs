//! Two stores that live through one history, and the questions that both are asked.

use std::{fmt::Debug, ops::RangeInclusive, sync::Arc, time::Duration};

use swarmem::{
    domain::{
        apply::Applied,
        entry::{Etag, Version},
        limits::Limits,
        namespace::{EntryPath, NamespaceRange},
        request::{Comparison, Condition, Idempotency, Operation, Request, RequestId, Test},
        swarm::{Head, Incarnation, Mark, Nonce, Revision, Swarm, SwarmId},
        time::{Clock as _, Expiry, ManualClock},
    },
    store::{
        At, Batch, Error, LogCursor, Page, PageLimit, Scan, Store,
        memory::MemoryStore,
        postgres::{PostgresOptions, PostgresStore},
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use uuid::Uuid;

use super::history::{Act, Ask, KEYS, NAMESPACES, Only, PREFIXES, Place, Probe, Step};
use crate::{
    conformance::requests::{agent, below, body, content, on, path, prefix},
    servers::postgres::Database,
};

/// What both stores answered, or the first difference.
type Checked = Result<(), String>;

struct Pair {
    reference: Arc<dyn Store>,
    subject: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    swarm: SwarmId,
    limits: Limits,
}

/// Lives through a history on SQLite and compares after every step.
pub async fn run_on_sqlite(steps: &[Step]) -> Checked {
    let clock = crate::conformance::clock();
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("swarmem.db"), clock.clone());
    run(steps, Arc::new(SqliteStore::open(options).await.unwrap()), clock).await
}

/// As [`run_on_sqlite`], on PostgreSQL.
pub async fn run_on_postgres(steps: &[Step], database: &Database) -> Checked {
    let clock = crate::conformance::clock();
    database.clear();
    let mut options = PostgresOptions::new(database.url());
    options.clock = Some(clock.clone());
    let store = Arc::new(PostgresStore::open(options).await.unwrap());
    let checked = run(steps, store.clone(), clock).await;
    store.close().await;
    checked
}

async fn run(steps: &[Step], subject: Arc<dyn Store>, clock: Arc<ManualClock>) -> Checked {
    let pair = Pair {
        reference: Arc::new(MemoryStore::new(clock.clone())),
        subject,
        clock,
        swarm: SwarmId::parse("a").unwrap(),
        limits: Limits { delete_prefix_max: 6, ..Limits::default() },
    };
    pair.create().await;
    for (at, step) in steps.iter().enumerate() {
        let located = |difference| format!("step {at}, {step:?}: {difference}");
        pair.step(step).await.map_err(located)?;
        pair.compare_swarms().await.map_err(located)?;
    }
    pair.compare_everything().await
}

impl Pair {
    fn stores(&self) -> [&Arc<dyn Store>; 2] {
        [&self.reference, &self.subject]
    }

    async fn create(&self) {
        for store in self.stores() {
            store.create_swarm(&self.swarm, crate::conformance::RETENTION).await.unwrap();
        }
        // The nonces of the creation differ; from the first commit on, both have the same.
        let first = vec![Operation::Put {
            path: path("shared/first", "k"),
            body: body("v"),
            expiry: None,
            condition: Condition::Always,
        }];
        let request = Request::write(agent("ann"), None, first, &self.limits).unwrap();
        self.commit(vec![request]).await.unwrap();
        for store in self.stores() {
            store.compact(&self.swarm, Revision(1), 10).await.unwrap();
        }
    }

    async fn step(&self, step: &Step) -> Checked {
        match step {
            Step::Commit(asks) => {
                let mut requests = Vec::new();
                for ask in asks {
                    requests.extend(self.request(ask).await);
                }
                self.commit(requests).await
            }
            Step::Advance(seconds) => {
                self.clock.advance(Duration::from_secs(*seconds));
                Ok(())
            }
            Step::JumpBack(seconds) => {
                self.clock.set(self.clock.now().minus(Duration::from_secs(*seconds)));
                Ok(())
            }
            Step::Compact { behind, rows_max, steps } => self.compact(*behind, *rows_max, *steps).await,
            Step::Purge { rows_max } => {
                for store in self.stores() {
                    while store.purge(self.clock.now(), *rows_max).await.unwrap() {}
                }
                Ok(())
            }
            Step::ExpireDue { limit } => {
                let due = self.reference.expired(&self.swarm, self.clock.now(), *limit).await.unwrap();
                let operations: Vec<_> = due.into_iter().map(|path| Operation::Expire { path }).collect();
                let request = Request::write(agent("swarmem"), None, operations, &self.limits);
                self.commit(request.into_iter().collect()).await
            }
            Step::Recreate => {
                for store in self.stores() {
                    store.delete_swarm(&self.swarm).await.unwrap();
                }
                self.create().await;
                Ok(())
            }
        }
    }

    async fn commit(&self, requests: Vec<Request>) -> Checked {
        let requests = requests.into_iter().map(Arc::new).collect();
        let batch = Batch::new(requests, Nonce(Uuid::new_v4().into_bytes()), self.limits);
        let reference = self.reference.commit(&self.swarm, &batch).await;
        let subject = self.subject.commit(&self.swarm, &batch).await;
        let changed = matches!(&reference, Ok(applied) if applied.commit.is_some());
        same("commit", reference.map(comparable), subject.map(comparable))?;
        let newest = self.reference.swarm(&self.swarm).await.unwrap().head.mark.revision;
        let before = Revision(newest.0.saturating_sub(1));
        let [reference, subject] =
            self.stores().map(|store| store.is_committed(&self.swarm, batch.nonce, before));
        let (reference, subject) = (reference.await.unwrap(), subject.await.unwrap());
        same("is_committed", (reference, changed), (subject, subject))
    }

    async fn compact(&self, behind: u64, rows_max: usize, steps: usize) -> Checked {
        let newest = self.reference.swarm(&self.swarm).await.unwrap().head.mark.revision.0;
        let floor = Revision(newest.saturating_sub(behind));
        for _ in 0..steps {
            let [reference, subject] = self.stores().map(|store| store.compact(&self.swarm, floor, rows_max));
            let (reference, subject) = (reference.await.unwrap(), subject.await.unwrap());
            same("floor", reference.floor, subject.floor)?;
        }
        // How far the steps came is each store's own affair; where they end is not.
        for store in self.stores() {
            while store.compact(&self.swarm, floor, rows_max).await.unwrap().more {}
        }
        let floor = floor.0;
        self.compare_reads(9, floor.saturating_sub(1)..=floor + 1).await
    }

    /// The request meant; none if its words contradict each other.
    async fn request(&self, ask: &Ask) -> Option<Request> {
        let id = |(id, digest)| Idempotency {
            id: RequestId::parse(&format!("id {id}")).unwrap(),
            digest: [digest; 16],
        };
        let compares = ask.compares.iter().map(|probe| match probe {
            Probe::There(at, there) => on_place(*at, Test::Exists(*there)),
            Probe::Content(at, text) => on_place(*at, content(Comparison::Lte, text)),
            Probe::Version(at, version) => on_place(*at, Test::Version(Comparison::Gte, *version)),
            Probe::NoneBelow(prefix) => below(prefix, Test::Exists(false)),
            Probe::OldBelow(prefix, revision) => below(prefix, Test::Revision(Comparison::Lt, *revision)),
        });
        let compares = compares.collect();
        let success = self.operations(&ask.success).await;
        let failure = self.operations(&ask.failure).await;
        Request::transaction(agent("ann"), ask.id.map(id), compares, success, failure, &self.limits).ok()
    }

    async fn operations(&self, acts: &[Act]) -> Vec<Operation> {
        let mut operations = Vec::new();
        for act in acts {
            operations.push(match act {
                Act::Put { at, content, ttl_seconds, only } => Operation::Put {
                    path: place(*at),
                    body: body(content),
                    expiry: ttl_seconds.map(|s| Expiry::after(Duration::from_secs(s)).unwrap()),
                    condition: self.condition(*at, *only).await,
                },
                Act::Delete { at, only } => {
                    Operation::Delete { path: place(*at), condition: self.condition(*at, *only).await }
                }
                Act::DeleteBelow { prefix: text, limit } => {
                    Operation::DeletePrefix { prefix: prefix(text), limit: *limit }
                }
                Act::Get { at } => Operation::Get { path: place(*at) },
                Act::Expire { at } => Operation::Expire { path: place(*at) },
            });
        }
        operations
    }

    async fn condition(&self, at: Place, only: Only) -> Condition {
        match only {
            Only::Always => Condition::Always,
            Only::IfAbsent => Condition::Absent,
            Only::IfThere => Condition::Exists,
            Only::IfEtag { versions_ago } => {
                let history = self.reference.history(&self.swarm, &place(at), None, rows(9)).await.unwrap();
                let found = history.versions.get(versions_ago);
                Condition::Etag(found.map_or(Etag(Mark::default()), |version| version.etag()))
            }
        }
    }

    /// Heads, and what is due.
    async fn compare_swarms(&self) -> Checked {
        let now = self.clock.now();
        let mut answers = Vec::new();
        for store in self.stores() {
            let described = store.swarm(&self.swarm).await.unwrap();
            let heads = store.heads(std::slice::from_ref(&self.swarm)).await.unwrap();
            assert_eq!(heads, [Some(described.head)]);
            let listed = store.list_swarms(None, 9).await.unwrap();
            assert_eq!(listed, std::slice::from_ref(&described));
            let swarm = Swarm { head: anonymous(described.head), ..described };
            let due = store.expired(&self.swarm, now, 3).await.unwrap();
            let all_due = store.expired(&self.swarm, now, 99).await.unwrap();
            answers.push((swarm, store.expiring(now, None, 9).await.unwrap(), due, all_due));
        }
        let subject = answers.remove(1);
        same("swarm, due swarms, due entries", answers.remove(0), subject)
    }

    /// Every read at every revision, from below the floor to above the newest.
    async fn compare_everything(&self) -> Checked {
        let head = self.reference.swarm(&self.swarm).await.unwrap().head;
        let revisions = head.floor.revision.0.saturating_sub(1)..=head.mark.revision.0 + 1;
        for page in [1, 2] {
            self.compare_reads(page, revisions.clone()).await?;
        }
        Ok(())
    }

    /// Every read at some revisions, in pages of `page`.
    async fn compare_reads(&self, page: usize, revisions: RangeInclusive<u64>) -> Checked {
        let paths: Vec<_> = (0..NAMESPACES.len())
            .flat_map(|namespace| (0..KEYS.len()).map(move |key| place((namespace, key))))
            .collect();
        for store in self.stores() {
            let at_hand: Vec<_> = paths.iter().map(|path| store.at_hand(&self.swarm, path)).collect();
            let entries = store.entries(&self.swarm, &paths, At::Newest).await.unwrap();
            for (at_hand, newest) in at_hand.into_iter().zip(entries.versions) {
                if let Some((head, version)) = at_hand {
                    same("what is at hand", &(head.mark, Some(version)), &(entries.head.mark, newest))?;
                }
            }
        }
        for revision in revisions.map(Revision) {
            let mut answers = Vec::new();
            for store in self.stores() {
                let at = At::Revision(revision);
                let mark =
                    store.mark_at(&self.swarm, revision).await.map(|(head, mark)| (anonymous(head), mark));
                let entries = store.entries(&self.swarm, &paths, at).await;
                let entries = entries.map(|entries| (anonymous(entries.head), entries.versions));
                let mut scans = vec![scan(&**store, &self.swarm, &NamespaceRange::all(), at, page).await];
                for range in PREFIXES.iter().flat_map(|text| prefix(text).ranges()) {
                    scans.push(scan(&**store, &self.swarm, &range, at, 5 * page).await);
                }
                let log = log(&**store, &self.swarm, LogCursor::after(revision), page).await;
                let inside = LogCursor { revision, ordinal: Some(0) };
                let inside = store.log(&self.swarm, inside, rows(page)).await.map(comparable_page);
                answers.push((mark, entries, scans, log, inside));
            }
            same(&format!("reads at {revision}"), &answers[0], &answers[1])?;
        }
        for path in &paths {
            let mut answers = Vec::new();
            for store in self.stores() {
                answers.push(history(&**store, &self.swarm, path, page).await);
            }
            same(&format!("history of {path}"), &answers[0], &answers[1])?;
        }
        Ok(())
    }
}

async fn scan(
    store: &dyn Store,
    swarm: &SwarmId,
    range: &NamespaceRange,
    at: At,
    page: usize,
) -> Result<Vec<Arc<Version>>, Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let scan = Scan { range: range.clone(), after, at, limit: rows(page), content: page != 2 };
        let answer = store.scan(swarm, &scan).await?;
        found.extend(answer.versions);
        match answer.resume {
            Some(resume) => after = Some(resume),
            None => return Ok(found),
        }
    }
}

async fn log(store: &dyn Store, swarm: &SwarmId, from: LogCursor, page: usize) -> Result<Vec<Page>, Error> {
    let (mut pages, mut cursor) = (Vec::new(), from);
    loop {
        let answer = comparable_page(store.log(swarm, cursor, rows(page)).await?);
        let more = answer.more;
        if let Some(last) = answer.versions.last() {
            cursor = LogCursor { revision: last.mark.revision, ordinal: Some(last.ordinal) };
        }
        pages.push(answer);
        if !more {
            return Ok(pages);
        }
    }
}

async fn history(store: &dyn Store, swarm: &SwarmId, path: &EntryPath, page: usize) -> Vec<Page> {
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let answer = comparable_page(store.history(swarm, path, before, rows(page)).await.unwrap());
        before = answer.versions.last().map(|v| v.mark.revision);
        let more = answer.more;
        pages.push(answer);
        if !more {
            return pages;
        }
    }
}

/// The incarnation is drawn by each store.
fn anonymous(head: Head) -> Head {
    Head { incarnation: Incarnation::default(), ..head }
}

fn comparable(mut applied: Applied) -> Applied {
    applied.head = anonymous(applied.head);
    if let Some(commit) = &mut applied.commit {
        commit.incarnation = Incarnation::default();
        // At the very beginning it is the nonce of the creation.
        if commit.prev.revision == Revision::ZERO {
            commit.prev.nonce = Nonce::default();
            applied.head.floor.nonce = Nonce::default();
        }
    }
    applied
}

fn comparable_page(page: Page) -> Page {
    Page { head: anonymous(page.head), ..page }
}

fn rows(rows: usize) -> PageLimit {
    PageLimit { rows, bytes: usize::MAX }
}

fn place((namespace, key): Place) -> EntryPath {
    path(NAMESPACES[namespace], KEYS[key])
}

fn on_place((namespace, key): Place, test: Test) -> swarmem::domain::request::Compare {
    on(NAMESPACES[namespace], KEYS[key], test)
}

fn same<T: Debug>(what: &str, reference: T, subject: T) -> Checked {
    // Not everything compared can be equal by itself: errors have no such notion.
    if format!("{reference:?}") == format!("{subject:?}") {
        return Ok(());
    }
    let (reference, subject) = (format!("{reference:#?}"), format!("{subject:#?}"));
    let first = reference.lines().zip(subject.lines()).position(|(a, b)| a != b).unwrap_or_default();
    let part =
        |text: &str| text.lines().skip(first.saturating_sub(30)).take(60).collect::<Vec<_>>().join("\n");
    Err(format!("{what} differ at line {first}\nreference:\n{}\nit:\n{}", part(&reference), part(&subject)))
}
