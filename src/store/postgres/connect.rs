//! One connection: how it is made, and what statements are sent over it. Knows neither tables nor transactions.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join3;
use tokio_postgres::{
    Client, Config, NoTls, Row, SimpleQueryMessage, Statement,
    config::{Host, SslMode},
    types::{ToSql, Type},
};

use super::{OpenError, Pooler, PostgresOptions, Tls, failure::told, tls::Verify};

/// Every statement is written for one index, and the planner is left no other choice: one that has no statistics, or has
/// planned when the tables were empty, takes any way for cheap. Then plans need not be made anew for each call either, nor
/// compiled: the price of what is forbidden and has no alternative looks like that of a huge query.
const PLANNER: [(&str, &str); 7] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// A value of a statement.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// A statement, with the types of its values: so it can be sent without asking the server first.
#[derive(Debug)]
pub(super) struct Sql {
    pub text: &'static str,
    pub types: &'static [Type],
}

/// A statement that a connection can send at once.
pub(super) enum Ready {
    Prepared(Statement),
    /// Parsed anew each time: behind a pooler the next transaction may run on another connection of the server.
    Typed(&'static Sql),
}

/// Where the database is, and how it is connected to.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Option<Verify>,
    pooler: Pooler,
    timeout: Duration,
}

impl Target {
    /// Reads the URL, and the file of authorities.
    pub fn new(options: &PostgresOptions) -> Result<Self, OpenError> {
        if options.url.contains("sslmode=") || options.url.contains("sslrootcert=") {
            return Err(OpenError::Url {
                problem: "has TLS settings; say store.tls and store.tls_ca_file instead".into(),
            });
        }
        if options.url.split('?').next().is_some_and(|url| url.matches('@').count() > 1) {
            // What is behind the first would be taken for the host, and told to everybody.
            return Err(OpenError::Url {
                problem: "has more than one @; in a name or a password it is written %40".into(),
            });
        }
        let mut config: Config =
            options.url.parse().map_err(|error| OpenError::Url { problem: told(&error) })?;
        if config.get_hosts().is_empty() {
            return Err(OpenError::Url { problem: "names no host".into() });
        }
        let tls = match &options.tls {
            Tls::Off => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            Tls::Verified { ca_file } => {
                config.ssl_mode(SslMode::Require);
                let verify = Verify::with_authorities(ca_file)
                    .map_err(|source| OpenError::Authorities { file: ca_file.clone(), source })?;
                Some(verify)
            }
        };
        if config.get_application_name().is_none() {
            config.application_name("swarmem");
        }
        // A peer that is gone without a word is noticed about as fast as one that says so.
        config.connect_timeout(options.timeout).tcp_user_timeout(2 * options.timeout);
        // The system counts these in whole seconds.
        let interval = options.timeout.max(Duration::from_secs(1));
        config.keepalives_idle(5 * interval).keepalives_interval(interval).keepalives_retries(3);
        Ok(Self { config, tls, pooler: options.pooler, timeout: options.timeout })
    }

    /// As people may read it: without the password.
    pub fn shown(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let ports: Vec<u16> = self.config.get_ports().to_vec();
        let places = hosts.enumerate().map(|(at, host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            format!("{host}:{port}")
        });
        format!("{}/{}", places.collect::<Vec<_>>().join(","), self.database())
    }

    pub fn user(&self) -> String {
        self.config.get_user().unwrap_or("the user of this process").to_owned()
    }

    pub fn database(&self) -> String {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or_default().to_owned()
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects. Statements may take as long as they like: see [`Connection::limit`].
    pub async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        let (client, driver) = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                // Its end is the end of the client, which hears of every error.
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            Some(verify) => {
                let (client, connection) = self.config.connect(verify.clone()).await?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Connection {
            client,
            driver: driver.abort_handle(),
            prepared: HashMap::new(),
            pooler: self.pooler,
            timeout: self.timeout,
        })
    }
}

