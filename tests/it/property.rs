//! Each store against the reference store: the same random history on both, the same answers to every question.
//!
//! `SWARMEM_SOAK_MINUTES` makes it go on for so long instead of for a fixed number of histories.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test stops at what it does not expect")]

mod history;
mod pair;

use std::time::{Duration, Instant};

use history::Step;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::servers::postgres::Database;

/// How many histories a short pass has.
const ON_SQLITE: u32 = 48;
/// Each of its statements is a round trip.
const ON_POSTGRES: u32 = 12;

#[test]
fn sqlite_answers_as_the_reference_store_does() {
    check(ON_SQLITE, async |steps| pair::run_on_sqlite(steps).await);
}

#[test]
fn postgres_answers_as_the_reference_store_does() {
    let database = Database::new();
    check(ON_POSTGRES, async |steps| pair::run_on_postgres(steps, &database).await);
}

fn check(histories: u32, run: impl AsyncFn(&[Step]) -> Result<(), String>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let soak = std::env::var("SWARMEM_SOAK_MINUTES").ok().map(|minutes| minutes.parse::<u64>().unwrap());
    let end = Instant::now() + Duration::from_secs(60 * soak.unwrap_or(0));
    loop {
        let config = Config { cases: histories, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config)
            .run(&history::history(), |steps| runtime.block_on(run(&steps)).map_err(TestCaseError::fail));
        if let Err(failure) = checked {
            panic!("{failure}");
        }
        if Instant::now() >= end {
            return;
        }
    }
}
