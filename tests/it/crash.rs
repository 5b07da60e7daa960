//! Kills the coordinator again and again under writers and watchers, and holds what they saw against the promises:
//! no acknowledged write lost, no gap, no repeat. Knows the coordinator only as a process and by its protocol.

pub mod history;
pub mod random;
pub mod verify;
mod watchers;
mod writers;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use swarmem::{client::Role, wire::v1};
use tokio::{sync::watch, time::timeout};

use self::{
    history::{History, Selection},
    random::Random,
    verify::{Violation, verify},
    watchers::{Pace, Watcher},
    writers::{WRITERS, Writer},
};
use crate::process::{PATIENCE, Server};

const KILLS: usize = 20;
/// Small bounds, so that watches read from the log, and snapshots and revisions come in parts.
const SETTINGS: [&str; 6] = [
    "--set",
    "watch.ring_events_max=64",
    "--set",
    "watch.response_bytes_max=16384",
    "--set",
    "retention.expiry_interval_ms=50",
];
/// With SWARMEM_SOAK_MINUTES, passes go on for so long.
const SOAK: &str = "SWARMEM_SOAK_MINUTES";
/// With SWARMEM_TEST_SEED, the pass is made with that seed.
pub const SEED: &str = "SWARMEM_TEST_SEED";

#[tokio::test]
async fn killed_at_any_moment_it_keeps_its_promises() {
    let minutes: u64 = number(SOAK).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    loop {
        let seed = number(SEED).unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let (history, violations) = killing_storm(KILLS, seed, &[]).await;
        assert!(violations.is_empty(), "seed {seed}: {:#?}", &violations[..violations.len().min(20)]);
        assert!(history.writes.len() > KILLS, "hardly anything was written");
        if Instant::now() >= end {
            return;
        }
    }
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn an_acknowledgement_before_the_commit_is_caught() {
    // A kill may fall between a commit and its answer, where the bug does no harm; it does not do so for long.
    let mut seen = Vec::new();
    for seed in 1..=10 {
        let (_, violations) = killing_storm(3, seed, &[("SWARMEM_SEEDED_BUG", "ack-before-commit")]).await;
        if violations.iter().any(|v| matches!(v, Violation::LostWrite { .. })) {
            return;
        }
        seen.extend(violations);
    }
    panic!("no lost write was found, only {seen:?}");
}

pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// So many kills under load, and what is wrong with what the clients saw.
async fn killing_storm(kills: usize, seed: u64, environment: &[(&str, &str)]) -> (History, Vec<Violation>) {
    storm(seed, environment, async |server, random, progress| {
        kill_again_and_again(server, kills, random, progress).await
    })
    .await
}

/// Writers and watchers while `course` happens to their coordinator, and what is wrong with what they saw. The course is
/// told how many writes were acknowledged so far, and returns the coordinator, running.
pub async fn storm(
    seed: u64,
    environment: &[(&str, &str)],
    course: impl AsyncFnOnce(Server, &mut Random, &watch::Sender<u64>) -> Server,
) -> (History, Vec<Violation>) {
    eprintln!("{SEED}={seed}");
    let mut random = Random::seeded(seed);
    let server = Server::start_to_be_killed(&SETTINGS, environment);
    let progress = watch::Sender::new(0);
    let (stop, until) = (watch::Sender::new(false), watch::Sender::new(None));
    let mut writing = Vec::new();
    for (index, work) in WRITERS.into_iter().enumerate() {
        let client = server.client(&format!("w{index}"), Role::Agent).await;
        let writer = Writer::new(client, work, random.split(), progress.clone());
        writing.push(writer.write(stop.subscribe()));
    }
    let watchers = watchers(&server, &mut random).await;
    let watching = join_all(watchers.into_iter().map(|watcher| watcher.follow(until.subscribe())));

    let course = async {
        let server = course(server, &mut random, &progress).await;
        stop.send_replace(true);
        server
    };
    let finish = async {
        let (server, written) = tokio::join!(course, join_all(writing));
        let client = server.client("w0", Role::Observer).await;
        let head = client.get_swarm().await.unwrap().swarm.unwrap().revision;
        until.send_replace(Some(head));
        (server, written)
    };
    let ((server, written), watches) = timeout(PATIENCE * 4, async { tokio::join!(finish, watching) })
        .await
        .unwrap_or_else(|_| panic!("seed {seed}: a watch never reached the newest revision"));

    let mut history = History {
        writes: written.into_iter().flatten().collect(),
        watches: watches.into_iter().flatten().collect(),
        ..History::default()
    };
    read_back(&server, &mut history, random.split()).await;
    eprintln!(
        "{} writes, {} watches, {} events in {} revisions",
        history.writes.len(),
        history.watches.len(),
        history.log.len(),
        history.head
    );
    let violations = verify(&history);
    (history, violations)
}

/// Each time some writes were acknowledged and a little later, or as soon as it serves.
async fn kill_again_and_again(
    mut server: Server,
    kills: usize,
    random: &mut Random,
    progress: &watch::Sender<u64>,
) -> Server {
    let mut acknowledged = progress.subscribe();
    for _ in 0..kills {
        let more = random.below(5) * random.below(20);
        let goal = *acknowledged.borrow() + more;
        timeout(PATIENCE, acknowledged.wait_for(|now| *now >= goal)).await.expect("writes go on").unwrap();
        tokio::time::sleep(Duration::from_millis(random.below(20))).await;
        let killed = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        });
        server = killed.await.unwrap();
    }
    // Some life after the last death.
    let goal = *acknowledged.borrow() + 50;
    timeout(PATIENCE, acknowledged.wait_for(|now| *now >= goal)).await.expect("writes go on").unwrap();
    server
}

