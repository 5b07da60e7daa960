//! `completions`: what makes a shell complete our commands and options. Knows the command line, nothing of what it does.

use clap::{Args, CommandFactory as _};

use super::Cli;

/// Print what makes a shell complete commands and their options.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: clap_complete::Shell,
}

/// What makes `shell` complete our command line.
#[must_use]
pub fn completions(args: &CompletionsArgs) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    clap_complete::generate(args.shell, &mut command, "swarmem", &mut script);
    script
}
