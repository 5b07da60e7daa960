//! Two lives of one swarm: a store that went on from an earlier revision has lost what lay behind it. Each life is held to every
//! rule by itself; only what was acknowledged in the first, behind what was kept, may be missing from the second, and whoever saw
//! some of it must be told. Knows no store.

use std::collections::{HashMap, HashSet};

use super::{
    ending,
    log::{self, Log, Position},
    observed::Observed,
    readers,
    record::{
        Call, Change, Freshness, History, Lost, Operation, Outcome, Request, Start, Stream, What, Write,
    },
    rules::{Findings, Rule},
    watchers::{self, Oracle, Told},
    writers::Writers,
};

/// Which life something is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    First,
    Second,
    /// It holds in both: it is of what was kept, or says nothing that could tell.
    Both,
}

/// What is known of both, before it is known what each stream was of.
struct Lives<'a> {
    lost: &'a Lost,
    first: Log,
    second: Log,
    /// When the revisions of the second can have come into being.
    born: Observed,
}

/// The positions that came to nothing, by their tokens.
pub type LostTokens<'a> = HashSet<&'a str>;

/// Holds both lives against all rules, and one against the other.
pub fn check(history: &History, lost: &Lost, found: &mut Findings) {
    let before = History { log: lost.log.clone(), ..History::default() };
    let (first, second) = (Log::of(&before, found), Log::of(history, found));
    check_kept(&first, &second, lost, found);

    let of = |life| writes(history, lost, &first, life);
    let (writes_first, writes_second) = (of(Life::First), of(Life::Second));
    let mut writers_first = Writers::of(&writes_first, &first, found);
    let mut writers_second = Writers::of(&writes_second, &second, found);
    // What is of the second life alone was not there before it began, whenever it was asked for.
    let kept = usize::try_from(lost.kept).unwrap();
    for started in writers_second.started.iter_mut().skip(kept) {
        *started = Some(started.unwrap_or_default().max(lost.at.tick));
    }
    let born = Observed::of(&History::default(), &writers_second.started, found);
    let lives = Lives { lost, first, second, born };

    let mut parts = [writes_first.clone(), writes_second.clone()];
    let mut open = History::default();
    for call in history.calls.iter().filter(|call| !matches!(call.request, Request::Write(_))) {
        match lives.of_read(call) {
            Life::First => parts[0].calls.push(call.clone()),
            _ => parts[1].calls.push(call.clone()),
        }
    }
    for stream in &history.streams {
        match lives.of_stream(stream, found) {
            Some(Life::First) => parts[0].streams.push(stream.clone()),
            Some(Life::Second) => parts[1].streams.push(stream.clone()),
            Some(Life::Both) => open.streams.push(stream.clone()),
            // It was of both, and that was said.
            None => {}
        }
    }
    lives.check_parts(history, &parts, &open, [&mut writers_first, &mut writers_second], found);
}

/// What was kept is the same in both.
fn check_kept(first: &Log, second: &Log, lost: &Lost, found: &mut Findings) {
    let upto = (lost.kept, u32::MAX);
    let (before, after) = (first.between((0, 0), upto), second.between((0, 0), upto));
    if let Some((one, other)) = before.iter().zip(after).find(|(one, other)| one != other) {
        found.add(Rule::LogRewritten, format!("up to {} was kept: {one:?}, then {other:?}", lost.kept));
    }
    if before.len() != after.len() || first.head.min(second.head) < lost.kept {
        let heads = (first.head, second.head);
        found.add(Rule::LogGap, format!("up to {} was kept; the heads {heads:?}", lost.kept));
    }
}

/// The writes that are of a life, as they are to be seen from there.
fn writes(history: &History, lost: &Lost, first: &Log, life: Life) -> History {
    let calls = history.calls.iter().filter_map(|call| {
        let Request::Write(write) = &call.request else { return None };
        let seen = match life {
            Life::First => seen_from_first(call, write, lost, first),
            _ => seen_from_second(call, write, lost, first),
        };
        match seen {
            Seen::AsItIs => Some(call.clone()),
            Seen::Open => {
                let outcome = Outcome::Unknown { why: "the store changed hands".into() };
                Some(Call { outcome, ..call.clone() })
            }
            Seen::Not => None,
        }
    });
    History { calls: calls.collect(), ..History::default() }
}

enum Seen {
    AsItIs,
    /// It may have been done there, whatever was answered in the other.
    Open,
    Not,
}

fn seen_from_first(call: &Call, write: &Write, lost: &Lost, first: &Log) -> Seen {
    match &call.outcome {
        _ if call.start.tick > lost.at.tick => Seen::Not,
        _ if call.end.tick < lost.at.tick => Seen::AsItIs,
        Outcome::Done { revision: Some(revision), .. }
            if *revision <= lost.kept || did(first, *revision, call, write) =>
        {
            Seen::AsItIs
        }
        // It was answered by the second, that knows nothing of what was done in the first and not heard of.
        _ => Seen::Open,
    }
}

