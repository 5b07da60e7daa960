//! The bench, run for an instant: that it counts what happened, and tells all it promises to. Never how fast that was.

use serde_json::Value;

use super::{complaint, object, objects, printed};
use crate::process::{Server, swarmem};

/// What each object of a bench has.
const FIELDS: [&str; 9] = [
    "figure",
    "in_flight",
    "watchers",
    "rate_per_s",
    "p50_us",
    "p99_us",
    "server_cpu_us_per_op",
    "client_cpu_us_per_op",
    "rss_bytes",
];

const SHORT: [&str; 3] = ["--json", "--seconds=200ms", "--warm-up=50ms"];

fn figure<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    for row in rows {
        for field in FIELDS {
            assert!(row.get(field).is_some(), "{field} of {row}");
        }
    }
    let found: Vec<_> = rows.iter().filter(|row| row["figure"] == name).collect();
    assert_eq!(found.len(), 1, "{name}: {rows:?}");
    found[0]
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_else(|| panic!("{field} of {row}"))
}

/// Runs a bench against a server, and says what swarm it left there.
fn bench(server: &Server, arguments: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let arguments = [&["bench"], arguments, &SHORT, &["--keep"]].concat();
    let rows = objects(&server.run(&arguments));
    let swarms = objects(&server.run(&["swarm", "list", "--json"]));
    let left =
        swarms.iter().filter_map(|swarm| swarm["swarm"].as_str().filter(|name| name.starts_with("bench-")));
    let left = left.map(|name| object(&server.run(&["swarm", "get", name, "--json"])));
    (rows, left.collect())
}

#[test]
fn every_put_that_is_counted_is_in_the_swarm() {
    let server = Server::start(&[]);
    let (rows, swarms) = bench(&server, &["put", "--in-flight=9", "--content-bytes=100"]);
    let (unary, write) = (figure(&rows, "put_unary"), figure(&rows, "put_write"));
    let total = number(unary, "operations_total") + number(write, "operations_total");
    assert_eq!(swarms.len(), 1);
    assert_eq!((number(&swarms[0], "entries"), number(&swarms[0], "revision")), (total, total));
    assert_eq!(number(&swarms[0], "content_bytes"), total * 100.0);
    for row in [unary, write] {
        assert!(number(row, "operations") > 0.0 && number(row, "operations") <= total, "{row}");
        assert!(number(row, "p50_us") > 0.0 && number(row, "p50_us") <= number(row, "p99_us"), "{row}");
        let rate = number(row, "operations") / number(row, "seconds");
        assert!((number(row, "rate_per_s") / rate - 1.0).abs() < 1e-6, "{row}");
        assert_eq!(number(row, "in_flight"), 9.0);
        assert!(row["watchers"].is_null() && row["durability"].is_null(), "{row}");
        // The server is found by its address.
        assert!(number(row, "rss_bytes") > 1e6, "{row}");
        assert!(row["server_cpu_us_per_op"].is_number() && row["client_cpu_us_per_op"].is_number());
    }
}

#[test]
fn gets_read_a_set_that_was_written_before() {
    let server = Server::start(&[]);
    let (rows, swarms) = bench(&server, &["get", "--in-flight=2", "--keys=7", "--consistency=stale-ok"]);
    assert!(number(figure(&rows, "get_stale_ok"), "operations") > 0.0);
    assert_eq!(number(&swarms[0], "entries"), 7.0);
}

#[test]
fn every_watcher_gets_every_write() {
    let server = Server::start(&[]);
    let load = ["watch", "--watchers=5", "--streams-per-connection=2", "--writers=4", "--lag=8", "--rate=50"];
    let (rows, swarms) = bench(&server, &load);
    let open = figure(&rows, "watch_open");
    assert_eq!((number(open, "watchers"), number(open, "connections")), (5.0, 3.0));
    assert_eq!(number(open, "operations"), 5.0);
    let (paced, full) = (figure(&rows, "watch_paced"), figure(&rows, "watch_full"));
    // 200 ms of 50 a second at each of five; what was written to warm up is in the swarm, too.
    assert_eq!(number(paced, "operations"), 50.0);
    assert!(number(paced, "p50_us") > 0.0 && number(paced, "p50_us") <= number(paced, "p99_us"));
    let written = number(&swarms[0], "entries");
    assert!(
        number(full, "operations") > 0.0 && number(full, "operations") <= (written - 13.0) * 5.0,
        "{full}"
    );
    assert!(number(full, "events_per_response") >= 1.0);
}

