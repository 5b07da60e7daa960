//! Why a database cannot be opened, each with the way out. No text holds a password.

use std::{io, path::PathBuf};

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be used. It is not shown, since it has a password in it.
    #[error("store.url {problem}; it looks like postgres://user:password@host:5432/database")]
    Url {
        /// What is wrong with it.
        problem: String,
    },
    /// The file of authorities cannot be used.
    #[error("store.tls_ca_file, {}: {source}; it has to hold the certificate of the authority in PEM", file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("the database at {address} cannot be reached ({cause}); start it, or correct store.url")]
    Unreachable {
        /// Host, port and database.
        address: String,
        /// Why not.
        cause: String,
    },
    /// The server is not who it should be, or does not speak TLS.
    #[error(
        "the database at {address} cannot be trusted ({cause}); check store.tls, store.tls_ca_file and the host's name"
    )]
    Untrusted {
        /// Host, port and database.
        address: String,
        /// Why not.
        cause: String,
    },
    /// The server does not let us in.
    #[error(
        "the database at {address} does not let {user} in ({cause}); correct user and password in store.url"
    )]
    Refused {
        /// Host, port and database.
        address: String,
        /// Who asked.
        user: String,
        /// What the server said.
        cause: String,
    },
    /// The server has no such database.
    #[error("there is no database \"{database}\" at {address}; make it: createdb -E UTF8 {database}")]
    NoDatabase {
        /// Host, port and database.
        address: String,
        /// The name.
        database: String,
    },
    /// The schema "swarmem" is somebody else's.
    #[error("{database} has a schema \"swarmem\" that is not ours; choose another database in store.url")]
    NotSwarmem {
        /// Host, port and database.
        database: String,
    },
    /// The database was brought up to date by a newer version, which older ones cannot work with.
    #[error(
        "{database} has schema version {found}, and this program knows versions up to {known}; start a newer program"
    )]
    Newer {
        /// Host, port and database.
        database: String,
        /// Its version.
        found: i32,
        /// The newest that is known here.
        known: i32,
    },
    /// The server is too old.
    #[error("{database} runs PostgreSQL {server}; 14 or newer is needed")]
    TooOld {
        /// Host, port and database.
        database: String,
        /// Its version.
        server: String,
    },
    /// The database cannot hold every text.
    #[error("{database} is encoded in {encoding}; make another one: createdb -E UTF8 -T template0")]
    Encoding {
        /// Host, port and database.
        database: String,
        /// Its encoding.
        encoding: String,
    },
    /// The role may not do what is needed.
    #[error(
        "{user} may not set up {database} ({cause}); GRANT CREATE ON DATABASE to it, or run `swarmem store migrate` \
         as a role that may"
    )]
    NotAllowed {
        /// Host, port and database.
        database: String,
        /// Who asked.
        user: String,
        /// What the server said.
        cause: String,
    },
    /// The role may not use what the schema has.
    #[error(
        "{user} may not write to {database}: it lacks {missing}; GRANT USAGE ON SCHEMA swarmem, and SELECT, INSERT, UPDATE, \
         DELETE ON ALL TABLES IN SCHEMA swarmem, to it"
    )]
    MayNot {
        /// Host, port and database.
        database: String,
        /// Who asked.
        user: String,
        /// The rights, and on what.
        missing: String,
    },
    /// The server takes no writes, so the schema cannot be brought up to date.
    #[error("{database} is read-only ({cause}); point store.url at the primary")]
    ReadOnly {
        /// Host, port and database.
        database: String,
        /// How that is known.
        cause: String,
    },
    /// Reading or changing the schema failed.
    #[error("the schema of {database} cannot be read or brought up to date: {cause}")]
    Schema {
        /// Host, port and database.
        database: String,
        /// What the server said.
        cause: String,
    },
}
