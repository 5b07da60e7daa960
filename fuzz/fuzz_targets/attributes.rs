//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{attributes, begin};

libfuzzer_sys::fuzz_target!(init: begin("attributes"), |input: &[u8]| attributes::check(input));