fn seen_from_second(call: &Call, write: &Write, lost: &Lost, first: &Log) -> Seen {
    let is_over = call.end.tick < lost.at.tick;
    match &call.outcome {
        _ if call.start.tick > lost.at.tick => Seen::AsItIs,
        Outcome::Done { revision: Some(revision), .. } if *revision > lost.kept => {
            if is_over || did(first, *revision, call, write) { Seen::Not } else { Seen::AsItIs }
        }
        Outcome::Done { revision: Some(_), .. } | Outcome::Unknown { .. } | Outcome::Failed { .. } => {
            Seen::AsItIs
        }
        // Over which state it was decided cannot be told where the store changed hands meanwhile.
        Outcome::Done { revision: None, .. } | Outcome::Refused { .. } | Outcome::Read { .. } => {
            if is_over {
                Seen::Not
            } else {
                Seen::Open
            }
        }
    }
}

/// Whether a revision can be what a request did.
fn did(log: &Log, revision: u64, call: &Call, write: &Write) -> bool {
    let events = log.revision(revision);
    let operations = || write.success.iter().chain(&write.failure);
    !events.is_empty()
        && events.iter().all(|event| {
            event.entry.author == call.agent
                && operations().any(|operation| match operation {
                    Operation::Put { content, .. } => {
                        event.change == Change::Put && event.entry.content == *content
                    }
                    Operation::Delete { name, .. } => {
                        event.change == Change::Delete && event.entry.name == *name
                    }
                    Operation::DeletePrefix { .. } => event.change == Change::Delete,
                    Operation::Get { .. } => false,
                })
        })
}

