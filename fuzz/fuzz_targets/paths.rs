//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, paths};

libfuzzer_sys::fuzz_target!(init: begin("paths"), |input: &[u8]| paths::check(input));