/// A connection of the server, or of a pooler. Requests are sent when their future is polled first, and answered in
/// order: futures that are polled together travel together. Dropping it closes it, and whatever it had begun and
/// not sent a COMMIT for is undone.
pub(super) struct Connection {
    client: Client,
    driver: tokio::task::AbortHandle,
    prepared: HashMap<&'static str, Statement>,
    pooler: Pooler,
    timeout: Duration,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Says how statements are to be planned, and bounds what they may take on the server, so that a lock outlives
    /// neither its caller's patience nor a coordinator that is gone. A pooler's connections belong to everybody: there
    /// each transaction says it itself.
    pub async fn set_up(&self) -> Result<(), tokio_postgres::Error> {
        match self.pooler {
            Pooler::None => self.client.batch_execute(&self.settings("")).await,
            Pooler::Transaction => Ok(()),
        }
    }

    fn settings(&self, scope: &str) -> String {
        let ms = self.timeout.as_millis();
        let mut settings = format!(
            "SET {scope} statement_timeout = {ms}; SET {scope} lock_timeout = {}; \
             SET {scope} idle_in_transaction_session_timeout = {ms}",
            ms * 3 / 4
        );
        for (name, value) in PLANNER {
            settings.extend(["; SET ", scope, " ", name, " = ", value]);
        }
        settings
    }

    /// Makes a statement ready to be sent. The first time on a connection it takes a round trip: before anything is
    /// locked.
    pub async fn ready(&mut self, sql: &'static Sql) -> Result<Ready, tokio_postgres::Error> {
        if self.pooler == Pooler::Transaction {
            return Ok(Ready::Typed(sql));
        }
        if let Some(statement) = self.prepared.get(sql.text) {
            return Ok(Ready::Prepared(statement.clone()));
        }
        let statement = self.client.prepare_typed(sql.text, sql.types).await?;
        self.prepared.insert(sql.text, statement.clone());
        Ok(Ready::Prepared(statement))
    }

    /// Sends one statement, and takes its rows.
    pub async fn query(
        &self,
        statement: &Ready,
        values: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        match statement {
            Ready::Prepared(statement) => self.client.query(statement, values).await,
            Ready::Typed(sql) => {
                let typed: Vec<_> = values.iter().copied().zip(sql.types.iter().cloned()).collect();
                self.client.query_typed(sql.text, &typed).await
            }
        }
    }

    /// Sends one statement, in a transaction of its own.
    pub async fn alone(
        &self,
        statement: &Ready,
        values: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self.pooler {
            Pooler::None => self.query(statement, values).await,
            Pooler::Transaction => {
                let (begun, rows, ended) =
                    join3(self.begin(), self.query(statement, values), self.commit()).await;
                begun?;
                let rows = rows?;
                ended?;
                Ok(rows)
            }
        }
    }

    /// Sends statements without values.
    pub async fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// Sends a statement without values, and takes its first row as text.
    pub async fn text(&self, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let messages = self.client.simple_query(sql).await?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let values =
            row.map(|row| (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect());
        Ok(values.unwrap_or_default())
    }

    /// Begins a transaction whose statements each see what was committed before them.
    pub async fn begin(&self) -> Result<(), tokio_postgres::Error> {
        self.begin_as("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    /// Begins a transaction that sees one state and changes nothing.
    pub async fn begin_read(&self) -> Result<(), tokio_postgres::Error> {
        self.begin_as("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
    }

    async fn begin_as(&self, begin: &str) -> Result<(), tokio_postgres::Error> {
        match self.pooler {
            Pooler::None => self.run(begin).await,
            Pooler::Transaction => self.run(&format!("{begin}; {}", self.settings("LOCAL"))).await,
        }
    }

    pub async fn commit(&self) -> Result<(), tokio_postgres::Error> {
        self.run("COMMIT").await
    }
}
