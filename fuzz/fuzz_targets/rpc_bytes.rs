//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, rpc_bytes};

libfuzzer_sys::fuzz_target!(init: begin("rpc_bytes"), |input: &[u8]| rpc_bytes::check(input));
