//! Coordinators that are processes: killed, drained, restored from a copy, under clients that stay.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use futures_util::future::join_all;
use swarmem::{
    client::{Link, Options, ReadMode, Role, reason},
    wire::v1,
};
use tokio::{sync::watch, time::timeout};

use super::{Received, connect, from_revision, log, options, with_snapshot};
use crate::{
    process::{PATIENCE, Server, eventually},
    rpc::harness::{name, put},
};

#[tokio::test]
async fn clients_outlive_coordinators_that_are_killed_and_drained() {
    let mut server = Server::start_to_be_killed(&["--set", "watch.response_bytes_max=4096"], &[]);
    let address = server.address().to_owned();
    let acknowledged = watch::Sender::new(0_u64);
    let (stop, head) = (watch::Sender::new(false), watch::Sender::new(None));
    let writers = (0..4).map(|writer| {
        let (address, acknowledged, stop) = (address.clone(), acknowledged.clone(), stop.subscribe());
        async move {
            let client = connect(&address, options(&format!("w{writer}"), Role::Agent)).await;
            let mut written = Vec::new();
            while !*stop.borrow() {
                let key = format!("{writer}-{}", written.len());
                let done = client.put(put("shared/a", &key, &"x".repeat(500))).await.unwrap();
                written.push((done.result.unwrap().revision, key));
                acknowledged.send_modify(|count| *count += 1);
            }
            written
        }
    });
    let watchers = [from_revision(1), with_snapshot()].map(|request| {
        let (address, mut head) = (address.clone(), head.subscribe());
        async move {
            let client = connect(&address, options("o", Role::Observer)).await;
            let mut watch = client.watch(request).await.unwrap();
            let (link, mut received, mut losses) = (watch.link(), Received::default(), 0);
            loop {
                if head.borrow().is_some_and(|head| !received.amid && received.reached >= head) {
                    return (received, losses);
                }
                tokio::select! {
                    response = watch.next() => received.take(&response.unwrap().unwrap()),
                    _ = head.changed() => {}
                }
                losses += usize::from(link.has_changed().unwrap());
            }
        }
    });
    let course = async {
        for round in 0..6 {
            let goal = *acknowledged.borrow() + 20;
            let mut count = acknowledged.subscribe();
            timeout(PATIENCE, count.wait_for(|count| *count >= goal)).await.expect("writes go on").unwrap();
            if round % 2 == 0 {
                server = tokio::task::spawn_blocking(move || {
                    server.kill();
                    server.restart();
                    server
                })
                .await
                .unwrap();
            } else {
                server.signal("TERM");
                assert!(server.ended().await.success(), "{}", server.log());
                server = tokio::task::spawn_blocking(move || {
                    server.restart();
                    server
                })
                .await
                .unwrap();
            }
        }
        stop.send_replace(true);
        server
    };
    let finish = async {
        let (server, written) = tokio::join!(course, join_all(writers));
        let reader = server.client("o", Role::Observer).await;
        let last = reader.get_swarm().await.unwrap().swarm.unwrap().revision;
        head.send_replace(Some(last));
        (server, reader, last, written)
    };
    let everything = async { tokio::join!(finish, join_all(watchers)) };
    let ((_server, reader, last, written), watched) =
        timeout(PATIENCE * 2, everything).await.expect("it comes to an end");

    let log = log(&reader, last).await;
    let mut written: Vec<_> = written.into_iter().flatten().collect();
    written.sort_unstable();
    let in_log: Vec<_> = log.iter().map(|event| (event.revision, event.entry.clone().unwrap().key)).collect();
    assert_eq!(written, in_log, "each write is in the log once, where its answer says");
    let [(all, losses), (snapshot, _)] = &watched[..] else { panic!() };
    assert_eq!(all.events, log);
    assert!(*losses > 0);
    let after: Vec<_> =
        log.iter().filter(|event| event.revision > snapshot.snapshot_revision).cloned().collect();
    assert_eq!(snapshot.events, after);
}

