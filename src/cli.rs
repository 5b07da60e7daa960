//! The command line: what can be said on it, and the commands that need no more than a client. Knows nothing of
//! how a coordinator is started: `main` runs those commands.

mod bench;
mod completions;
mod confirm;
pub mod demo;
pub mod doctor;
mod error;
mod filter;
mod output;
mod patience;
mod read;
mod recall;
mod serve;
pub mod store;
mod swarm;
mod value;
mod view;
mod watch;
mod write;

use std::{ffi::OsString, time::Duration};

use clap::{Args, Parser, Subcommand};

use self::output::Output;
pub use self::{
    bench::BenchCommand,
    completions::{CompletionsArgs, completions},
    demo::DemoArgs,
    doctor::DoctorArgs,
    error::{Error, print_error},
    filter::{FilterArgs, KindArg},
    output::Format,
    read::{GetArgs, HistoryArgs, ListArgs, NamespacesArgs},
    recall::{ContextArgs, RecallArgs},
    serve::{BackupArgs, ConfigCommand, RestoreArgs, ServeArgs},
    store::{StoreArgs, StoreCommand},
    swarm::SwarmCommand,
    value::{Condition, Position, Setting},
    view::date,
    watch::WatchArgs,
    write::{DeleteArgs, PutArgs},
};
use crate::client::{Client, Endpoint, Options, Role};

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed for any other reason, or a proof failed
    2  the command line or the configuration is wrong
    3  there is no such entry or swarm
    4  a precondition did not hold, or the name is taken
    5  no coordinator, or it does not answer in time
    6  not allowed
    7  the input is not valid
    8  the position to start from is gone
    9  a limit was reached
  130  interrupted

With --json an error is one object on standard error: reason (stable), message, field (of the
request, or null), exit_code; token where a watch can be resumed, request_id where the outcome
of a write is unknown.";

/// A memory coordinator for swarms of AI agents.
#[derive(Debug, Parser)]
#[command(name = "swarmem", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the coordinator listens: host:port, http://host:port or unix:/path; by default 127.0.0.1:7420
    #[arg(long, global = true, env = "SWARMEM_ADDRESS")]
    pub address: Option<Endpoint>,
    /// The swarm to work in
    #[arg(long, global = true, env = "SWARMEM_SWARM", default_value = "default", value_name = "NAME")]
    pub swarm: String,
    /// The agent to speak as
    #[arg(long, global = true, env = "SWARMEM_AGENT", default_value = "cli", value_name = "NAME")]
    pub agent: String,
    /// What that agent may do: agent, orchestrator or observer
    #[arg(long, global = true, env = "SWARMEM_ROLE", default_value = "orchestrator")]
    pub role: Role,
    /// Print JSON: one object, or one a line where there are several
    #[arg(long, global = true)]
    pub json: bool,
    /// How long one call may take, such as 5s or 500ms
    #[arg(long, global = true, default_value = "10s", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    pub timeout: Duration,
}

impl Global {
    /// For whom the output is.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Human }
    }

    async fn connect(&self) -> Result<Client, Error> {
        let defaults = Options::new(&self.swarm, &self.agent, self.role);
        let options = Options {
            connect_timeout: defaults.connect_timeout.min(self.timeout),
            call_timeout: self.timeout,
            // For programs there is nothing on standard error but the error.
            on_repeat: (!self.json).then(patience::on_repeat),
            ..defaults
        };
        Ok(Client::connect(&self.address.clone().unwrap_or_default(), options).await?)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a coordinator
    Serve(ServeArgs),
    /// Watch eight agents share the memory of some text, and prove that they saw the same
    Demo(DemoArgs),
    /// Write an entry
    Put(PutArgs),
    /// Print an entry
    Get(GetArgs),
    /// List entries
    List(ListArgs),
    /// List the namespaces that hold entries
    Namespaces(NamespacesArgs),
    /// Ask what the swarm knows about something
    Recall(RecallArgs),
    /// The same as a text for a model's prompt
    Context(ContextArgs),
    /// Delete an entry, or everything below a prefix
    Delete(DeleteArgs),
    /// Follow what happens
    Watch(WatchArgs),
    /// List the kept versions of an entry, newest first
    History(HistoryArgs),
    /// Ask the coordinator how it is
    Health,
    /// Create, describe, list or delete swarms
    #[command(subcommand)]
    Swarm(SwarmCommand),
    /// Measure a coordinator: one of its own, or with --address that one
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Copy a SQLite database while it is in use
    Backup(BackupArgs),
    /// Put a backup in the place of a SQLite database
    Restore(RestoreArgs),
    /// Look at the store itself, or bring its schema up to date
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look for what would keep a coordinator from running well, beside one that runs or without
    Doctor(DoctorArgs),
    /// Print what makes a shell complete commands and options
    Completions(CompletionsArgs),
}

