//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, filter};

libfuzzer_sys::fuzz_target!(init: begin("filter"), |input: &[u8]| filter::check(input));
