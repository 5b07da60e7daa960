//! Wall clocks that jump under a load, ahead and back: those of the coordinators by an hour, that of PostgreSQL by seconds. Swarm time
//! is taken from PostgreSQL's clock under the head's lock and never runs back; a coordinator's own clock decides only what a read hides
//! as expired before its delete, and when it looks for what is due.

use std::time::Duration;

use super::{
    WRITES, acknowledged, plan,
    report::{self, Row, Window},
    seed,
    stand::{COORDINATORS, Stand},
    verdict,
};
use crate::{
    crash::random::Random,
    history::{load::Load, recorder::Recorder},
    process::eventually,
    servers::clocks::Clocks,
};

pub const NAME: &str = "clocks jump";
const HOUR_US: i64 = 3_600_000_000;
/// Times to live stand still for as long as PostgreSQL's clock was set back.
const SECONDS_US: i64 = 4_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_jump_break_no_promise() {
    let clocks = Clocks::new();
    let mut stand = Stand::with_clocks(&clocks).await;
    let recorder = Recorder::default();
    let mut random = Random::seeded(seed());
    let mut reading = stand.reading_of_the_log(&recorder, "default").await;
    let load = Load::start(plan(seed()), stand.endpoints(), &recorder);
    acknowledged(&load, WRITES, &stand).await;

    let struck = recorder.now();
    for _ in 0..6 {
        let mut by = |most: i64| i64::try_from(random.below(most.cast_unsigned() * 2)).unwrap() - most;
        clocks.set("postgres", by(SECONDS_US));
        for place in 0..COORDINATORS {
            clocks.set(&place.to_string(), by(HOUR_US));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // It is indeed another clock that PostgreSQL sees.
    clocks.set("postgres", SECONDS_US);
    let theirs: f64 =
        stand.postgres.sql("SELECT extract(epoch FROM clock_timestamp())").parse().expect("seconds");
    assert!(theirs > epoch_s() + 2.0, "its clock was not moved");
    clocks.set("postgres", 0);
    for place in 0..COORDINATORS {
        clocks.set(&place.to_string(), 0);
    }
    let healed = recorder.now();
    stand.heal().await;
    let recovered = eventually("writes through each coordinator", async || {
        report::recovered(&recorder.history(), &stand.names(), healed)
    });
    let recovered_us = recovered.await;
    acknowledged(&load, WRITES, &stand).await;
    let boss = load.finish().await;
    reading.stop().await;
    boss.read_log().await.unwrap();
    let history = recorder.finish();
    verdict("clocks", seed(), &history);
    let window = Window { fault: NAME.to_owned(), struck, healed, recovered_us };
    Row::of(&window, seed(), &history).leave();
}

fn epoch_s() -> f64 {
    let date = std::process::Command::new("date").arg("+%s.%N").output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().parse().unwrap()
}
