//! The fuzz targets without a fuzzer: their corpus, and inputs made from it by chance. Knows no target.
//!
//! `SWARMEM_SOAK_MINUTES` gives each target its share of so long instead of a fixed number of inputs.

pub mod mutate;
#[expect(dead_code, reason = "some of it is for the fuzzer alone")]
#[path = "../../fuzz/src/lib.rs"]
pub mod targets;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// Inputs that are tried of each target; what talks to a server is slower.
const INPUTS: u32 = 2_000;
const INPUTS_TO_A_SERVER: u32 = 300;
const SEED: u64 = 20_261;

/// What the corpus begins with, and what a fuzzer added to it.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut corpus = (target.seeds)();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target.name);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    corpus.extend(files.iter().map(|file| fs::read(file).unwrap()));
    corpus
}

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target);
    for input in &corpus {
        guarded(target, input);
    }
    let mut mutator = Mutator::seeded(SEED);
    let soak = std::env::var("SWARMEM_SOAK_MINUTES").ok().map(|minutes| minutes.parse::<u64>().unwrap());
    let end = Instant::now() + Duration::from_secs(60 * soak.unwrap_or(0)) / TARGETS.len() as u32;
    loop {
        for _ in 0..if name.starts_with("rpc") { INPUTS_TO_A_SERVER } else { INPUTS } {
            guarded(target, &mutator.input(&corpus));
        }
        if Instant::now() >= end {
            return;
        }
    }
}

/// Says which input it was that failed.
fn guarded(target: &Target, input: &[u8]) {
    struct Named<'a>(&'static str, &'a [u8]);
    impl Drop for Named<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("target {} failed on {:?}", self.0, self.1);
            }
        }
    }
    let _named = Named(target.name, input);
    (target.check)(input);
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

targets! { paths tokens attributes filter codec bus wire rpc_bytes rpc_calls }

#[test]
fn the_oracle_of_the_wire_is_the_protocol() {
    targets::wire::check_oracle();
}
