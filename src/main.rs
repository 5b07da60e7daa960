//! The `swarmem` program: parses the command line, and runs what it says. Knows nothing of how anything is done.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use swarmem::{
    app::{self, App},
    cli::{
        self, BackupArgs, Cli, Command, ConfigCommand, DemoArgs, DoctorArgs, Format, RestoreArgs, ServeArgs,
        StoreCommand,
    },
    config::{self, Config},
    lifecycle::Lifecycle,
};

/// Measured against the system's (docs/performance.md). SQLite allocates from it, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code.into(),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli)).into(),
        Err(error) => fail(&anyhow::Error::new(error).context("could not start"), cli.global.format()).into(),
    }
}

async fn run(cli: Cli) -> u8 {
    let format = cli.global.format();
    let result = match cli.command {
        Command::Serve(args) => serve(&args, format).await,
        Command::Demo(args) => return demo(&args, format).await.unwrap_or_else(|error| fail(&error, format)),
        Command::Backup(args) => backup(&args).await,
        Command::Restore(args) => restore(&args).await,
        Command::Store(command) => store(&command, format).await,
        Command::Doctor(args) => return doctor(&args, format).await,
        Command::Completions(args) => {
            String::from_utf8(cli::completions(&args)).context("a script").and_then(|script| say(&script))
        }
        Command::Config(ConfigCommand::PrintDefault) => say(&config::default_toml()),
        _ => return cli::run(cli).await,
    };
    match result {
        Ok(()) => 0,
        Err(error) => fail(&error, format),
    }
}

fn fail(error: &anyhow::Error, format: Format) -> u8 {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors tell their cause themselves.
        if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    let is_usage = error.is::<config::Error>() || error.is::<app::Misconfigured>();
    let kind = if is_usage { cli::Error::Usage } else { cli::Error::Failed };
    cli::print_error(&kind(told), format)
}

async fn serve(args: &ServeArgs, format: Format) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), environment(), &args.overrides())?;
    app::log_to_stderr(&config.log)?;
    let lifecycle = Lifecycle::new();
    lifecycle.on_signals().context("could not listen for signals")?;
    let app = App::bind(&config, lifecycle).await?;
    say(&greeting(&app, format))?;
    app.run().await
}

/// One line on standard output once clients can connect, for people or for programs that started us.
fn greeting(app: &App, format: Format) -> String {
    let address = app.address().map(|a| a.to_string());
    let unix = app.unix_socket().map(|p| p.display().to_string());
    let http = app.http_address().map(|a| a.to_string());
    let store = app.store_place();
    match format {
        Format::Json => {
            format!(
                "{}\n",
                serde_json::json!({"address": address, "unix_socket": unix, "http": http, "health": app.health_address().map(|a| a.to_string()), "store": store})
            )
        }
        Format::Human => {
            let places: Vec<_> = address.into_iter().chain(unix.map(|path| format!("unix:{path}"))).collect();
            let http = http.map(|address| format!(", figures on http://{address}")).unwrap_or_default();
            format!("swarmem serves gRPC on {}{http}, data in {store}\n", places.join(" and "))
        }
    }
}

async fn demo(args: &DemoArgs, format: Format) -> anyhow::Result<u8> {
    app::log_to_stderr(&config::Log { level: "error".into(), ..config::Log::default() })?;
    let place = Place::new(args.keep.as_deref())?;
    let mut config = Config::default();
    config.store.path = place.directory.join("swarmem.db");
    config.server.listen = Some(([127, 0, 0, 1], 0).into());
    config.http.listen = None;
    config.server.default_swarm = None;
    let lifecycle = Lifecycle::new();
    lifecycle.on_signals().context("could not listen for signals")?;
    let app = App::bind(&config, lifecycle.clone()).await?;
    let address = app.address().context("the demo has no address")?;
    let server = tokio::spawn(app.run());
    let report = tokio::select! {
        report = cli::demo::run(args, address.into(), &config.store.path) => report,
        () = lifecycle.soft.cancelled() => Err(cli::Error::Failed("interrupted".into())),
    };
    lifecycle.soft.cancel();
    server.await.context("the demo's coordinator")??;
    match report {
        Ok(mut report) => {
            report.measure(&config.store.path);
            report.print(format)?;
            Ok(u8::from(!report.proved()))
        }
        Err(error) => Ok(cli::print_error(&error, format)),
    }
}

/// Where a demo keeps its data; a temporary place is removed with everything in it.
struct Place {
    directory: PathBuf,
    temporary: bool,
}

impl Place {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let (directory, temporary) = match keep {
            Some(directory) => (directory.to_owned(), false),
            None => (std::env::temp_dir().join(format!("swarmem-demo-{}", uuid::Uuid::new_v4())), true),
        };
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("could not create the folder {}", directory.display()))?;
        Ok(Self { directory, temporary })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is left to the system's own cleaning of temporary files.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

async fn doctor(args: &DoctorArgs, format: Format) -> u8 {
    let config = Config::load(args.serve.config.as_deref(), environment(), &args.serve.overrides());
    let findings = app::doctor::examine(config, args.deep).await;
    cli::doctor::tell(&findings, format).unwrap_or_else(|error| cli::print_error(&error, format))
}

async fn store(command: &StoreCommand, format: Format) -> anyhow::Result<()> {
    let (StoreCommand::Status(args) | StoreCommand::Migrate(args)) = command;
    let config = Config::load(args.config.as_deref(), environment(), &args.overrides())?;
    let report = match command {
        StoreCommand::Status(_) => app::store_status(&config.store).await?,
        StoreCommand::Migrate(_) => app::store_migrate(&config.store).await?,
    };
    say(&report.told(format))?;
    report.obstacle.map_or(Ok(()), |obstacle| Err(anyhow::anyhow!(obstacle)))
}

async fn backup(args: &BackupArgs) -> anyhow::Result<()> {
    let source = match &args.store {
        Some(path) => path.clone(),
        None => {
            let store = Config::load(args.config.as_deref(), environment(), &[])?.store;
            if store.kind == config::StoreKind::Postgres {
                anyhow::bail!(
                    "store.kind is \"postgres\"; back it up with PostgreSQL's own means, such as pg_basebackup"
                );
            }
            store.path
        }
    };
    app::backup(&source, &args.file).await?;
    say(&format!("copied {} to {}\n", source.display(), args.file.display()))
}

async fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    app::restore(&args.file, &args.store, args.force).await?;
    say(&format!(
        "restored {} to {}; its swarms begin a new incarnation, so watchers start over\n",
        args.file.display(),
        args.store.display()
    ))
}

/// The environment, as far as it is text; what is not cannot be one of our settings.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("could not write the output"),
    }
}
