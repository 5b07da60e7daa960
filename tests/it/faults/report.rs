//! What faults came to, in figures. Decides nothing: the checker does.

use std::{collections::HashMap, io::Write as _, path::Path};

use serde::{Deserialize, Serialize};

use crate::history::{
    load::rests,
    record::{At, Call, History, Outcome, Request, Step, What},
};

/// For whoever looks on.
pub fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// When a fault was done.
pub struct Window {
    pub fault: String,
    pub struck: At,
    pub healed: At,
    /// From the mending to a write through each coordinator.
    pub recovered_us: u64,
}

impl Window {
    fn holds(&self, us: u64) -> bool {
        (self.struck.us..=self.healed.us + self.recovered_us).contains(&us)
    }
}

/// One fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub fault: String,
    pub seed: u64,
    /// Writes that were acknowledged, open, and cleanly failed between the fault and the recovery.
    pub acknowledged: usize,
    pub unknown: usize,
    pub failed: usize,
    /// Acknowledged, and not in the log in the end. Only a store that lost its newest revisions is forgiven any.
    pub lost: usize,
    /// How long the fault was done for, in milliseconds.
    pub lasted_ms: u64,
    /// The longest time in which no write was acknowledged.
    pub writes_stalled_ms: u64,
    /// The longest time from an acknowledgement to the event on an open watch.
    pub watches_stalled_ms: u64,
    /// From the mending to a write through each coordinator.
    pub recovery_ms: u64,
}

impl Row {
    pub fn of(window: &Window, seed: u64, history: &History) -> Self {
        let writes = |is: fn(&Outcome) -> bool| {
            let writes = history.calls.iter().filter(|call| matches!(call.request, Request::Write(_)));
            writes.filter(|call| window.holds(call.end.us) && is(&call.outcome)).count()
        };
        Self {
            fault: window.fault.clone(),
            seed,
            acknowledged: writes(|outcome| matches!(outcome, Outcome::Done { .. })),
            unknown: writes(|outcome| matches!(outcome, Outcome::Unknown { .. })),
            failed: writes(|outcome| matches!(outcome, Outcome::Failed { .. })),
            lost: history.lost.as_ref().map_or(0, |lost| {
                let is_lost = |call: &&Call| {
                    matches!(&call.outcome, Outcome::Done { revision: Some(revision), .. }
                        if *revision > lost.kept && call.end.tick < lost.at.tick)
                };
                history.calls.iter().filter(is_lost).count()
            }),
            lasted_ms: (window.healed.us - window.struck.us) / 1_000,
            writes_stalled_ms: writes_stalled(history, window) / 1_000,
            watches_stalled_ms: watches_stalled(history, window) / 1_000,
            recovery_ms: window.recovered_us / 1_000,
        }
    }

    /// Leaves a line in the folder that is named, if one is.
    pub fn leave(&self) {
        let line = serde_json::to_string(self).unwrap();
        say(&line);
        if let Some(folder) = std::env::var_os("SWARMEM_FAULTS_TABLE") {
            let name = format!("{}.json", self.fault.replace(' ', "-"));
            std::fs::write(Path::new(&folder).join(name), line).unwrap();
        }
    }
}

/// The moments of acknowledged changes, by revision.
fn acknowledgements(history: &History) -> HashMap<u64, u64> {
    let done = history.calls.iter().filter_map(|call| match (&call.request, &call.outcome) {
        (Request::Write(_), Outcome::Done { revision: Some(revision), .. }) => Some((*revision, call.end.us)),
        _ => None,
    });
    done.collect()
}

/// Whether somebody was told that the history is another one.
pub fn is_told(step: &Step) -> bool {
    matches!(&step.what, What::Ended { reason: Some(reason), .. } if reason == "INCARNATION_CHANGED")
}

fn writes_stalled(history: &History, window: &Window) -> u64 {
    let mut moments: Vec<_> = acknowledgements(history).into_values().collect();
    moments.sort_unstable();
    let gaps = moments.windows(2).filter(|gap| window.holds(gap[0]) || window.holds(gap[1]));
    gaps.map(|gap| gap[1] - gap[0]).max().unwrap_or_default()
}

fn watches_stalled(history: &History, window: &Window) -> u64 {
    let acknowledged = acknowledgements(history);
    let mut longest = 0;
    // Those that rest are late by their own wish.
    let rests = |watcher: &str| rests(watcher.rsplit(' ').next().unwrap().parse().unwrap());
    for stream in history.streams.iter().filter(|stream| !rests(&stream.watcher)) {
        for step in &stream.steps {
            let What::Events { events, .. } = &step.what else { continue };
            let moments = events.iter().filter_map(|event| acknowledged.get(&event.revision));
            // What was written before it was opened came late by its own wish.
            let delays = moments
                .filter(|&&at| at >= stream.opened.us && window.holds(at))
                .map(|&at| step.at.us.saturating_sub(at));
            longest = delays.max().unwrap_or_default().max(longest);
        }
    }
    longest
}

/// How long after the mending each coordinator had acknowledged a write that began behind it; none: not all have yet.
pub fn recovered(history: &History, coordinators: &[String], healed: At) -> Option<u64> {
    let first = |name: &String| {
        let writes = history.calls.iter().filter(|call| {
            &call.via == name
                && call.start.us >= healed.us
                && matches!(call.outcome, Outcome::Done { .. })
                && matches!(call.request, Request::Write(_))
        });
        writes.map(|call| call.end.us - healed.us).min()
    };
    coordinators.iter().map(first).collect::<Option<Vec<_>>>()?.into_iter().max()
}
