//! The `swarmem` program: parses the command line, and runs what it says. Knows nothing of how anything is done.

use std::{io, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use swarmem::{
    app::{self, App},
    cli::{self, BackupArgs, Cli, Command, ConfigCommand, DemoArgs, Format, RestoreArgs, ServeArgs},
    config::{self, Config},
    lifecycle::Lifecycle,
};
