//! The target of this name under libFuzzer.
#![no_main]

use swarmem_fuzz::{begin, rpc_calls};

libfuzzer_sys::fuzz_target!(init: begin("rpc_calls"), |input: &[u8]| rpc_calls::check(input));
