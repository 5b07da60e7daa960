//! What an operator can set, and its one source of names, defaults, ranges and texts. Does not know who reads it.
//!
//! The file is overridden by the environment, and that by the command line. Every section is a struct in a file of its
//! own: the doc comments of its fields are the texts of the default file ([`default_toml`]) and of the reference
//! ([`reference_markdown`]), and its table `ALLOWED` says which values are taken.

mod bus;
mod error;
mod http;
mod lanes;
mod layers;
mod limits;
mod log;
mod recall;
mod render;
mod retention;
mod secret;
mod server;
mod setting;
mod store;
mod transport;
mod watch;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::{
    bus::{Bus, BusKind, Topology},
    error::{Error, Origin},
    http::Http,
    lanes::Lanes,
    layers::COMMAND_LINE_VARIABLES,
    limits::Limits,
    log::{Format, Log},
    recall::{Embedder, Recall},
    render::{default_toml, reference_markdown},
    retention::Retention,
    secret::Secret,
    server::Server,
    store::{Pooler, Store, StoreKind, StoreTls},
    transport::Transport,
    watch::Watch,
};
use self::{layers::Layers, setting::catalog};

/// All settings of a coordinator. The default is what a file without any entry gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the coordinator listens, and how it ends.
    pub server: Server,
    /// Where figures and probes are served over plain HTTP.
    pub http: Http,
    /// What connections may take.
    pub transport: Transport,
    /// Where memory is kept.
    pub store: Store,
    /// How coordinators learn of each other's commits.
    pub bus: Bus,
    /// How writes are gathered into commits.
    pub lanes: Lanes,
    /// How changes reach watchers.
    pub watch: Watch,
    /// How much memory answering questions may take.
    pub recall: Recall,
    /// How long history is kept, and how expired entries go.
    pub retention: Retention,
    /// How large things may be.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
}

