//! Figures and probes of a coordinator that runs as a process.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use futures_util::StreamExt as _;
use swarmem::{
    client::{Client, Options, Role},
    wire::v1,
};

use crate::process::{Server, eventually};

fn start() -> Server {
    Server::start(&["--http-listen", "127.0.0.1:0", "--set", "server.health_listen=127.0.0.1:0"])
}

/// The status line and headers of an answer, and its body.
fn ask(server: &Server, method: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(server.said("http")).unwrap();
    write!(socket, "{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// What is told of a figure.
fn figure(server: &Server, name: &str) -> f64 {
    let (_, figures) = ask(server, "GET", "/metrics");
    let line = figures.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{figures}")).parse().unwrap()
}

#[test]
fn probes_and_pages_answer() {
    let server = start();
    for (path, status) in
        [("/", "200"), ("/livez", "200"), ("/readyz", "200"), ("/metrics", "200"), ("/x", "404")]
    {
        let (head, body) = ask(&server, "GET", path);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(!body.is_empty(), "{path}");
    }
    let (head, figures) = ask(&server, "GET", "/metrics");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(figures.ends_with("# EOF\n"), "{figures}");
    assert_eq!(ask(&server, "HEAD", "/livez").1, "");
    let (head, _) = ask(&server, "POST", "/metrics");
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("allow: GET, HEAD"), "{head}");
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let server = start();
    let client = server.client("ann", Role::Agent).await;
    let put = |key: &str| v1::PutOperation {
        namespace: "shared/a".into(),
        key: key.into(),
        content: "x".into(),
        ..Default::default()
    };
    let mut watch = std::pin::pin!(client.watch(v1::WatchRequest::default()).await.unwrap());
    // The bookmark that says that it stands.
    watch.next().await.unwrap().unwrap();
    for key in ["a", "b", "c", "d"] {
        client.put(put(key)).await.unwrap();
    }
    let is_counted = async || (figure(&server, "swarmem_watch_events_total") == 4.0).then_some(());
    let follow = async { while watch.next().await.is_some() {} };
    tokio::select! {
        () = follow => unreachable!("the watch goes on"),
        () = eventually("the events to be counted", is_counted) => {}
    }
    assert_eq!(figure(&server, "swarmem_commits_total{outcome=\"ok\"}"), 4.0);
    assert_eq!(figure(&server, "swarmem_commits_total{outcome=\"failed\"}"), 0.0);
    for phase in ["queue", "lock", "load", "apply", "persist", "commit", "publish"] {
        let name = format!("swarmem_write_phase_seconds_count{{phase=\"{phase}\"}}");
        assert_eq!(figure(&server, &name), 4.0, "{phase}");
    }
    let put = "swarmem_rpcs_total{method=\"swarmem.v1.MemoryService/Put\",code=\"OK\"}";
    assert_eq!(figure(&server, put), 4.0);
    for (gauge, is) in [
        ("store_up", 1.0),
        ("store_connections_max", 4.0),
        ("watch_streams", 1.0),
        ("feeds", 1.0),
        ("ring_events", 4.0),
    ] {
        assert_eq!(figure(&server, &format!("swarmem_{gauge}")), is, "{gauge}");
    }
    // There is none.
    assert!(!ask(&server, "GET", "/metrics").1.contains("swarmem_bus_"));
    let endpoint = server.address().parse().unwrap();
    let unknown = Client::connect(&endpoint, Options::new("nowhere", "ann", Role::Agent));
    assert!(
        unknown
            .await
            .unwrap()
            .get(v1::EntryName { namespace: "shared/a".into(), key: "a".into() }, None)
            .await
            .is_err()
    );
    let get = "swarmem_rpcs_total{method=\"swarmem.v1.MemoryService/Get\",code=\"NOT_FOUND\"}";
    eventually("the failed read to be counted", async || (figure(&server, get) == 1.0).then_some(())).await;
}

#[test]
fn the_health_listener_answers_for_the_health_alone() {
    let server = start();
    let there = |arguments: &[&str]| {
        let address = ["--address", server.said("health")];
        server.command(&[arguments, &address].concat()).output().unwrap()
    };
    assert!(there(&["health"]).status.success());
    let put = there(&["put", "shared/a", "x"]);
    assert!(!put.status.success(), "{put:?}");
}

#[test]
fn silent_connections_are_closed() {
    let server = start();
    let mut socket = TcpStream::connect(server.said("http")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Closed by the server, sooner than anybody stops waiting.
    assert_eq!(socket.read(&mut [0; 16]).unwrap(), 0);
}
