//! The commands that look at a store itself, without a coordinator. Knows nothing of how that is done.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Format, value::Setting};

/// Look at the store itself.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Say which store is configured, and which version its schema has; changes nothing
    Status(StoreArgs),
    /// Bring the schema up to date, as a coordinator does when it starts
    Migrate(StoreArgs),
}

/// Which store.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArgs {
    /// The configuration file; flags and SWARMEM_ variables win over it
    #[arg(long, env = "SWARMEM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The SQLite database file
    #[arg(long, value_name = "PATH")]
    pub store: Option<String>,
    /// Set any configuration key, such as store.kind=postgres
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
}

impl StoreArgs {
    /// What the flags say, as dotted configuration keys and their values. A later one wins.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let set = self.settings.iter().map(|Setting { name, value }| (name.clone(), value.clone()));
        set.chain(self.store.iter().map(|path| ("store.path".to_owned(), path.clone()))).collect()
    }
}

/// What was seen of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The word of `store.kind`.
    pub kind: &'static str,
    /// The file, or host, port and database.
    pub place: String,
    /// The version of the server, if there is one.
    pub server: Option<String>,
    /// The version of the schema; none: nothing is there yet.
    pub version: Option<i64>,
    /// The newest version that this program knows.
    pub known: i64,
    /// Why a coordinator could not write there, and the way out; none if nothing is known to be in its way.
    pub obstacle: Option<String>,
}

impl Report {
    /// As one line for people, or one object for programs.
    #[must_use]
    pub fn told(&self, format: Format) -> String {
        let Self { kind, place, server, version, known, obstacle } = self;
        let state = match version {
            None => "empty",
            Some(version) if version < known => "behind",
            Some(version) if version > known => "ahead",
            Some(_) => "current",
        };
        if format == Format::Json {
            let report = serde_json::json!({
                "kind": kind, "place": place, "server_version": server, "schema_version": version,
                "known_version": known, "state": state, "obstacle": obstacle,
            });
            return format!("{report}\n");
        }
        let server = server.as_ref().map_or_else(String::new, |server| format!(" {server}"));
        let schema = match version {
            None => format!(
                "nothing is there yet; the first start, or `swarmem store migrate`, makes version {known}"
            ),
            Some(version) if version < known => {
                format!(
                    "schema version {version}; the next start, or `swarmem store migrate`, makes it {known}"
                )
            }
            Some(version) if version > known => {
                format!(
                    "schema version {version}, made by a newer program, which this one (version {known}) can work with"
                )
            }
            Some(version) => format!("schema version {version}, up to date"),
        };
        format!("{kind}{server} at {place}: {schema}\n")
    }
}
