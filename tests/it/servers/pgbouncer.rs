//! PgBouncer before the shared PostgreSQL server, in transaction mode: consecutive transactions of one connection run on
//! whatever connection of the server is free. Knows nothing of stores.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
};

use tempfile::TempDir;

use super::postgres::{Database, USER, as_server_user, make_folder};

/// A pooler on a port of its own, until it is dropped.
pub struct Pgbouncer {
    pub port: u16,
    child: Child,
    _folder: TempDir,
}

impl Pgbouncer {
    /// One that shares so many connections of the server among all of its clients.
    pub fn before(database: &Database, connections: u32) -> Self {
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new).into_iter().find(|p| p.exists());
        let program = program.expect("PgBouncer is not installed: tests/run installs it");
        let folder = tempfile::tempdir().unwrap();
        make_folder(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={} port={} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = {connections}\nserver_reset_query_always = 0\n",
            database.server.folder.display(),
            database.server.port,
        );
        fs::write(&file, settings).unwrap();
        let mut command = as_server_user(program);
        command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        Self { port, child, _folder: folder }
    }

    pub fn url(&self, database: &Database) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{}", self.port, database.name)
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        // Dead already, as a rule of failing tests; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
