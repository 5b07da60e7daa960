//! The same load over a real process: what the recorder and the load promise holds over sockets, too. Knows nothing of faults.

use super::{
    check,
    load::{Plan, run},
};
use crate::process::Server;

#[tokio::test]
async fn a_process_keeps_its_promises_under_load() {
    let server = Server::start(&[
        "--set",
        "watch.ring_events_max=64",
        "--set",
        "watch.response_bytes_max=16384",
        "--set",
        "retention.expiry_interval_ms=50",
    ]);
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    eprintln!("seed {seed}");
    let plan = Plan { operations: 25, ttl_max: std::time::Duration::from_millis(300), ..Plan::new(seed) };
    let history = run(plan, vec![server.address().parse().unwrap(); 2]).await;
    assert_eq!(check(&history), []);
    assert!(history.end.is_some_and(|end| end.head > 50), "hardly anything was written");
}
