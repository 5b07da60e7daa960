//! The section `store`. Does not know how a store is opened.

use std::path::PathBuf;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Origin},
    secret::Secret,
    setting::{Allowed, Section, optional},
};

/// Where memory is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// A SQLite file, for one coordinator, or a PostgreSQL database, for as many as you like.
    pub kind: StoreKind,
    /// The SQLite file. It is created if it does not exist; one process at a time can have it open.
    pub path: PathBuf,
    /// SQLite: how many connections read at the same time. There is always one more, which writes.
    pub read_connections: u32,
    /// SQLite: so much of the entries that were read lately is kept in memory, so that reading them again does not ask
    /// the database; 0: nothing.
    pub cache_bytes_max: usize,
    /// How many reads of callers may run or wait at the same time; further ones are refused with RESOURCE_EXHAUSTED. An
    /// answer has at most 4 MiB.
    pub reads_max: usize,
    /// PostgreSQL: where the database is, as postgres://user:password@host:5432/database. A secret: it is never printed, and
    /// `url_file` (SWARMEM_STORE_URL_FILE) takes the name of a file that holds it instead.
    pub url: Secret,
    /// PostgreSQL: how many connections this coordinator opens at most.
    pub connections: u32,
    /// PostgreSQL: what stands in between. "transaction" for PgBouncer with pool_mode = transaction, or its like: then no
    /// statement is prepared and no session is set up.
    pub pooler: Pooler,
    /// PostgreSQL: "verify-full" encrypts, and talks only to a server whose certificate is by an authority in
    /// `tls_ca_file` and carries the host's name.
    pub tls: StoreTls,
    /// PostgreSQL: the certificates of the authorities that are trusted, in PEM. The system's own are
    /// /etc/ssl/certs/ca-certificates.crt on Debian.
    #[serde(with = "optional")]
    pub tls_ca_file: Option<PathBuf>,
}

/// What kind of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A SQLite file.
    #[default]
    Sqlite,
    /// A PostgreSQL database.
    Postgres,
}

/// What stands between a coordinator and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// Nothing, or something that keeps a connection for a session.
    #[default]
    None,
    /// Something that keeps a connection for a transaction.
    Transaction,
}

/// How connections to PostgreSQL are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreTls {
    /// Not at all.
    #[default]
    Off,
    /// Encrypted, and the server is verified by authority and name.
    VerifyFull,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            path: PathBuf::from("swarmem.db"),
            read_connections: 4,
            cache_bytes_max: 16 << 20,
            reads_max: 1024,
            url: Secret::default(),
            connections: 16,
            pooler: Pooler::None,
            tls: StoreTls::Off,
            tls_ca_file: None,
        }
    }
}

impl Section for Store {
    const NAME: &'static str = "store";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("kind", Allowed::OneOf(&["sqlite", "postgres"])),
        ("path", Allowed::Text("a path", |text| !text.is_empty())),
        ("read_connections", Allowed::Integer(1, 64)),
        ("cache_bytes_max", Allowed::Integer(0, 64 << 30)),
        ("reads_max", Allowed::Integer(1, 1_000_000)),
        (
            "url",
            Allowed::Secret("a URL that begins with postgres://, or empty", |text| {
                text.is_empty() || text.starts_with("postgres://") || text.starts_with("postgresql://")
            }),
        ),
        ("connections", Allowed::Integer(1, 1024)),
        ("pooler", Allowed::OneOf(&["none", "transaction"])),
        ("tls", Allowed::OneOf(&["off", "verify-full"])),
        ("tls_ca_file", Allowed::Text("a path, or empty", |_| true)),
    ];
}

impl Store {
    pub(super) fn check(&self, origin: &dyn Fn(&str) -> Origin) -> Result<(), Error> {
        let conflict = |name: &str, value: &str, conflict: &str| {
            Err(Error::Conflict {
                name: name.to_owned(),
                value: value.to_owned(),
                origin: origin(name),
                conflict: conflict.to_owned(),
            })
        };
        match self.kind {
            StoreKind::Postgres if self.url.is_empty() => {
                conflict("store.kind", "\"postgres\"", "which database is not said; set store.url")
            }
            StoreKind::Sqlite if !self.url.is_empty() => conflict(
                "store.url",
                "(not shown)",
                "it is not used, since store.kind is \"sqlite\"; set store.kind = \"postgres\"",
            ),
            StoreKind::Postgres if self.tls == StoreTls::VerifyFull && self.tls_ca_file.is_none() => {
                conflict("store.tls", "\"verify-full\"", "whom to trust is not said; set store.tls_ca_file")
            }
            _ => Ok(()),
        }
    }
}
