//! A standby that was promoted without the last writes of its primary: whoever saw those is told.

use std::{fs, path::Path};

use swarmem::store::{At, Error, postgres::PostgresOptions};
use tempfile::TempDir;

use super::harness;
use crate::{
    process::eventually,
    servers::postgres::{self, USER, as_server_user, program, sql_at},
};

/// A cluster of its own, whose server ends with it.
struct Cluster {
    folder: TempDir,
    port: u16,
}

impl Cluster {
    fn primary() -> Self {
        let folder = tempfile::tempdir().unwrap();
        postgres::make_folder(folder.path());
        let port = postgres::start(folder.path(), &["wal_level=replica", "shared_buffers=16MB"]);
        Self { folder, port }
    }

    /// An asynchronous copy, which follows the primary.
    fn standby_of(primary: &Self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        postgres::make_folder(folder.path());
        let mut copy = as_server_user(&program("pg_basebackup"));
        copy.arg("-D").arg(folder.path().join("data")).arg("-h").arg(primary.folder.path());
        copy.args(["-p", &primary.port.to_string(), "-U", USER, "-R", "-X", "stream", "-c", "fast"]);
        let copied = copy.output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let port = postgres::run(folder.path(), &["shared_buffers=16MB"]);
        Self { folder, port }
    }

    fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/postgres", self.port)
    }

    fn sql(&self, sql: &str) -> String {
        sql_at(self.folder.path(), self.port, "postgres", sql)
    }

    fn kill(&self) {
        if Path::new(&self.folder.path().join("data/postmaster.pid")).exists() {
            postgres::kill(self.folder.path());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if fs::exists(self.folder.path().join("data/postmaster.pid")).unwrap_or(false) {
            self.kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_that_lost_a_tail_has_another_nonce_at_its_revisions() {
    let primary = Cluster::primary();
    let h = harness(PostgresOptions::new(primary.url())).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "both have it").await;
    let standby = Cluster::standby_of(&primary);
    let arrived = "SELECT count(*) FROM swarmem.log";
    let second = h.put(&id, "shared/x", "k", "streamed").await;
    eventually("the stream", async || (standby.sql(arrived) == "2").then_some(())).await;
    // While it takes no writes it can be opened and read, and says that it takes none.
    let read_only = harness(PostgresOptions::new(standby.url())).await;
    assert_eq!(read_only.content(&id, "shared/x", "k").await.as_deref(), Some("streamed"));
    let refused = read_only.store.ping_write().await;
    assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
    drop(read_only);

    standby.sql("SELECT pg_wal_replay_pause()");
    eventually("the pause", async || {
        (standby.sql("SELECT pg_get_wal_replay_pause_state()") == "paused").then_some(())
    })
    .await;
    // The standby's receiver ends as well, so that it has nothing to replay when it is promoted.
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("SELECT pg_reload_conf()");
    eventually("the receiver's end", async || {
        (standby.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0").then_some(())
    })
    .await;
    let lost = h.put(&id, "shared/x", "k", "acknowledged, and lost").await;
    let incarnation = h.head(&id).await.incarnation;
    primary.kill();
    standby.sql("SELECT pg_wal_replay_resume()");
    standby.sql("SELECT pg_promote()");

    let after = harness(PostgresOptions::new(standby.url())).await;
    let head = after.head(&id).await;
    assert_eq!((head.mark, head.incarnation), (second, incarnation));
    assert!(matches!(after.store.mark_at(&id, lost.revision).await, Err(Error::Future { .. })));
    let other = after.put(&id, "shared/x", "k", "another history").await;
    assert_eq!(other.revision, lost.revision);
    let (_, mark) = after.store.mark_at(&id, lost.revision).await.unwrap();
    assert_eq!(mark, other);
    assert_ne!(mark.nonce, lost.nonce, "a token of the lost revision does not fit");
    assert!(after.get_at(&id, "shared/x", "k", At::Revision(second.revision)).await.unwrap().is_some());
    after.check_invariants().await;
}
