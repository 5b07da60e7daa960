//! Whether the role may do all that a coordinator does, and the server takes writes. Changes nothing.

use super::{OpenError, connect::Connection, connect::Target, failure::told};

/// Whoever knows the schema by its name alone may still ask these: they look at the catalogue.
const MISSING: &str = "\
    SELECT string_agg(m.what, ', ' ORDER BY m.what) FROM ( \
        SELECT 'USAGE on the schema' AS what WHERE NOT has_schema_privilege('swarmem', 'USAGE') \
        UNION ALL \
        SELECT r.name || ' on ' || c.relname FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r(name) \
            WHERE n.nspname = 'swarmem' AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, r.name) \
                AND (c.relname <> 'migrations' OR r.name = 'SELECT') \
        UNION ALL \
        SELECT 'EXECUTE on ' || p.proname FROM pg_catalog.pg_proc p \
            JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
            WHERE n.nspname = 'swarmem' AND NOT has_function_privilege(p.oid, 'EXECUTE')) m";

/// What the role may not do in the schema, which is there; none if it may do all.
pub(super) async fn missing(connection: &Connection) -> Result<Option<String>, tokio_postgres::Error> {
    Ok(connection.text(MISSING).await?.pop().filter(|missing| !missing.is_empty()))
}

/// Why a coordinator could not write, or not bring the schema up to date if it `has_steps` to take; none if it could.
pub(super) async fn obstacle(
    connection: &Connection,
    target: &Target,
    exists: bool,
    has_steps: bool,
) -> Result<Option<OpenError>, tokio_postgres::Error> {
    let about = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), \
                 has_database_privilege(current_database(), 'CREATE'), ";
    let creates = if exists { "has_schema_privilege('swarmem', 'CREATE')" } else { "true" };
    let about = connection.text(&format!("{about}{creates}")).await?;
    let [standby, read_only, creates_schemas, creates_tables] = about.as_slice() else { return Ok(None) };
    let database = target.shown();
    if standby == "t" {
        return Ok(Some(OpenError::ReadOnly { database, cause: "it is a standby".into() }));
    }
    if read_only == "on" {
        let cause = "default_transaction_read_only is on".into();
        return Ok(Some(OpenError::ReadOnly { database, cause }));
    }
    let may = if exists { creates_tables } else { creates_schemas };
    if has_steps && may != "t" {
        let cause = format!("no CREATE on the {}", if exists { "schema swarmem" } else { "database" });
        return Ok(Some(OpenError::NotAllowed { database, user: target.user(), cause }));
    }
    Ok(None)
}

impl OpenError {
    /// The role lacks this.
    pub(super) fn lacking(target: &Target, missing: &str) -> Self {
        Self::MayNot { database: target.shown(), user: target.user(), missing: missing.to_owned() }
    }

    /// The server is read-only, as it says itself.
    pub(super) fn read_only(target: &Target, error: &tokio_postgres::Error) -> Self {
        Self::ReadOnly { database: target.shown(), cause: told(error) }
    }
}