/// Reads the process's command line. Help, version and mistakes are printed here.
///
/// # Errors
/// The exit code to end with at once.
pub fn parse() -> Result<Cli, u8> {
    Cli::try_parse().map_err(|error| {
        use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
        match error.kind() {
            DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => {
                // Nothing can be done about a help text that cannot be printed.
                drop(error.print());
                u8::try_from(error.exit_code()).unwrap_or(error::USAGE)
            }
            _ => {
                let line = error::usage_line(&error.render().to_string());
                print_error(&Error::Usage(line), format_asked(std::env::args_os()))
            }
        }
    })
}

/// For whom the output would be of a command line that cannot be read.
fn format_asked(arguments: impl Iterator<Item = OsString>) -> Format {
    let mut options = arguments.take_while(|argument| argument != "--");
    if options.any(|argument| argument == "--json") { Format::Json } else { Format::Human }
}

/// Runs a command that needs no more than a client, and returns the exit code. An error is printed in one line.
pub async fn run(cli: Cli) -> u8 {
    let format = cli.global.format();
    match dispatch(cli).await {
        Ok(()) => error::OK,
        Err(error) => print_error(&error, format),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Error> {
    let Cli { global, command } = cli;
    let mut output = Output::stdout(global.format());
    let output = &mut output;
    match command {
        Command::Put(args) => write::put(&global, args, output).await,
        Command::Delete(args) => write::delete(&global, args, output).await,
        Command::Get(args) => read::get(&global, args, output).await,
        Command::List(args) => read::list(&global, args, output).await,
        Command::Recall(args) => recall::recall(&global, args, output).await,
        Command::Context(args) => recall::context(&global, args, output).await,
        Command::Namespaces(args) => read::namespaces(&global, args, output).await,
        Command::History(args) => read::history(&global, args, output).await,
        Command::Watch(args) => watch::watch(&global, args, output).await,
        Command::Health => swarm::health(&global, output).await,
        Command::Swarm(command) => swarm::run(&global, command, output).await,
        Command::Bench(command) => bench::run(&global, command, output).await,
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Store(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Completions(_) => Err(Error::Failed("this command needs more than a client".to_owned())),
    }?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from([
            "swarmem",
            "get",
            "shared/a",
            "k",
            "--json",
            "--address",
            "unix:/run/s",
            "--timeout",
            "250ms",
        ])
        .unwrap();
        assert!(cli.global.json);
        assert_eq!(cli.global.address.unwrap().to_string(), "unix:/run/s");
        assert_eq!(cli.global.timeout, Duration::from_millis(250));
        assert!(matches!(cli.command, Command::Get(_)));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for args in [
            &["watch", "--snapshot", "--from", "3"][..],
            &["put", "shared/a", "x", "--if-absent", "--if-etag", "e"],
            &["delete", "shared/a"],
            &["list", "--keys", "--count"],
            &["put", "shared/a", "x", "--attr", "novalue"],
            &["get", "shared/a", "k", "--role", "king"],
        ] {
            let line = ["swarmem"].iter().chain(args);
            assert!(Cli::try_parse_from(line).is_err(), "{args:?}");
        }
    }
}
