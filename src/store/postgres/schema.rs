//! The schema: which version a database has, and how it is brought up to date. Knows nothing of swarms.

use super::{
    OpenError,
    connect::{Connection, Target},
    failure::told,
    rights,
};
use crate::domain::position::TokenKey;

/// A step of the schema. A list of them is only ever appended to.
struct Migration {
    name: &'static str,
    sql: &'static str,
    /// The oldest program that still works on what this leaves behind, by the newest step that it knows. A step that
    /// only adds keeps that of the step before; one that takes away names the step whose program does without.
    program_min: i32,
}

/// Step 1 is the first.
const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "swarms",
        sql: include_str!("../../../migrations/postgres/0001_swarms.sql"),
        program_min: 1,
    },
    Migration {
        name: "commit",
        sql: include_str!("../../../migrations/postgres/0002_commit.sql"),
        program_min: 1,
    },
];

/// All coordinators that migrate one database take this lock ("swarmem" as a number).
const LOCK: i64 = 0x0073_7761_726d_656d;

/// What is known of a database's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The database, without its password.
    pub database: String,
    /// The server's version, such as "15.10".
    pub server: String,
    /// The last step that was taken; none: nothing of swarmem is there.
    pub version: Option<i32>,
    /// The last step that this program knows.
    pub known: i32,
    /// Why a coordinator could not write there, or not bring the schema up to date, and the way out; none if it could.
    pub obstacle: Option<String>,
}

/// The last step that this program knows.
pub(super) fn known_version() -> i32 {
    i32::try_from(MIGRATIONS.len()).expect("migrations are few")
}

/// Connects, with errors that say the way out.
pub(super) async fn connect(target: &Target) -> Result<Connection, OpenError> {
    let timeout = target.timeout();
    match tokio::time::timeout(2 * timeout, target.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(OpenError::of_connecting(target, &error)),
        Err(_) => Err(OpenError::Unreachable {
            address: target.shown(),
            cause: format!("no answer within {:?}", 2 * timeout),
        }),
    }
}

/// Looks, and changes nothing.
pub(super) async fn status(target: &Target) -> Result<SchemaStatus, OpenError> {
    let connection = connect(target).await?;
    let seen = inspect(&connection, target).await?;
    let has_steps = seen.version.unwrap_or(0) < known_version();
    let obstacle = rights::obstacle(&connection, target, seen.version.is_some(), has_steps)
        .await
        .map_err(|error| OpenError::of_schema(target, &error))?;
    Ok(SchemaStatus { obstacle: obstacle.map(|error| error.to_string()), ..seen })
}

async fn inspect(connection: &Connection, target: &Target) -> Result<SchemaStatus, OpenError> {
    let failed = |error| OpenError::of_schema(target, &error);
    let about = connection
        .text(
            "SELECT current_setting('server_version'), current_setting('server_encoding'), \
             current_setting('server_version_num'), \
             EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
                     ON n.oid = c.relnamespace WHERE n.nspname = 'swarmem' AND c.relname = 'migrations'), \
             EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
                     ON n.oid = c.relnamespace WHERE n.nspname = 'swarmem'), current_setting('fsync')",
        )
        .await
        .map_err(failed)?;
    let [server, encoding, number, ours, used, fsync] = about.as_slice() else {
        return Err(OpenError::NotSwarmem { database: target.shown() });
    };
    if number.parse().is_ok_and(|number: u32| number < 140_000) {
        return Err(OpenError::TooOld { database: target.shown(), server: server.clone() });
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { database: target.shown(), encoding: encoding.clone() });
    }
    if fsync == "off" {
        tracing::warn!(
            "the database runs with fsync = off: a crash of its machine can lose what was acknowledged"
        );
    }
    let mut status = SchemaStatus {
        database: target.shown(),
        server: server.clone(),
        version: None,
        known: known_version(),
        obstacle: None,
    };
    match (ours.as_str(), used.as_str()) {
        ("t", _) => {}
        (_, "t") => return Err(OpenError::NotSwarmem { database: target.shown() }),
        _ => return Ok(status),
    }
    let missing = rights::missing(connection).await.map_err(failed)?;
    let steps = connection
        .text("SELECT coalesce(max(version), 0), coalesce(max(program_min), 0) FROM swarmem.migrations")
        .await
        .map_err(|error| match &missing {
            Some(missing) => OpenError::lacking(target, missing),
            None => failed(error),
        })?;
    let steps: Vec<i32> = steps.iter().filter_map(|number| number.parse().ok()).collect();
    let [version, program_min] = steps[..] else {
        return Err(OpenError::NotSwarmem { database: target.shown() });
    };
    if program_min > known_version() {
        return Err(OpenError::Newer { database: target.shown(), found: version, known: known_version() });
    }
    // What a newer program has added is not needed here.
    if version <= known_version()
        && let Some(missing) = missing
    {
        return Err(OpenError::lacking(target, &missing));
    }
    status.version = Some(version);
    Ok(status)
}

