//! The main job in one command on real text: agents that share a memory, and the proof that all saw the same.
//! Knows a coordinator only as its clients do.

use std::path::PathBuf;

use clap::Args;

/// Watch eight agents share the memory of some text, and prove that they saw the same.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// A text file, or a directory of them; by default the project's own documents
    pub path: Option<PathBuf>,
    /// Leave the data in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}