#[tokio::test]
async fn a_swarm_that_was_restored_is_another_history_and_the_client_gets_over_it() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let store = server.store();
    let options = Options { reads: ReadMode::ReadYourWrites, ..options("ann", Role::Agent) };
    let client = connect(server.address(), options).await;
    client.put(put("shared/a", "first", "kept")).await.unwrap();
    assert!(server.run(&["backup", "copy.db", "--store", &store]).status.success());
    for _ in 0..5 {
        client.put(put("shared/a", "second", "lost")).await.unwrap();
    }
    let mut watch = client.watch(from_revision(1)).await.unwrap();
    Received::up_to(&mut watch, 6).await;
    server.kill();
    let restored = server.run(&["restore", "copy.db", "--store", &store, "--force"]);
    assert!(restored.status.success(), "{restored:?}");
    server.restart();

    let error = loop {
        match timeout(PATIENCE, watch.next()).await.unwrap() {
            Ok(response) => assert!(response.unwrap().events.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), Some(reason::INCARNATION_CHANGED));
    // A write below what was seen, then reads that must see it, whatever is remembered.
    let other = client.clone();
    other.put(put("shared/a", "third", "new")).await.unwrap();
    for _ in 0..2 {
        let third = client.get(name("shared/a", "third"), None).await.unwrap();
        assert_eq!(third.entry.unwrap().content, "new");
    }
    let error = client.get(name("shared/a", "second"), None).await.unwrap_err();
    assert_eq!(error.reason(), Some(reason::ENTRY_NOT_FOUND));
    // Without the watch to tell it, the token itself is refused: of another store, its seal is wrong, too.
    let mut watch = client.watch(from_revision(1)).await.unwrap();
    assert_eq!(Received::up_to(&mut watch, 2).await.events.len(), 2);
}

#[tokio::test]
async fn a_read_of_ones_own_writes_survives_a_restored_swarm() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let store = server.store();
    let options = Options { reads: ReadMode::ReadYourWrites, ..options("ann", Role::Agent) };
    let client = connect(server.address(), options).await;
    client.put(put("shared/a", "first", "kept")).await.unwrap();
    assert!(server.run(&["backup", "copy.db", "--store", &store]).status.success());
    for _ in 0..5 {
        client.put(put("shared/a", "first", "lost")).await.unwrap();
    }
    server.kill();
    assert!(server.run(&["restore", "copy.db", "--store", &store, "--force"]).status.success());
    server.restart();
    let first = client.get(name("shared/a", "first"), None).await.unwrap();
    assert_eq!(first.entry.unwrap().content, "kept");
    client.list(v1::ListRequest::default()).await.unwrap();
}

#[tokio::test]
async fn the_watch_command_goes_on_when_the_coordinator_is_back() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let client = connect(server.address(), options("ann", Role::Agent)).await;
    client.put(put("shared/a", "before", "")).await.unwrap();
    let mut command = server.command(&["watch", "--from", "1", "--count", "2", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut event =
        move || lines.by_ref().map(Result::unwrap).find(|line| line.contains("\"put\"")).expect("an event");
    assert!(event().contains("before"));
    server.kill();
    // It says so while there is nobody to go on with.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    assert!(line.starts_with("warning: lost the coordinator"), "{line}");
    server.restart();
    client.put(put("shared/a", "after", "")).await.unwrap();
    assert!(event().contains("after"));
    let status = eventually("the end of the watch", async || child.try_wait().unwrap()).await;
    assert!(status.success());
    assert_eq!(said.map(Result::unwrap).collect::<Vec<_>>(), ["the coordinator is back"], "each once");
}

#[tokio::test]
async fn a_watch_says_whether_it_has_a_stream() {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let client = connect(server.address(), options("ann", Role::Agent)).await;
    let mut watch = client.watch(from_revision(1)).await.unwrap();
    let mut link = watch.link();
    assert_eq!(*link.borrow_and_update(), Link::Up);
    server.signal("TERM");
    let cause = timeout(PATIENCE, async {
        loop {
            tokio::select! {
                response = watch.next() => drop(response.unwrap()),
                _ = link.changed() => if let Link::Down { cause } = &*link.borrow_and_update() {
                    return cause.clone();
                },
            }
        }
    })
    .await
    .unwrap();
    assert!(cause.contains("DRAINING"), "{cause}");
    assert!(server.ended().await.success());
    server.restart();
    client.put(put("shared/a", "1", "")).await.unwrap();
    Received::up_to(&mut watch, 1).await;
    assert_eq!(*link.borrow(), Link::Up);
}