/// Takes the steps that are missing, all or none, while every other coordinator waits. Says where the schema was.
pub(super) async fn migrate(target: &Target) -> Result<SchemaStatus, OpenError> {
    let connection = connect(target).await?;
    let before = inspect(&connection, target).await?;
    if before.version.unwrap_or(0) >= known_version() {
        return Ok(before);
    }
    let failed = |error| OpenError::of_schema(target, &error);
    connection.begin().await.map_err(failed)?;
    connection.run(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await.map_err(failed)?;
    // Somebody else may have done it while we waited.
    let before = inspect(&connection, target).await?;
    if before.version.is_none() {
        let first = "CREATE SCHEMA IF NOT EXISTS swarmem; \
             CREATE TABLE swarmem.migrations (version integer NOT NULL PRIMARY KEY, name text NOT NULL, \
             program_min integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
        connection.run(first).await.map_err(failed)?;
    }
    for (version, step) in (1_i32..).zip(MIGRATIONS) {
        if version <= before.version.unwrap_or(0) {
            continue;
        }
        let Migration { name, sql, program_min } = step;
        connection.run(sql).await.map_err(failed)?;
        connection
            .run(&format!(
                "INSERT INTO swarmem.migrations (version, name, program_min) \
                 VALUES ({version}, '{name}', {program_min})"
            ))
            .await
            .map_err(failed)?;
        tracing::info!(version, name, "took a step of the schema");
    }
    connection.commit().await.map_err(failed)?;
    Ok(before)
}

/// The secret that the first step drew.
pub(super) async fn token_key(target: &Target) -> Result<TokenKey, OpenError> {
    let connection = connect(target).await?;
    let hex = connection
        .text("SELECT encode(value, 'hex') FROM swarmem.settings WHERE name = 'token_key'")
        .await
        .map_err(|error| OpenError::of_schema(target, &error))?;
    let foreign = || OpenError::NotSwarmem { database: target.shown() };
    let hex = hex.first().filter(|hex| hex.len() == 64).ok_or_else(foreign)?;
    let mut secret = [0; 32];
    for (at, byte) in secret.iter_mut().enumerate() {
        let digits = hex.get(2 * at..2 * at + 2).ok_or_else(foreign)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| foreign())?;
    }
    Ok(TokenKey::new(secret))
}

impl OpenError {
    /// Why there is no connection.
    fn of_connecting(target: &Target, error: &tokio_postgres::Error) -> Self {
        let (address, cause) = (target.shown(), told(error));
        match error.code().map(|code| code.code()) {
            Some("28P01" | "28000") => Self::Refused { address, user: target.user(), cause },
            Some("3D000") => Self::NoDatabase { address, database: target.database() },
            None if cause.contains("password missing") => {
                Self::Refused { address, user: target.user(), cause }
            }
            None if cause.contains("TLS") || cause.contains("certificate") => {
                Self::Untrusted { address, cause }
            }
            _ => Self::Unreachable { address, cause },
        }
    }

    /// Why the schema cannot be read or brought up to date.
    fn of_schema(target: &Target, error: &tokio_postgres::Error) -> Self {
        let (database, cause) = (target.shown(), told(error));
        match error.code().map(|code| code.code()) {
            Some("42501") => Self::NotAllowed { database, user: target.user(), cause },
            Some("25006") => Self::read_only(target, error),
            _ => Self::Schema { database, cause },
        }
    }
}
