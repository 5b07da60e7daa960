//! PostgreSQL fails over to an asynchronous standby, which has not heard of the newest writes: they are lost, and nothing else is.
//! Whoever saw some of them is told.

use super::{
    WRITES, acknowledged, plan,
    report::{self, Row, Window},
    seed,
    stand::Stand,
    verdict,
};
use crate::{
    history::{load::Load, recorder::Recorder},
    process::eventually,
    servers::cluster::Cluster,
};

pub const NAME: &str = "postgres failover";
/// Writes that only the primary has.
const LOST: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_without_the_newest_writes() {
    let mut stand = Stand::start(&[]).await;
    let standby = Cluster::standby_of(&stand.postgres);
    let recorder = Recorder::default();
    let plan = plan(seed());
    let load = Load::start(plan, stand.endpoints(), &recorder);
    acknowledged(&load, WRITES, &stand).await;
    standby.detach().await;
    acknowledged(&load, LOST, &stand).await;

    let struck = recorder.now();
    stand.postgres.kill();
    let at = recorder.now();
    standby.promote();
    let kept = standby.sql("SELECT revision FROM swarmem.heads WHERE name = 'default'").parse().unwrap();
    let primary = std::mem::replace(&mut stand.postgres, standby);
    for replica in &stand.replicas {
        replica.store.lead_to(&format!("127.0.0.1:{}", stand.postgres.port));
    }
    let healed = recorder.now();

    // Nobody is led to it any more.
    primary.run();
    Stand::reading_of(&primary, &recorder, "default").await.stop().await;
    recorder.lose(kept, at);
    drop(primary);
    let mut reading = stand.reading_of_the_log(&recorder, "default").await;
    let recovered = eventually("writes through each coordinator", async || {
        report::recovered(&recorder.history(), &stand.names(), healed)
    });
    let recovered_us = recovered.await;
    acknowledged(&load, WRITES, &stand).await;
    recorder.loss_is_known();
    acknowledged(&load, WRITES, &stand).await;

    let boss = load.finish().await;
    reading.stop().await;
    boss.read_log().await.unwrap();
    let history = recorder.finish();
    verdict("failover", seed(), &history);
    let window = Window { fault: NAME.to_owned(), struck, healed, recovered_us };
    let row = Row::of(&window, seed(), &history);
    assert!(row.lost > 0, "nothing was lost: {row:?}");
    let told = history.streams.iter().flat_map(|stream| &stream.steps).filter(|step| report::is_told(step));
    assert!(told.count() > 0, "nobody was told");
    row.leave();
}
