//! What only SQLite has to promise: its file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use swarmem::{
    domain::{
        entry::Version,
        namespace::NamespaceRange,
        position::{Arguments, Position, Purpose},
        swarm::{Revision, SwarmId},
        time::Clock as _,
    },
    store::{
        At, CommitError, Error, Store as _,
        sqlite::{BackupError, OpenError, SqliteOptions, SqliteStore, backup, restore},
    },
};
use tempfile::TempDir;

use super::{
    Harness,
    harness::clock,
    requests::{once, op, path, put, put_for, write},
};

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("swarmem.db")
}

async fn open(file: &Path) -> Result<SqliteStore, OpenError> {
    let mut options = SqliteOptions::new(file, clock());
    options.busy_timeout = Duration::from_millis(50);
    SqliteStore::open(options).await
}

/// A harness, and the store itself, to be closed.
async fn harness(file: &Path) -> (Harness, Arc<SqliteStore>) {
    let store = Arc::new(open(file).await.unwrap());
    (Harness::new(store.clone(), clock(), Box::new(())), store)
}

/// The file as another program sees it.
fn stranger(file: &Path) -> Connection {
    Connection::open(file).unwrap()
}

/// Something of everything that a store keeps.
async fn fill(h: &Harness) -> SwarmId {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    h.put(&id, "shared/x", "k", "2").await;
    h.done(&id, put_for("shared/x", "t", "v", 60)).await;
    h.done(&id, once("ann", "1", 1, vec![op::put("shared/y", "k", "v")])).await;
    h.store.compact(&id, Revision(2), 100).await.unwrap();
    id
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&file(&directory)).await.unwrap();
    let refused = open(&file(&directory)).await.err().unwrap();
    assert!(matches!(&refused, OpenError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("swarmem.db.lock"), "{refused}");
    first.close().await.unwrap();
    assert!(matches!(first.ping().await, Err(Error::Unavailable(_))));
    let id = SwarmId::parse("a").unwrap();
    assert!(matches!(first.swarm(&id).await, Err(Error::Unavailable(_))));
    assert!(matches!(first.delete_swarm(&id).await, Err(Error::Unavailable(_))));
    open(&file(&directory)).await.unwrap().ping().await.unwrap();
    let dropped = open(&file(&directory)).await;
    drop(dropped.unwrap());
    open(&file(&directory)).await.unwrap();
}

#[tokio::test]
async fn everything_survives_closing_and_dropping() {
    for close in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (h, store) = harness(&file(&directory)).await;
        let id = fill(&h).await;
        let swarm = store.swarm(&id).await.unwrap();
        let log = h.log(&id, 2).await.versions;
        let position = Position::after(swarm.head.incarnation, swarm.head.mark);
        let token =
            store.token_key().await.unwrap().seal(&id, Purpose::Position, Arguments::default(), &position);
        if close {
            store.close().await.unwrap();
            assert!(!directory.path().join("swarmem.db-wal").exists());
        }
        drop((h, store));
        let (h, store) = harness(&file(&directory)).await;
        assert_eq!(store.swarm(&id).await.unwrap(), swarm);
        assert_eq!(h.log(&id, 2).await.versions, log);
        assert!(store.token_key().await.unwrap().open(&id, Purpose::Position, &token).is_ok());
        let repeated = h.run(&id, once("ann", "1", 1, vec![op::put("shared/y", "k", "v")])).await.unwrap();
        assert_eq!((repeated.taken.unwrap().revision, h.head(&id).await), (Revision(4), swarm.head));
        h.check_invariants().await;
    }
}

