//! The long pass: one load, and faults at random under it for as long as is asked.

use std::{
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use swarmem::client::Role;

use super::{catalogue::FAULTS, report::say, seed, stand::Stand, verdict};
use crate::{
    crash::random::Random,
    history::{
        load::{Load, Plan},
        recorder::Recorder,
    },
};

/// One course is held to so long, because its whole history stays in memory.
const COURSE: Duration = Duration::from_secs(60);

/// `SWARMEM_SOAK_MINUTES` minutes of courses with random faults, on one stand; without it a short one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults() {
    let minutes = std::env::var("SWARMEM_SOAK_MINUTES").ok().map(|minutes| minutes.parse::<u64>().unwrap());
    let length = minutes.map_or(Duration::from_secs(5), |minutes| Duration::from_secs(60 * minutes));
    let begun = Instant::now();
    let mut random = Random::seeded(seed());
    let mut stand = Stand::start(&[]).await;
    let mut course = 0;
    while begun.elapsed() < length {
        course += 1;
        let ends = Instant::now() + COURSE.min(length);
        let recorder = Recorder::default();
        let swarm = format!("soak-{course}");
        let boss = stand.replicas[0].server.client("boss", Role::Orchestrator).await;
        boss.in_swarm(&*swarm).create_swarm(None).await.unwrap();
        let plan = Plan { swarm: swarm.clone(), ..super::plan(random.next()) };
        let load = Load::start(plan, stand.endpoints(), &recorder);
        let mut done = Vec::new();
        while Instant::now() < ends {
            let fault = &FAULTS[usize::try_from(random.below(FAULTS.len() as u64)).unwrap()];
            // What needs settings of its own has a course of its own.
            if !fault.settings.is_empty() {
                continue;
            }
            (fault.strike)(&mut stand, &mut random).await;
            stand.heal().await;
            super::acknowledged(&load, 20).await;
            done.push(fault.name);
        }
        let boss = load.finish().await;
        boss.read_log().await.unwrap();
        let history = recorder.history().clone();
        say(&done.join(", "));
        verdict(&format!("soak-{course}"), seed(), &history);
        tell(begun, course, &history, &stand);
    }
}

/// A line for the plot: memory and open files of each coordinator.
fn tell(begun: Instant, course: u32, history: &crate::history::record::History, stand: &Stand) {
    let figures: Vec<_> = stand
        .replicas
        .iter()
        .map(|replica| {
            let process = format!("/proc/{}", replica.server.id());
            let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
            let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default().trim();
            let files = fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count);
            format!("{rss}, {files} files")
        })
        .collect();
    let line = format!(
        "{:>5} s, course {course}: {} calls, {} streams; {}",
        begun.elapsed().as_secs(),
        history.calls.len(),
        history.streams.len(),
        figures.join("; ")
    );
    say(&line);
    // A long pass is followed while it runs.
    let Some(folder) = std::env::var_os("SWARMEM_FAULTS_TABLE") else { return };
    let file = std::path::Path::new(&folder).join("soak.txt");
    let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
    writeln!(file, "{line}").unwrap();
}
