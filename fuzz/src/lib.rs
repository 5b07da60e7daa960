//! The fuzz targets, each a function from bytes that panics where a property does not hold. libFuzzer calls them from
//! `fuzz_targets/`; the suite includes this file and calls them with the same corpus and inputs of its own.

use std::{env, fs, path::Path};

pub mod attributes;
pub mod bus;
pub mod codec;
pub mod filter;
pub mod json;
pub mod paths;
pub mod rpc_bytes;
pub mod rpc_calls;
pub mod schema;
pub mod server;
pub mod source;
pub mod tokens;
pub mod wire;
pub mod words;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its executable, its seeds, its dictionary.
    pub name: &'static str,
    /// Checks one input.
    pub check: fn(&[u8]),
    /// What its corpus begins with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 9] = [
    Target { name: "paths", check: paths::check, seeds: paths::seeds },
    Target { name: "tokens", check: tokens::check, seeds: tokens::seeds },
    Target { name: "attributes", check: attributes::check, seeds: attributes::seeds },
    Target { name: "filter", check: filter::check, seeds: filter::seeds },
    Target { name: "codec", check: codec::check, seeds: codec::seeds },
    Target { name: "bus", check: bus::check, seeds: bus::seeds },
    Target { name: "wire", check: wire::check, seeds: wire::seeds },
    Target { name: "rpc_bytes", check: rpc_bytes::check, seeds: rpc_bytes::seeds },
    Target { name: "rpc_calls", check: rpc_calls::check, seeds: rpc_calls::seeds },
];

/// Writes the inputs that a target's code has into the folder that `SWARMEM_FUZZ_SEEDS` names, if it does.
///
/// # Panics
/// When there is no such target, or a file cannot be written.
pub fn begin(target: &str) {
    let Some(folder) = env::var_os("SWARMEM_FUZZ_SEEDS") else { return };
    let target = TARGETS.iter().find(|t| t.name == target).expect("the target has a row");
    for (at, seed) in (target.seeds)().into_iter().enumerate() {
        fs::write(Path::new(&folder).join(format!("code-{at:03}")), seed).expect("the folder can be written");
    }
}