#[tokio::test]
async fn other_files_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "This is not a database. ".repeat(400)).unwrap();
    let refused = open(&text).await.err().unwrap();
    assert!(matches!(&refused, OpenError::NotADatabase { file } if *file == text), "{refused}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("This is not"));

    let foreign = directory.path().join("foreign");
    let other = stranger(&foreign);
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(other);
    let refused = open(&foreign).await.err().unwrap();
    assert!(matches!(&refused, OpenError::NotSwarmem { file } if *file == foreign), "{refused}");

    let below_a_file = text.join("swarmem.db");
    assert!(matches!(open(&below_a_file).await, Err(OpenError::Io { .. })));
    let in_directory = directory.path().join("directory");
    std::fs::create_dir(&in_directory).unwrap();
    assert!(matches!(open(&in_directory).await, Err(OpenError::Database { .. })));
    // An empty file is a database in which nothing happened yet.
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    open(&empty).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_version() {
    let directory = tempfile::tempdir().unwrap();
    open(&file(&directory)).await.unwrap().close().await.unwrap();
    let other = stranger(&file(&directory));
    other.execute_batch("PRAGMA user_version = 9999").unwrap();
    drop(other);
    let refused = open(&file(&directory)).await.err().unwrap();
    assert!(matches!(&refused, OpenError::Newer { found: 9999, .. }), "{refused}");
    assert!(refused.to_string().contains("9999"), "{refused}");
    let copied = backup(&file(&directory), &directory.path().join("copy")).await;
    assert!(matches!(copied, Err(BackupError::Open(OpenError::Newer { .. }))));
}

#[tokio::test]
async fn a_locked_file_is_unavailable_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (h, store) = harness(&file(&directory)).await;
    let id = fill(&h).await;
    let before = h.head(&id).await;
    let other = stranger(&file(&directory));
    for _ in 0..3 {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let failed = h.try_commit(&id, [put("shared/x", "k", "3")]).await;
        assert!(matches!(failed, Err(CommitError::Failed(Error::Unavailable(_)))), "{failed:?}");
        let failed = store.delete_swarm(&id).await;
        assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        assert_eq!(h.head(&id).await, before, "reads go on");
        other.execute_batch("ROLLBACK").unwrap();
    }
    h.put(&id, "shared/x", "k", "3").await;
    h.check_invariants().await;
}

/// Stands for a disk that fails in the middle of a commit: a statement deep in it is made to fail.
#[tokio::test]
async fn a_commit_that_fails_half_way_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (h, _store) = harness(&file(&directory)).await;
    let id = fill(&h).await;
    let (head, log) = (h.head(&id).await, h.log(&id, 2).await.versions);
    let other = stranger(&file(&directory));
    for (make, remove) in [
        (
            "CREATE TRIGGER broken BEFORE UPDATE ON heads BEGIN SELECT RAISE(FAIL, 'broken'); END",
            "DROP TRIGGER broken",
        ),
        (
            "CREATE TRIGGER broken BEFORE INSERT ON versions WHEN NEW.key = 'bad' \
             BEGIN SELECT RAISE(ROLLBACK, 'broken'); END",
            "DROP TRIGGER broken",
        ),
    ] {
        other.execute_batch(make).unwrap();
        let request = write(vec![op::put("shared/x", "k", "3"), op::put("shared/x", "bad", "3")]);
        let failed = h.try_commit(&id, [request]).await;
        assert!(matches!(failed, Err(CommitError::Failed(Error::Unavailable(_)))), "{failed:?}");
        assert_eq!((h.head(&id).await, h.log(&id, 2).await.versions), (head, log.clone()));
        other.execute_batch(remove).unwrap();
    }
    h.put(&id, "shared/x", "bad", "3").await;
    h.check_invariants().await;
}

/// A call that is dropped at any point leaves the store usable, and its commit happened or did not.
#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (h, _store) = harness(&file(&directory)).await;
    let id = fill(&h).await;
    for polls in 0..40 {
        let commit = h.try_commit(&id, [put("shared/x", "dropped", &format!("{polls}"))]);
        poll_some(commit, polls).await;
        poll_some(h.log(&id, 2), polls).await;
        poll_some(h.scan(&id, &NamespaceRange::all(), At::Newest, 1), polls).await;
        h.put(&id, "shared/x", "k", &format!("{polls}")).await;
        h.check_invariants().await;
    }
}

/// Polls a future so often, then drops it.
async fn poll_some<F: Future>(future: F, polls: usize) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let done =
            std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready()));
        if done.await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_one_state_and_a_restored_one_a_new_incarnation() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    let (h, store) = harness(&file(&directory)).await;
    let h = Arc::new(h);
    let id = fill(&h).await;
    let writer = tokio::spawn({
        let (h, id) = (h.clone(), id.clone());
        async move {
            for n in 0..60 {
                h.put(&id, "shared/x", &format!("k{n}"), &"x".repeat(2_000)).await;
            }
        }
    });
    while h.head(&id).await.mark.revision < Revision(15) {
        tokio::task::yield_now().await;
    }
    backup(&file(&directory), &copy).await.unwrap();
    writer.await.unwrap();
    let after = h.head(&id).await;
    let refused = backup(&file(&directory), &copy).await;
    assert!(matches!(refused, Err(BackupError::Exists { .. })));
    let refused = restore(&copy, &file(&directory), true).await;
    assert!(matches!(refused, Err(BackupError::Open(OpenError::InUse { .. }))));
    let log = h.log(&id, 2).await.versions;
    let key = store.token_key().await.unwrap();
    let token = key.seal(
        &id,
        Purpose::Position,
        Arguments::default(),
        &Position::after(after.incarnation, after.mark),
    );
    drop((h, store));

    let refused = restore(&copy, &file(&directory), false).await;
    assert!(matches!(refused, Err(BackupError::Exists { .. })));
    restore(&copy, &file(&directory), true).await.unwrap();
    let (h, store) = harness(&file(&directory)).await;
    let restored = h.head(&id).await;
    assert!(restored.mark.revision >= Revision(15) && restored.mark.revision <= after.mark.revision);
    assert_ne!(restored.incarnation, after.incarnation);
    let kept = h.log(&id, 2).await.versions;
    assert_eq!(kept, log[..kept.len()]);
    h.check_invariants().await;
    assert!(store.token_key().await.unwrap().open(&id, Purpose::Position, &token).is_ok());
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // A second restoration is again another history.
    let elsewhere = directory.path().join("else/where.db");
    restore(&copy, &elsewhere, false).await.unwrap();
    let (h, _store) = harness(&elsewhere).await;
    assert_ne!(h.head(&id).await.incarnation, restored.incarnation);
    assert!(h.now() >= clock().now());
}

