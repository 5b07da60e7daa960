//! SQLite against the reference store: the same random history on both, the same answers to every question.
//!
//! `SWARMEM_SOAK_MINUTES` makes it go on for so long instead of for a fixed number of histories.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test stops at what it does not expect")]

mod history;
mod pair;

use std::time::{Duration, Instant};

use proptest::test_runner::{Config, TestCaseError, TestRunner};

const HISTORIES: u32 = 48;

#[test]
fn sqlite_answers_as_the_reference_store_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let soak = std::env::var("SWARMEM_SOAK_MINUTES").ok().map(|minutes| minutes.parse::<u64>().unwrap());
    let end = Instant::now() + Duration::from_secs(60 * soak.unwrap_or(0));
    loop {
        let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&history::history(), |steps| {
            runtime.block_on(pair::run(&steps)).map_err(TestCaseError::fail)
        });
        if let Err(failure) = checked {
            panic!("{failure}");
        }
        if Instant::now() >= end {
            return;
        }
    }
}
