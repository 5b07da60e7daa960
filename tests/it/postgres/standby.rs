//! A standby that was promoted without the last writes of its primary: whoever saw those is told.

use swarmem::{
    domain::swarm::Revision,
    store::{Error, postgres::PostgresOptions},
};

use super::{harness, program::printed, swarm};
use crate::{
    process::{Server, eventually, swarmem},
    servers::cluster::Cluster,
};

fn coordinator(of: &Cluster) -> Server {
    Server::start_to_be_killed(&[], &[("SWARMEM_STORE_KIND", "postgres"), ("SWARMEM_STORE_URL", &of.url())])
}

/// Writes one entry, and returns the token of its revision.
fn put(server: &Server, content: &str) -> String {
    let written = server.run(&["put", "shared/x", content, "--key", "k", "--json"]);
    let written: serde_json::Value = serde_json::from_str(&printed(&written)).unwrap();
    format!("token:{}", written["token"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_what_a_promoted_standby_lost_is_told() {
    let primary = Cluster::primary();
    let before = coordinator(&primary);
    put(&before, "both have it");
    let standby = Cluster::standby_of(&primary);
    let kept = put(&before, "streamed");
    let log = "SELECT count(*) FROM swarmem.log";
    eventually("the stream", async || (standby.sql(log) == "2").then_some(())).await;
    // While it takes no writes it can be opened and read, and says that it takes none.
    let read_only = harness(PostgresOptions::new(standby.url())).await;
    assert_eq!(read_only.content(&swarm("default"), "shared/x", "k").await.as_deref(), Some("streamed"));
    let refused = read_only.store.ping_write().await;
    assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");

    let status = ["store", "status", "--set", "store.kind=postgres", "--json"];
    let status = swarmem().args(status).env("SWARMEM_STORE_URL", standby.url()).output().unwrap();
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["state"], "current");
    assert!(status["obstacle"].as_str().unwrap().contains("it is a standby"), "{status}");

    // From here on the standby hears nothing of its primary.
    standby.detach().await;
    let lost = put(&before, "acknowledged, and lost");
    drop(before);
    primary.kill();
    standby.promote();

    let after = coordinator(&standby);
    let watch = |from: &str| {
        let output =
            after.run(&["watch", "shared", "--from", from, "--count", "1", "--no-reconnect", "--json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).into_owned(), said)
    };
    for other in ["another history", "that goes on"] {
        // At first a revision that does not exist, then one that is another.
        let (_, said) = watch(&lost);
        assert!(said.contains("--snapshot"), "INCARNATION_CHANGED: {said}");
        put(&after, other);
    }
    let (events, said) = watch(&kept);
    assert!(events.contains("another history"), "{events} {said}");
    // Connections that the standby refused a write on are not kept: the next one writes.
    let id = swarm("default");
    assert_eq!(read_only.put(&id, "shared/x", "k", "by the first").await.revision, Revision(5));
    read_only.check_invariants().await;
}