#[tokio::test]
async fn only_a_database_is_backed_up_and_restored() {
    let directory = tempfile::tempdir().unwrap();
    let (missing, target) = (directory.path().join("missing"), directory.path().join("target"));
    let text = directory.path().join("text");
    std::fs::write(&text, "no database ".repeat(500)).unwrap();
    for source in [&missing, &text] {
        assert!(backup(source, &target).await.is_err());
        assert!(restore(source, &target, true).await.is_err());
        assert!(!target.exists());
    }
    let file = file(&directory);
    let (h, _store) = harness(&file).await;
    let id = fill(&h).await;
    drop((h, _store));
    assert!(restore(&text, &file, true).await.is_err());
    let (h, _store) = harness(&file).await;
    assert_eq!(h.head(&id).await.mark.revision, Revision(4), "a failed restoration changes nothing");
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (h, store) = harness(&file(&directory)).await;
    let id = fill(&h).await;
    let elsewhere = directory.path().join("elsewhere");
    std::fs::rename(file(&directory), &elsewhere).unwrap();
    for replaced in [false, true] {
        if replaced {
            std::fs::write(file(&directory), "").unwrap();
        }
        let failed = h.try_commit(&id, [put("shared/x", "k", "lost")]).await;
        assert!(matches!(failed, Err(CommitError::Failed(Error::Unavailable(_)))), "{failed:?}");
        assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    }
    std::fs::rename(elsewhere, file(&directory)).unwrap();
    store.ping().await.unwrap();
    h.put(&id, "shared/x", "k", "kept").await;
}

#[tokio::test]
async fn an_entry_that_was_read_stays_at_hand_and_follows_commits() {
    let directory = tempfile::tempdir().unwrap();
    let (h, store) = harness(&file(&directory)).await;
    let id = fill(&h).await;
    let content = |(_, version): (_, Arc<Version>)| version.body.content.to_string();
    let at_hand = |id: &SwarmId| store.at_hand(id, &path("shared/x", "k")).map(content);
    assert_eq!(at_hand(&id), None, "nobody read it");
    let first = h.content(&id, "shared/x", "k").await;
    assert_eq!(at_hand(&id), first);
    h.put(&id, "shared/x", "k", "next").await;
    assert_eq!(at_hand(&id).as_deref(), Some("next"));
    h.commit(&id, [write(vec![op::delete("shared/x", "k")])]).await;
    assert_eq!(at_hand(&id), None);
    h.put(&id, "shared/x", "k", "again").await;
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("again"));
    store.delete_swarm(&id).await.unwrap();
    assert_eq!(at_hand(&id), None, "the swarm is gone");
}

#[tokio::test]
async fn a_database_is_one_whatever_name_it_goes_by() {
    let directory = tempfile::tempdir().unwrap();
    let (_h, _store) = harness(&file(&directory)).await;
    let (hard, soft) = (directory.path().join("hard.db"), directory.path().join("soft.db"));
    std::fs::hard_link(file(&directory), &hard).unwrap();
    std::os::unix::fs::symlink(file(&directory), &soft).unwrap();
    for other in [&hard, &soft] {
        assert!(matches!(open(other).await, Err(OpenError::InUse { .. })), "{}", other.display());
        assert!(restore(&file(&directory), other, true).await.is_err());
    }
    // Nor when somebody removes the file beside it.
    std::fs::remove_file(directory.path().join("swarmem.db.lock")).unwrap();
    assert!(matches!(open(&file(&directory)).await, Err(OpenError::InUse { .. })));
}

#[tokio::test]
async fn nobody_but_its_owner_reads_a_new_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let (h, _store) = harness(&file(&directory)).await;
    fill(&h).await;
    for suffix in ["", "-wal", "-shm"] {
        let path = directory.path().join(format!("swarmem.db{suffix}"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}