impl Config {
    /// Reads the settings: `file` first, then `env`, then `overrides`, each over the one before.
    ///
    /// `env` is a whole environment: variables named `SWARMEM_<SECTION>_<KEY>` are taken. Others that begin with `SWARMEM_`
    /// are refused, unless they are known to be somebody else's, and all the rest is ignored.
    /// `overrides` are pairs of a dotted name and a value (`("server.listen", "127.0.0.1:0")`).
    ///
    /// # Errors
    /// When the file cannot be read, a name is unknown, or a value is not allowed; also if a later layer replaces it.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, Error> {
        let mut layers = Layers::default();
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        layers.add_environment(env)?;
        layers.add_overrides(overrides)?;
        let config = layers.build();
        config.check(&|name| layers.origin(name))?;
        Ok(config)
    }

    /// Checks settings that were made in code as [`Config::load`] checks those it reads.
    ///
    /// # Errors
    /// When a value is not allowed, alone or beside another one.
    pub fn validate(&self) -> Result<(), Error> {
        self.check(&|_| Origin::Code)
    }

    fn check(&self, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        let values = setting::to_table(self);
        for setting in catalog().into_iter().flat_map(|section| section.settings) {
            setting.check(&values[setting.section][setting.key], || origin(&setting.name()))?;
        }
        self.server.check(origin)?;
        self.http.check(&self.server, origin)?;
        self.store.check(origin)?;
        self.bus.check(origin)?;
        self.transport.check(&self.limits, origin)?;
        self.lanes.check(&self.limits, origin)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    type Pairs = [(&'static str, &'static str)];

    fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn load(file: &str, env: &[(&str, &str)], overrides: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swarmem.toml");
        fs::write(&path, file).unwrap();
        Config::load(Some(&path), pairs(env).into_iter(), &pairs(overrides))
            .map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("url");
        fs::write(&file, "postgres://me:correct-horse@host/db\n").unwrap();
        let path = file.to_str().unwrap();
        let kind = ("store.kind", "postgres");
        for config in [
            load(&format!("[store]\nurl_file = \"{path}\""), &[], &[kind]),
            load("", &[("SWARMEM_STORE_URL_FILE", path)], &[kind]),
            load("", &[], &[("store.url_file", path), kind]),
        ] {
            let config = config.unwrap();
            assert_eq!(config.store.url.expose(), "postgres://me:correct-horse@host/db");
            assert!(!format!("{config:?}").contains("correct-horse"), "{config:?}");
        }
        fs::write(&file, "mysql://me:correct-horse@host/db").unwrap();
        for refused in [
            load("", &[("SWARMEM_STORE_URL_FILE", path)], &[kind]),
            load("", &[("SWARMEM_STORE_URL", "mysql://me:correct-horse@host/db")], &[kind]),
            load("[store]\nurl = \"postgres://me:correct-horse@host/db\"", &[], &[]),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.contains("store.url") && !refused.contains("correct-horse"), "{refused}");
        }
        let missing = load("[store]\nurl_file = \"/nowhere/at/all\"", &[], &[kind]).unwrap_err();
        assert!(
            missing.starts_with("store.url_file = /nowhere/at/all, from the file FILE: it cannot be"),
            "{missing}"
        );
        let number = load("[store]\nurl_file = 3", &[], &[kind]).unwrap_err();
        assert!(number.contains("store.url_file = 3") && number.contains("the path of a file"), "{number}");
    }

    #[test]
    fn a_secret_is_said_once_and_is_not_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, "\n").unwrap();
        let (path, kind) = (file.to_str().unwrap(), ("bus.kind", "redis"));
        let empty = load("", &[("SWARMEM_BUS_PASSWORD_FILE", path)], &[kind]).unwrap_err();
        assert!(empty.starts_with("bus.password_file = ") && empty.contains("is empty"), "{empty}");
        fs::write(&file, "sesame\n").unwrap();
        let (value, in_file) = (("bus.password", "barley"), ("bus.password_file", path));
        let variables = [("SWARMEM_BUS_PASSWORD_FILE", path), ("SWARMEM_BUS_PASSWORD", "barley")];
        for twice in [
            load(&format!("[bus]\npassword = \"barley\"\npassword_file = \"{path}\""), &[], &[kind]),
            load("", &variables, &[kind]),
            load("", &[variables[1], variables[0]], &[kind]),
            load("", &[], &[in_file, value, kind]),
        ] {
            let twice = twice.unwrap_err();
            assert!(twice.contains("bus.password_file is given beside it"), "{twice}");
            assert!(!twice.contains("barley") && !twice.contains("sesame"), "{twice}");
        }
        // A later layer overrides the one before, as everywhere.
        let config = load("[bus]\npassword = \"barley\"", &variables[..1], &[kind]).unwrap();
        assert_eq!(config.bus.password.expose(), "sesame");
    }

    #[test]
    fn a_store_that_is_half_said_is_refused() {
        let refused = load("", &[], &[("store.kind", "postgres")]).unwrap_err();
        assert!(refused.contains("set store.url"), "{refused}");
        let tls =
            [("store.kind", "postgres"), ("store.url", "postgres://host/db"), ("store.tls", "verify-full")];
        let refused = load("", &[], &tls).unwrap_err();
        assert!(refused.contains("set store.tls_ca_file"), "{refused}");
    }

    #[test]
    fn nothing_set_is_the_default_and_the_default_is_valid() {
        let config = Config::load(None, std::iter::empty(), &[]).unwrap();
        assert_eq!(config, Config::default());
        config.validate().unwrap();
        assert_eq!(config.server.listen, Some("127.0.0.1:7420".parse().unwrap()));
        assert_eq!(config.server.unix_socket, None);
        assert_eq!(config.limits.content_bytes_max, 262_144);
    }

    #[test]
    fn later_layers_override_earlier_ones() {
        let file = "[lanes]\nidle_ms = 1000\nbatch_requests_max = 7\n[store]\npath = \"a.db\"";
        let env = [("SWARMEM_LANES_IDLE_MS", "2000"), ("SWARMEM_STORE_PATH", "b.db")];
        let config = load(file, &env, &[("store.path", "c.db")]).unwrap();
        assert_eq!(config.lanes.batch_requests_max, 7);
        assert_eq!(config.lanes.idle_ms, 2000);
        assert_eq!(config.store.path, PathBuf::from("c.db"));
    }

    #[test]
    fn every_kind_of_value_comes_from_text() {
        let env = [
            ("SWARMEM_SERVER_LISTEN", ""),
            ("SWARMEM_SERVER_UNIX_SOCKET", "swarmem.sock"),
            ("SWARMEM_SERVER_INSECURE", "true"),
            ("SWARMEM_LOG_FORMAT", "json"),
            ("SWARMEM_STORE_READ_CONNECTIONS", "64"),
        ];
        let config = load("", &env, &[]).unwrap();
        assert_eq!(config.server.listen, None);
        let named = load("[server]\nlisten = \"localhost:1\"", &[], &[]).unwrap();
        assert_eq!(named.server.listen, Some("127.0.0.1:1".parse().unwrap()));
        assert_eq!(config.server.unix_socket, Some(PathBuf::from("swarmem.sock")));
        assert!(config.server.insecure);
        assert_eq!(config.log.format, Format::Json);
        assert_eq!(config.store.read_connections, 64);
    }

    #[test]
    fn variables_of_the_command_line_and_of_others_are_ignored() {
        let env = [
            ("SWARMEM_ADDRESS", "x"),
            ("SWARMEM_SWARM", "x"),
            ("SWARMEM_AGENT", "x"),
            ("SWARMEM_ROLE", "x"),
            ("SWARMEM_CONFIG", "x"),
            ("SWARMEM_SERVICE_HOST", "10.0.0.1"),
            ("SWARMEM_SERVICE_PORT", "7420"),
            ("SWARMEM_SERVICE_PORT_GRPC", "7420"),
            ("SWARMEM_PORT", "tcp://10.0.0.1:7420"),
            ("SWARMEM_PORT_7420_TCP", "tcp://10.0.0.1:7420"),
            ("SWARMEM_PORT_7420_TCP_ADDR", "10.0.0.1"),
            ("SWARMEM_SERVER_SERVICE_HOST", "10.0.0.1"),
            ("SWARMEM_TEST_SEED", "1"),
            ("PATH", "x"),
            ("SERVER_LISTEN", "x"),
        ];
        assert_eq!(load("", &env, &[]).unwrap(), Config::default());
    }

    #[test]
    fn errors_name_setting_value_range_and_origin() {
        let cases: &[(&str, &Pairs, &Pairs, &str)] = &[
            (
                "[store]\nread_connections = 65",
                &[],
                &[],
                "store.read_connections = 65, from the file FILE: must be an integer from 1 to 64",
            ),
            (
                "",
                &[("SWARMEM_LANES_IDLE_MS", "soon")],
                &[],
                "lanes.idle_ms = \"soon\", from the environment variable SWARMEM_LANES_IDLE_MS: \
                 must be an integer from 10 to 86400000",
            ),
            (
                "",
                &[],
                &[("limits.tags_max", "65")],
                "limits.tags_max = 65, from the command line: must be an integer from 0 to 64",
            ),
            (
                "[log]\nformat = \"xml\"",
                &[],
                &[],
                "log.format = \"xml\", from the file FILE: must be \"text\" or \"json\"",
            ),
            (
                "[server]\ninsecure = 1",
                &[],
                &[],
                "server.insecure = 1, from the file FILE: must be true or false",
            ),
            (
                "[server]\nlisten = \"localhost\"",
                &[],
                &[],
                "server.listen = \"localhost\", from the file FILE: must be an IP address with a port, as \
                 127.0.0.1:7420 or [::1]:7420, or localhost with a port (other names are not looked up), or empty",
            ),
            ("server = 1", &[], &[], "server = 1, from the file FILE: must be a section, [server]"),
            (
                "[server]\nlisten_adress = 1",
                &[],
                &[],
                "unknown setting server.listen_adress, from the file FILE; the nearest is server.listen",
            ),
            (
                "listen = 1",
                &[],
                &[],
                "unknown setting listen, from the file FILE; the nearest is server.listen",
            ),
            (
                "[sever]\nlisten = 1",
                &[],
                &[],
                "unknown setting sever, from the file FILE; the nearest is server",
            ),
            (
                "",
                &[("SWARMEM_STORE_PTH", "x")],
                &[],
                "unknown setting SWARMEM_STORE_PTH, from the environment variable SWARMEM_STORE_PTH; the nearest is \
                 SWARMEM_STORE_PATH",
            ),
            (
                "",
                &[("SWARMEM_WACHT__STREAMS_MAX", "1")],
                &[],
                "unknown setting SWARMEM_WACHT__STREAMS_MAX, from the environment variable SWARMEM_WACHT__STREAMS_MAX; \
                 the nearest is SWARMEM_WATCH_STREAMS_MAX",
            ),
            (
                "",
                &[("SWARMEM_ADRESS", "x")],
                &[],
                "unknown setting SWARMEM_ADRESS, from the environment variable SWARMEM_ADRESS; the nearest is \
                 SWARMEM_ADDRESS",
            ),
            (
                "",
                &[("SWARMEM_PORT_OF_CALL", "x")],
                &[],
                "unknown setting SWARMEM_PORT_OF_CALL, from the environment variable SWARMEM_PORT_OF_CALL; ",
            ),
            (
                "",
                &[],
                &[("log.levl", "x")],
                "unknown setting log.levl, from the command line; the nearest is log.level",
            ),
            (
                "",
                &[],
                &[("foo.bar", "x")],
                "unknown setting foo.bar, from the command line; `swarmem config print-default` lists them all",
            ),
            ("[log]\nlevel = ", &[], &[], "the file FILE is not TOML, line 2: "),
        ];
        for (file, env, overrides, expected) in cases {
            let error = load(file, env, overrides).unwrap_err();
            assert!(error.starts_with(expected), "got      {error}\nexpected {expected}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("no/such.toml")), std::iter::empty(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the file no/such.toml: "), "{error}");
    }

    #[test]
    fn a_value_that_a_later_layer_replaces_is_checked_too() {
        assert!(load("[lanes]\nidle_ms = 1", &[("SWARMEM_LANES_IDLE_MS", "2000")], &[]).is_err());
    }

    #[test]
    fn only_loopback_is_open_without_saying_so() {
        for loopback in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            load("", &[], &[("server.listen", loopback), ("http.listen", loopback)]).unwrap();
        }
        for open in ["0.0.0.0:7420", "[::]:7420", "10.0.0.1:7420"] {
            let error = load("", &[("SWARMEM_SERVER_LISTEN", open)], &[]).unwrap_err();
            for part in
                [open, "SWARMEM_SERVER_LISTEN", "no authentication", "server.insecure = true", "--insecure"]
            {
                assert!(error.contains(part), "{part} is missing in: {error}");
            }
            let error = load("", &[], &[("http.listen", open)]).unwrap_err();
            for part in ["http.listen", open, "server.insecure = true", "--insecure"] {
                assert!(error.contains(part), "{part} is missing in: {error}");
            }
            let insecure = [("server.listen", open), ("http.listen", open), ("server.insecure", "true")];
            load("", &[], &insecure).unwrap();
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let error = load("", &[], &[("server.listen", "")]).unwrap_err();
        assert!(error.contains("server.unix_socket"), "{error}");
        let error = load("[lanes]\nqueue_bytes_max = 4194303", &[], &[]).unwrap_err();
        assert!(error.contains("limits.request_bytes_max = 4194304"), "{error}");
    }

    #[test]
    fn settings_made_in_code_are_checked() {
        let mut config = Config::default();
        config.limits.key_bytes_max = 513;
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with("limits.key_bytes_max = 513, set in code: "), "{error}");
    }
}
