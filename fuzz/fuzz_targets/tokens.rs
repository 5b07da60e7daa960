//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, tokens};

libfuzzer_sys::fuzz_target!(init: begin("tokens"), |input: &[u8]| tokens::check(input));
