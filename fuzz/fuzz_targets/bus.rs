//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, bus};

libfuzzer_sys::fuzz_target!(init: begin("bus"), |input: &[u8]| bus::check(input));
