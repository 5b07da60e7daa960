//! A PostgreSQL cluster of one test's own: what may be killed, started again where it was, and copied. Knows nothing of stores.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::postgres::{self, PASSWORD, USER, as_server_user, program, sql_at};
use crate::process::eventually;

/// A cluster whose server ends with it.
pub struct Cluster {
    folder: TempDir,
    pub port: u16,
    /// What the server is started with.
    environment: Vec<(&'static str, String)>,
}

/// What each is set to that runs as it was made to.
const SETTINGS: [&str; 2] = ["wal_level=replica", "shared_buffers=16MB"];

impl Cluster {
    /// One that others may copy and follow.
    pub fn primary() -> Self {
        Self::primary_with(Vec::new())
    }

    /// The same, started with this.
    pub fn primary_with(environment: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        postgres::make_folder(folder.path());
        postgres::make(folder.path());
        let port = postgres::free_port();
        postgres::run_at(folder.path(), port, &SETTINGS, &environment);
        Self { folder, port, environment }
    }

    /// An asynchronous copy, which follows the primary.
    pub fn standby_of(primary: &Self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        postgres::make_folder(folder.path());
        let mut copy = as_server_user(&program("pg_basebackup"));
        copy.arg("-D").arg(folder.path().join("data")).arg("-h").arg(primary.folder.path());
        copy.args(["-p", &primary.port.to_string(), "-U", USER]);
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync"]);
        let copied = copy.output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let port = postgres::run(folder.path(), &["shared_buffers=16MB"]);
        Self { folder, port, environment: Vec::new() }
    }

    /// A standby hears nothing of its primary from now on. It keeps what it has heard.
    pub async fn detach(&self) {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''");
        self.sql("SELECT pg_reload_conf()");
        eventually("the receiver's end", async || {
            (self.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0").then_some(())
        })
        .await;
    }

    /// A standby becomes a primary.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t");
    }

    /// Over the unix socket, where everybody is trusted.
    pub fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/postgres", self.port)
    }

    /// Over TCP, by way of another port.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres")
    }

    pub fn sql(&self, sql: &str) -> String {
        sql_at(self.folder.path(), self.port, "postgres", sql)
    }

    pub fn runs(&self) -> bool {
        Path::new(&self.folder.path().join("data/postmaster.pid")).exists()
    }

    /// Ends it as a crash would; sessions are cut wherever they are.
    pub fn kill(&self) {
        if self.runs() {
            postgres::kill(self.folder.path());
        }
    }

    /// Ends it in good order; sessions are cut, and what is on disk needs no recovery.
    pub fn stop(&self) {
        let mut control = as_server_user(&program("pg_ctl"));
        control.args(["stop", "-s", "-m", "fast", "-D"]).arg(self.folder.path().join("data"));
        assert!(control.status().unwrap().success());
    }

    /// Starts it again where it was.
    pub fn run(&self) {
        // A crash leaves the file behind, and nobody else has the process id by now.
        let _ = fs::remove_file(self.folder.path().join("data/postmaster.pid"));
        postgres::run_at(self.folder.path(), self.port, &SETTINGS, &self.environment);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}
