//! Compiles the protocol files without protoc and keeps their descriptors for reflection.

use prost::Message as _;
use std::{env, fs, path::PathBuf};

const FILES: &[&str] = &[
    "swarmem/v1/entry.proto",
    "swarmem/v1/memory.proto",
    "swarmem/v1/recall.proto",
    "swarmem/v1/swarm.proto",
    "swarmem/v1/watch.proto",
    "swarmem/bus/v1/message.proto",
    "swarmem/store/v1/record.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let descriptors = protox::compile(FILES, ["proto"])?;

    let mut public = descriptors.clone();
    public.file.retain(|file| file.name().starts_with("swarmem/v1/") || !file.name().starts_with("swarmem/"));
    fs::write(out.join("swarmem.v1.bin"), public.encode_to_vec())?;

    tonic_prost_build::configure()
        // The server shares one encoding of an event among all streams, so the response
        // holds encoded bytes: the type is written by hand, with the same bytes on the wire.
        .extern_path(".swarmem.v1.WatchResponse", "crate::wire::WatchResponse")
        .compile_fds(descriptors)?;
    Ok(())
}