#[test]
fn a_coordinator_of_its_own_is_measured_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("new/folder");
    let place = place.to_str().unwrap();
    let mut bench = swarmem();
    bench.args(["bench", "put", "--in-flight=2", "--via=unary", "--database-dir", place]).args(SHORT);
    let rows = objects(&bench.output().unwrap());
    assert!(number(figure(&rows, "fdatasync"), "p50_us") > 0.0);
    let put = figure(&rows, "put_unary");
    assert!(put["durability"].as_str().unwrap().contains("synchronous=FULL"), "{put}");
    assert!(number(put, "rss_bytes") > 1e6);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn people_get_a_table_and_somebody_elses_coordinator_stays_as_it_was() {
    let server = Server::start(&[]);
    let table = printed(&server.run(&["bench", "put", "--in-flight=1", "--seconds=50ms", "--warm-up=0s"]));
    assert!(
        table.contains("machine") && table.contains("put_unary") && table.contains("put_write"),
        "{table}"
    );
    let swarms = objects(&server.run(&["swarm", "list", "--json"]));
    assert_eq!(swarms.len(), 1, "{swarms:?}");
    let line = complaint(&server.run(&["bench", "put", "--in-flight=0"]), 2);
    assert!(line.contains("from 1"), "{line}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = Server::start(&[]);
    let told = |arguments: &[&str]| complaint(&server.run(&[&["bench"], arguments].concat()), 2);
    assert!(told(&["put", "--seconds=0s"]).contains("longer than 0"));
    assert!(told(&["put", "--seconds=-1s"]).contains("not be negative"));
    assert!(told(&["get", "--keys=0"]).contains("from 1"));
    assert!(told(&["put", "--keys=0"]).contains("from 1"));
    assert!(told(&["put", "--content-bytes=300000"]).contains("262144"));
    assert!(told(&["put", "--database-dir=x"]).contains("--address"));
    assert!(told(&["put", "--set=log.level=info"]).contains("--address"));
    assert!(told(&["watch", "--fleet=127.0.0.1:1,127.0.0.1:2"]).contains("--address"));
    let fleet =
        |list: &str| complaint(&swarmem().args(["bench", "watch", "--fleet", list]).output().unwrap(), 2);
    assert!(fleet("127.0.0.1:1").contains("two coordinators"));
    assert!(fleet("127.0.0.1:1,127.0.0.1:2,127.0.0.1:1").contains("cannot watch there"));
    let other = Server::start(&[]);
    let strangers = fleet(&format!("{},{}", server.address(), other.address()));
    assert!(
        strangers.contains("do not share a memory") && strangers.contains(other.address()),
        "{strangers}"
    );
    assert_eq!(objects(&server.run(&["swarm", "list", "--json"])).len(), 1, "nothing is left there");
    let alone = |arguments: &[&str]| {
        complaint(&swarmem().args([&["bench", "put"], arguments].concat()).output().unwrap(), 2)
    };
    assert!(alone(&["--keep"]).contains("--address"));
    assert!(alone(&["--server-pid=1"]).contains("--address"));
}

#[test]
fn a_coordinator_that_does_not_start_says_why_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("new/folder");
    let mut bench = swarmem();
    bench.args(["bench", "put", "--set", "foo.bar=1", "--database-dir"]).arg(&place);
    let line = complaint(&bench.output().unwrap(), 1);
    assert!(line.contains("foo.bar"), "{line}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