impl Lives<'_> {
    fn of_read(&self, call: &Call) -> Life {
        let Lost { at, .. } = self.lost;
        let is_strong = |freshness: &Freshness| matches!(freshness, Freshness::Strong);
        match (&call.request, &call.outcome) {
            _ if call.end.tick < at.tick => Life::First,
            (Request::Get { freshness, .. } | Request::List { freshness, .. }, _)
                if is_strong(freshness) && call.start.tick > at.tick =>
            {
                Life::Second
            }
            // What a coordinator holds may be of the first until it knows.
            (_, Outcome::Read { revision, .. }) if *revision > self.lost.kept => {
                let mut scratch = Findings::default();
                readers::check_state(call, &self.second, &mut scratch);
                let fits = *revision <= self.born.possible(call.end.tick) && scratch.0.is_empty();
                if fits { Life::Second } else { Life::First }
            }
            _ => Life::Second,
        }
    }

    /// Of which life the responses are; none if they are of both, which is not to be.
    fn of_stream(&self, stream: &Stream, found: &mut Findings) -> Option<Life> {
        let mut life = Life::Both;
        for step in &stream.steps {
            let this = self.of_step(step);
            if this == Life::Both {
                continue;
            }
            if life != Life::Both && life != this {
                let Stream { id, watcher, via, start, .. } = stream;
                let example = format!("stream {id} of {watcher} via {via} from {start:?} went on: {step:?}");
                found.add(Rule::LossUntold, example);
                return None;
            }
            life = this;
        }
        Some(life)
    }

    fn of_step(&self, step: &super::record::Step) -> Life {
        let Lost { kept, at, .. } = self.lost;
        if let What::Events { events, .. } = &step.what {
            for event in events.iter().filter(|event| event.revision > *kept) {
                let holds = |log: &Log| log.event(event.place()) == Some(event);
                match (holds(&self.first), holds(&self.second)) {
                    (true, false) => return Life::First,
                    (false, true) => return Life::Second,
                    _ => {}
                }
            }
        }
        match step.what.token() {
            Some((_, revision)) if revision > *kept => {
                if step.at.tick < at.tick || revision > self.born.possible(step.at.tick) {
                    Life::First
                } else if revision > self.first.head {
                    Life::Second
                } else {
                    Life::Both
                }
            }
            _ => Life::Both,
        }
    }

    fn check_parts(
        &self,
        history: &History,
        parts: &[History; 2],
        open: &History,
        [first, second]: [&mut Writers<'_>; 2],
        found: &mut Findings,
    ) {
        let lost = self.lost;
        let [mut tokens_first, mut tokens_second] = [log::tokens(&parts[0]), log::tokens(&parts[1])];
        // Whoever stands in what was kept stands in both.
        let is_kept = |position: &Position| reaches(position) <= lost.kept;
        let gone: LostTokens<'_> = tokens_first
            .iter()
            .filter(|(token, position)| !is_kept(position) && !tokens_second.contains_key(*token))
            .map(|(token, _)| *token)
            .collect();
        let kept = tokens_first.iter().chain(&tokens_second).filter(|(_, position)| is_kept(position));
        let mut shared: Vec<_> = kept.map(|(token, position)| (*token, position.clone())).collect();
        shared.extend(log::tokens(open).into_iter().filter(|(token, _)| !gone.contains(*token)));
        tokens_first.extend(shared.iter().cloned());
        tokens_second.extend(shared);

        let floor = history.end.as_ref().map_or(0, |end| end.floor);
        let seen = Observed::of(&parts[0], &first.started, found);
        first.check(&self.first, &seen, found);
        readers::check(&parts[0], &self.first, &seen, &tokens_first, found);
        let told = |is_over| Some(Told { lost, gone: &gone, is_over });
        let one =
            Oracle { log: &self.first, observed: &seen, tokens: &tokens_first, floor, told: told(true) };
        watchers::check(&parts[0].streams, &one, found);

        let seen = Observed::of(&parts[1], &second.started, found);
        second.check(&self.second, &seen, found);
        readers::check(&parts[1], &self.second, &seen, &tokens_second, found);
        let two =
            Oracle { log: &self.second, observed: &seen, tokens: &tokens_second, floor, told: told(false) };
        let mut after = parts[1].streams.clone();
        after.retain(|stream| {
            let goes_on = matches!(&stream.start, Start::Token(token) if gone.contains(&**token));
            if goes_on {
                found.add(Rule::LossUntold, format!("it went on from what was lost: {stream:?}"));
            }
            !goes_on
        });
        watchers::check(&after, &two, found);
        for stream in &open.streams {
            // It says nothing that could tell: it is right if it is right in one of them.
            let is_right = |oracle: &Oracle<'_>| {
                let mut scratch = Findings::default();
                watchers::check(std::slice::from_ref(stream), oracle, &mut scratch);
                scratch.0.is_empty()
            };
            if !is_right(&two) && is_right(&one) {
                continue;
            }
            watchers::check(std::slice::from_ref(stream), &two, found);
            after.push(stream.clone());
        }
        self.check_told(parts, &gone, [&tokens_first, &tokens_second], found);
        after.sort_by_key(|stream| stream.id);
        let end = History { streams: after, end: history.end.clone(), ..History::default() };
        ending::check(&end, &self.second, &tokens_second, found);
    }

    /// Nobody goes on from what was lost, and nobody sees it once it is known.
    fn check_told(
        &self,
        parts: &[History; 2],
        gone: &LostTokens<'_>,
        [tokens_first, tokens_second]: [&HashMap<&str, Position>; 2],
        found: &mut Findings,
    ) {
        let known = self.lost.known.tick;
        for call in &parts[1].calls {
            if let (Some(token), Outcome::Read { .. }) = (token_of(call), &call.outcome)
                && gone.contains(token)
            {
                found.add(Rule::LossUntold, format!("a read at a token that was lost: {call:?}"));
            }
        }
        for call in &parts[1].calls {
            if let (Some(token), Outcome::Refused { reason, .. }) = (token_of(call), &call.outcome)
                && reason == "INCARNATION_CHANGED"
                && call.start.tick > known
                && !gone.contains(token)
            {
                found.add(Rule::RefusedStart, format!("its token was not lost: {call:?}"));
            }
        }
        for call in &parts[0].calls {
            if call.start.tick > known && matches!(call.outcome, Outcome::Read { .. }) {
                found.add(Rule::LossUntold, format!("a read of what was known to be lost: {call:?}"));
            }
        }
        for call in &parts[0].calls {
            if let (Some(token), Outcome::Read { .. }) = (token_of(call), &call.outcome)
                && tokens_second.contains_key(token)
                && !tokens_first.contains_key(token)
            {
                found.add(Rule::OlderThanToken, format!("it shows what was lost before: {call:?}"));
            }
        }
        for stream in &parts[0].streams {
            let was_told = stream.steps.iter().all(|step| step.what.token().is_none());
            if stream.opened.tick > known && !was_told {
                found.add(Rule::LossUntold, format!("opened on what was known to be lost: {stream:?}"));
            }
        }
    }
}

/// The token of a state that a read is to be of, or newer.
fn token_of(call: &Call) -> Option<&str> {
    match &call.request {
        Request::Get { freshness: Freshness::AtLeast(token), .. }
        | Request::List { freshness: Freshness::AtLeast(token), .. } => Some(token),
        _ => None,
    }
}

/// The newest revision of which a position has seen something.
fn reaches(position: &Position) -> u64 {
    match position {
        Position::After((revision, _)) | Position::Listing(revision, _) => *revision,
    }
}
