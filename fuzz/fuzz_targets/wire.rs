//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, wire};

libfuzzer_sys::fuzz_target!(init: begin("wire"), |input: &[u8]| wire::check(input));