async fn watchers(server: &Server, random: &mut Random) -> Vec<Watcher> {
    let below = |prefixes: &[&str]| {
        let prefixes: Vec<_> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        (v1::Filter { prefixes: prefixes.clone(), ..Default::default() }, Selection::Below(prefixes))
    };
    let all = || (v1::Filter::default(), Selection::Everything);
    let third = || {
        let filter = v1::Filter { tags: vec!["third".into()], ..Default::default() };
        (filter, Selection::Tag("third".into()))
    };
    let own = || (v1::Filter::default(), below(&["shared", "agents/w1"]).1);
    let mut watchers = Vec::new();
    for (name, agent, role, (filter, selection), snapshot, pace) in [
        ("everything", "o", Role::Observer, all(), false, Pace::Fast),
        ("snapshot", "o", Role::Observer, all(), true, Pace::Fast),
        ("snapshots", "o", Role::Orchestrator, all(), true, Pace::Forgetful),
        ("filtered", "o", Role::Observer, below(&["shared/batches", "shared/brief"]), false, Pace::Fast),
        ("tagged", "o", Role::Observer, third(), true, Pace::Restless),
        ("agent", "w1", Role::Agent, own(), false, Pace::Fast),
        ("slow", "o", Role::Observer, all(), false, Pace::Slow),
        ("restless", "w1", Role::Agent, own(), false, Pace::Restless),
    ] {
        let client = server.client(agent, role).await;
        watchers.push(Watcher { name, client, filter, selection, snapshot, pace, random: random.split() });
    }
    watchers
}

/// Reads the whole log through a watch, and the state it leads to through a listing and through gets.
async fn read_back(server: &Server, history: &mut History, random: Random) {
    let client = server.client("reader", Role::Observer).await;
    history.head = client.get_swarm().await.unwrap().swarm.unwrap().revision;
    let reader = Watcher {
        name: "the reader",
        client: client.clone(),
        filter: v1::Filter::default(),
        selection: Selection::Everything,
        snapshot: false,
        pace: Pace::Fast,
        random,
    };
    let (_until, until) = watch::channel(Some(history.head));
    let read = timeout(PATIENCE, reader.follow(until)).await.expect("the log can be read");
    let read = read.into_iter().next().unwrap();
    history.log = read.events.clone();
    history.log.retain(|event| event.revision <= history.head);
    if read.refused.is_some() {
        history.watches.push(read);
    }

    let consistency = Some(v1::Consistency { revision: history.head, ..Default::default() });
    let mut request = v1::ListRequest { page_size: 1000, consistency, ..Default::default() };
    loop {
        let page = client.list(request.clone()).await.unwrap();
        let names = page.entries.iter().map(|entry| {
            let (namespace, key) = (entry.namespace.clone(), entry.key.clone());
            v1::EntryName { namespace, key }
        });
        if !page.entries.is_empty() {
            let got = client.batch_get(names.collect(), request.consistency.clone()).await.unwrap().results;
            let got: Vec<_> = got.into_iter().filter_map(|result| result.entry).collect();
            assert_eq!(got, page.entries, "gets and listings agree");
        }
        history.state.extend(page.entries);
        if page.next_page_token.is_empty() {
            return;
        }
        request.page_token = page.next_page_token;
    }
}
