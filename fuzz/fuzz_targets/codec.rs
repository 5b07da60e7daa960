//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, codec};

libfuzzer_sys::fuzz_target!(init: begin("codec"), |input: &[u8]| codec::check(input));
