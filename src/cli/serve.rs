//! The arguments of the commands that need more than a client. Knows nothing of how they are carried out.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::value::Setting;

/// Run a coordinator.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// The configuration file; flags and SWARMEM_ variables win over it
    #[arg(long, env = "SWARMEM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen for gRPC: an IP address or localhost, and a port
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where to serve figures and probes over HTTP; empty: nowhere
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// The SQLite database file; made when it does not exist
    #[arg(long, value_name = "PATH")]
    pub store: Option<String>,
    /// Listen on this unix socket too
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<String>,
    /// Allow an address that other machines can reach, though identity is not yet proven
    #[arg(long)]
    pub insecure: bool,
    /// Set any configuration key, such as store.path=/var/lib/swarmem/swarmem.db
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
}

impl ServeArgs {
    /// What the flags say, as dotted configuration keys and their values. A later one wins: flags of their own
    /// stand behind `--set`.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let set = self.settings.iter().map(|Setting { name, value }| (name.clone(), value.clone()));
        let named = [
            ("server.listen", self.listen.clone()),
            ("http.listen", self.http_listen.clone()),
            ("store.path", self.store.clone()),
            ("server.unix_socket", self.unix_socket.clone()),
            ("server.insecure", self.insecure.then(|| "true".to_owned())),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        set.chain(named).collect()
    }
}

/// Copy a SQLite database while it is in use.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// Where to write the copy; must not exist
    pub file: PathBuf,
    /// The database to copy; by default the configured one
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// The configuration file that says which database is used
    #[arg(long, env = "SWARMEM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Put a backup in the place of a SQLite database.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
    /// The database to write
    #[arg(long, value_name = "PATH")]
    pub store: PathBuf,
    /// Replace a database that exists
    #[arg(long)]
    pub force: bool,
}

/// Print configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print the default configuration file, with every key explained
    PrintDefault,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_configuration_keys() {
        let args = ServeArgs {
            listen: Some("127.0.0.1:0".into()),
            store: Some("a.db".into()),
            insecure: true,
            settings: vec!["store.path=b.db".parse().unwrap()],
            ..ServeArgs::default()
        };
        let expected = [
            ("store.path", "b.db"),
            ("server.listen", "127.0.0.1:0"),
            ("store.path", "a.db"),
            ("server.insecure", "true"),
        ];
        assert_eq!(args.overrides(), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
