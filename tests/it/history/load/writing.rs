//! One that writes, reads, gives up, and asks again elsewhere. Knows nothing of what it asks for.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use swarmem::client::{Role, WriteStream};
use tokio::{task::JoinSet, time::sleep};

use super::{
    super::{
        record::{Effect, Operation, Outcome, Request, Write},
        recorder::Recorded,
    },
    Clients, Known, Shared,
    asking::Asking,
};
use crate::crash::random::Random;

/// An unknown outcome is asked for so often.
const AGAIN_MAX: u64 = 3;
/// So many writes of a stream may be unanswered.
const ON_THEIR_WAY_MAX: usize = 8;

/// Makes calls until the plan is done or stopped.
pub async fn write(shared: Shared, number: usize, mut random: Random) {
    let mut asking = Asking::new(number, random.split(), shared.plan.ttl_max);
    let agent = asking.agent();
    // Its reads see everything.
    let mut clients = Clients::new(&shared, &agent, &agent, Role::Orchestrator, number);
    for _ in 0..shared.plan.operations {
        if *shared.stop.borrow() {
            return;
        }
        let request = asking.next(&shared.known.lock().unwrap());
        let mut client = match random.below(4) {
            0 => clients.any(&mut random).await,
            _ => clients.own().await,
        };
        match request {
            Request::Write(request) => {
                for _ in 0..=random.below(AGAIN_MAX) {
                    let outcome = one(&shared, &client, &mut random, &request).await;
                    if !matches!(outcome, Outcome::Unknown { .. }) {
                        break;
                    }
                    client = clients.any(&mut random).await;
                }
            }
            Request::Get { names, freshness } => drop(client.get(&names, freshness).await),
            Request::List { filter, freshness } => drop(client.list(&filter, freshness).await),
        }
        pause(shared.plan.pause_max, &mut random).await;
    }
}

/// The same on streams of writes, one for each coordinator, with several writes on their way at a time. They draw their request ids
/// themselves, so nothing is asked for again but by the stream.
pub async fn stream(shared: Shared, number: usize, mut random: Random) {
    let mut asking = Asking::new(number, random.split(), shared.plan.ttl_max);
    let agent = asking.agent();
    let mut clients = Clients::new(&shared, &agent, &agent, Role::Orchestrator, number);
    let (mut asked, mut under_way) = (HashSet::new(), JoinSet::new());
    let mut streams: HashMap<String, WriteStream> = HashMap::new();
    for _ in 0..shared.plan.operations {
        if *shared.stop.borrow() {
            break;
        }
        let request = asking.next(&shared.known.lock().unwrap());
        let client = match random.below(8) {
            0 => clients.any(&mut random).await,
            _ => clients.own().await,
        };
        match request {
            Request::Write(write) if asked.insert(write.request_id.clone()) => {
                let write = Write { request_id: String::new(), ..write };
                let stream = streams
                    .entry(client.via.clone())
                    .or_insert_with(|| client.client.write_stream(ON_THEIR_WAY_MAX));
                let answer = client.send(stream, &write).await;
                let walks_away = random.below(100) < shared.plan.cancels_percent;
                let (shared, turns) = (shared.clone(), random.below(60));
                under_way.spawn(async move {
                    let outcome = match walks_away {
                        true => given_up(answer, turns, Duration::ZERO).await,
                        false => Some(answer.await),
                    };
                    heard(&shared, &write, &outcome);
                });
            }
            Request::Write(_) => {}
            Request::Get { names, freshness } => drop(client.get(&names, freshness).await),
            Request::List { filter, freshness } => drop(client.list(&filter, freshness).await),
        }
        while under_way.len() >= ON_THEIR_WAY_MAX {
            under_way.join_next().await;
        }
        pause(shared.plan.pause_max, &mut random).await;
    }
    while under_way.join_next().await.is_some() {}
}

async fn pause(max: Duration, random: &mut Random) {
    // In whole milliseconds, the unit of the timer.
    let ms = random.below(u64::try_from(max.as_millis()).unwrap() + 1);
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// One attempt, given up somewhere now and then.
async fn one(shared: &Shared, client: &Recorded, random: &mut Random, write: &Write) -> Outcome {
    let outcome = if random.below(100) < shared.plan.cancels_percent {
        let (turns, ms) = (random.below(60), random.below(3));
        given_up(client.write(write), turns, Duration::from_millis(ms)).await
    } else {
        Some(client.write(write).await)
    };
    heard(shared, write, &outcome);
    outcome.unwrap_or(Outcome::Unknown { why: "given up".into() })
}

/// Takes up what an answer tells.
fn heard(shared: &Shared, write: &Write, outcome: &Option<Outcome>) {
    if let Some(Outcome::Done { revision, state, token, results, succeeded }) = outcome {
        if revision.is_some() {
            shared.progress.send_modify(|count| *count += 1);
        }
        let operations = if *succeeded { &write.success } else { &write.failure };
        learn(&mut shared.known.lock().unwrap(), operations, results, *state, token);
    }
}

/// Drops a future after so many turns of the others, or after a while.
async fn given_up<T>(future: impl Future<Output = T>, turns: u64, after: Duration) -> Option<T> {
    let walk_away = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        sleep(after).await;
    };
    tokio::select! {
        biased;
        done = future => Some(done),
        () = walk_away => None,
    }
}

fn learn(known: &mut Known, operations: &[Operation], results: &[Effect], state: u64, token: &str) {
    for (operation, result) in operations.iter().zip(results) {
        if let (Operation::Put { name, content, .. }, Effect::Put { etag, .. }) = (operation, result) {
            known.etags.insert(name.clone(), etag.clone());
            known.contents.insert(name.clone(), content.clone());
        }
    }
    known.newest = known.newest.max(state);
    if !token.is_empty() {
        known.tokens.push(token.to_owned());
    }
}
