//! One that watches: live, from the past, from the future, through a filter, slowly, or coming back all the time. Knows nothing
//! of what it is sent.

use std::time::Duration;

use swarmem::client::Role;
use tokio::time::sleep;

use super::{
    super::{
        record::{Filter, Start},
        recorder::{Over, Watching},
    },
    Clients, Shared,
};
use crate::crash::random::Random;

/// How a watcher goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From now on.
    Live,
    /// A snapshot, and from there.
    Snapshot,
    /// From a revision, a token or a time of before.
    Past,
    /// From the next revision, or from one that is not there yet.
    Future,
}

/// How it takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// At once.
    Fast,
    /// With a rest after each response.
    Slow,
    /// Leaves after a few responses, and comes back with the token, elsewhere.
    Restless,
    /// The same, and begins anew with a snapshot now and then.
    Forgetful,
}

const WAYS: [(Way, Pace); 10] = [
    (Way::Live, Pace::Fast),
    (Way::Snapshot, Pace::Fast),
    (Way::Past, Pace::Fast),
    (Way::Future, Pace::Fast),
    (Way::Past, Pace::Slow),
    (Way::Snapshot, Pace::Restless),
    (Way::Live, Pace::Restless),
    (Way::Past, Pace::Restless),
    (Way::Snapshot, Pace::Forgetful),
    (Way::Snapshot, Pace::Slow),
];

/// Whether the watcher of that number rests after each response.
pub fn rests(number: usize) -> bool {
    WAYS[number % WAYS.len()].1 == Pace::Slow
}

/// Watches until it has seen everything that it is told of.
pub async fn watch(shared: Shared, number: usize, name: String, mut random: Random) {
    let (way, pace) = WAYS[number % WAYS.len()];
    // Every second one wants all; one in ten is an agent that may not see everything.
    let reader = (number % 10 == 5).then(|| format!("w{}", random.below(shared.plan.writers.max(1) as u64)));
    let filter = match number % 2 {
        0 if reader.is_none() => Filter::everything(),
        _ => filter(&mut random, reader.clone()),
    };
    let (agent, role) = match &reader {
        Some(agent) => (agent.clone(), Role::Agent),
        None => (name.replace(' ', "-"), Role::Observer),
    };
    let mut clients = Clients::new(&shared, &name, &agent, role, number);
    if matches!(way, Way::Past | Way::Snapshot) {
        begins(&shared, &mut random).await;
    }
    let mut start = first(&shared, way, &mut random);
    let mut goal = shared.until.clone();
    loop {
        let (from, bookmarks) = (start.clone(), shared.plan.bookmarks);
        let mut watching = match pace {
            Pace::Fast | Pace::Slow => clients.own().await.watch(from, &filter, bookmarks).await,
            _ => clients.any(&mut random).await.watch_once(from, &filter, bookmarks).await,
        };
        let over = follow(&shared, &mut watching, pace, &mut goal, &mut random).await;
        let token = watching.token.clone();
        watching.leave();
        start = match over {
            None => return,
            Some(Over::Passing) => {
                sleep(Duration::from_millis(1 + random.below(3))).await;
                match token {
                    Some(_) if pace == Pace::Forgetful && random.below(3) == 0 => Start::Snapshot,
                    Some(token) => Start::Token(token),
                    None => start,
                }
            }
            // The token is lost: all begins anew.
            Some(Over::Reason(reason)) if reason != "FUTURE_REVISION" => Start::Snapshot,
            Some(Over::Reason(_)) => {
                sleep(Duration::from_millis(1 + random.below(5))).await;
                if goal.borrow().is_some() { Start::Snapshot } else { start }
            }
        };
    }
}

/// Follows a stream; none: it has seen everything that it was told of.
async fn follow(
    shared: &Shared,
    watching: &mut Watching,
    pace: Pace,
    goal: &mut tokio::sync::watch::Receiver<Option<u64>>,
    random: &mut Random,
) -> Option<Over> {
    let mut responses = 2 + random.below(12);
    loop {
        let known = *goal.borrow_and_update();
        if known.is_some_and(|goal| watching.has_reached(goal)) {
            return None;
        }
        tokio::select! {
            biased;
            next = watching.next() => if let Err(over) = next {
                return Some(over);
            },
            _ = goal.changed() => continue,
        }
        responses = responses.saturating_sub(1);
        match pace {
            Pace::Restless | Pace::Forgetful if responses == 0 && known.is_none() => {
                return Some(Over::Passing);
            }
            Pace::Slow if known.is_none() => {
                let ms = random.below(u64::try_from(shared.plan.rest_max.as_millis()).unwrap() + 1);
                sleep(Duration::from_millis(ms)).await;
            }
            _ => {}
        }
    }
}

/// Waits until there is a past, or the end.
async fn begins(shared: &Shared, random: &mut Random) {
    let (mut progress, mut until) = (shared.progress.subscribe(), shared.until.clone());
    let some = 1 + random.below(20);
    tokio::select! {
        biased;
        _ = progress.wait_for(|count| *count >= some) => {}
        _ = until.wait_for(Option::is_some) => {}
    }
}

fn first(shared: &Shared, way: Way, random: &mut Random) -> Start {
    let known = shared.known.lock().unwrap();
    match way {
        Way::Live => Start::Now,
        Way::Snapshot => Start::Snapshot,
        Way::Future => Start::Revision(known.newest + 1 + random.below(20)),
        Way::Past => match random.below(3) {
            0 if !known.tokens.is_empty() => {
                Start::Token(known.tokens[random.below(known.tokens.len() as u64) as usize].clone())
            }
            1 if shared.recorder.time_us() > 0 => Start::Time(shared.recorder.time_us()),
            _ => Start::Revision(1 + random.below(known.newest.max(1))),
        },
    }
}

/// A filter of one kind or another.
pub fn filter(random: &mut Random, reader: Option<String>) -> Filter {
    let mut filter = Filter { reader, ..Filter::default() };
    match random.below(5) {
        0 => filter.prefixes = vec!["shared/hot".into()],
        1 => filter.prefixes = vec!["shared/w1".into(), "agents".into(), "shared/hot".into()],
        2 => filter.tags = vec!["red".into()],
        3 => filter.authors = vec!["w0".into(), "w2".into()],
        _ => filter.prefixes = vec!["shared".into()],
    }
    filter
}
