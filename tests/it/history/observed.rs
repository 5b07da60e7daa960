//! What could be known when: a revision exists once somebody has seen it, and not before its request was made. So real time
//! orders everything that happens one after the other. Knows nothing of what requests and events say.

use super::{
    record::{History, Outcome, What},
    rules::{Findings, Rule},
};

/// When each revision can have come into being.
pub struct Observed {
    /// Ticks, and the newest revision that was seen by then.
    seen: Vec<(u64, u64)>,
    /// For each revision from 1, a tick before which it was not there.
    born: Vec<u64>,
}

impl Observed {
    /// `started` has for each revision from 1 the tick at which its request was first made, as far as it is known.
    pub fn of(history: &History, started: &[Option<u64>], found: &mut Findings) -> Self {
        let mut latest = 0;
        let born: Vec<u64> = started
            .iter()
            .map(|tick| {
                latest = tick.unwrap_or_default().max(latest);
                latest
            })
            .collect();
        let head = started.len() as u64;
        // What is above the head was never there: whoever claims it is told so elsewhere.
        let mut seen: Vec<_> = observations(history).filter(|(_, revision)| *revision <= head).collect();
        seen.sort_unstable();
        let observed = Self { seen: Vec::new(), born };
        for (tick, revision) in &seen {
            if observed.born(*revision) > *tick {
                let example = format!("revision {revision} was seen at tick {tick}, before it was asked for");
                found.add(Rule::RealTime, example);
            }
        }
        let mut newest = 0;
        for (_, revision) in &mut seen {
            newest = newest.max(*revision);
            *revision = newest;
        }
        Self { seen, ..observed }
    }

    /// The newest revision that somebody had seen before a tick.
    pub fn known(&self, tick: u64) -> u64 {
        let count = self.seen.partition_point(|(at, _)| *at < tick);
        count.checked_sub(1).map_or(0, |last| self.seen[last].1)
    }

    /// A tick before which a revision was not there.
    fn born(&self, revision: u64) -> u64 {
        let index = usize::try_from(revision).unwrap_or(usize::MAX).checked_sub(1);
        index.and_then(|index| self.born.get(index)).copied().unwrap_or_default()
    }

    /// The newest revision that can have been there at a tick.
    pub fn possible(&self, tick: u64) -> u64 {
        self.born.partition_point(|born| *born <= tick) as u64
    }
}

/// Every moment at which somebody learned that a revision exists.
fn observations(history: &History) -> impl Iterator<Item = (u64, u64)> {
    let calls = history.calls.iter().filter_map(|call| match &call.outcome {
        Outcome::Done { state, .. } => Some((call.end.tick, *state)),
        Outcome::Read { revision, .. } => Some((call.end.tick, *revision)),
        _ => None,
    });
    let steps = history.streams.iter().flat_map(|stream| &stream.steps).filter_map(|step| {
        let (_, claimed) = step.what.token()?;
        let sent = match &step.what {
            What::Events { events, .. } => events.iter().map(|event| event.revision).max(),
            _ => None,
        };
        Some((step.at.tick, claimed.max(sent.unwrap_or_default())))
    });
    calls.chain(steps)
}
