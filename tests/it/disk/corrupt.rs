//! A page of the database that is damaged: what stands on it cannot be read and says so, everything else goes on.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use swarmem::{
    client::{Client, Code, Error, Role},
    wire::v1::{self, watch_request::Start},
};

use super::{MEMORY, serves, times_logged};
use crate::process::Server;

const PAGE_BYTES: usize = 4096;
const NEEDLE: &str = "needle in the haystack";

fn name(key: &str) -> v1::EntryName {
    v1::EntryName { namespace: "shared/x".into(), key: key.into() }
}

async fn put(client: &Client, key: &str, content: &str) -> Result<(), Error> {
    let v1::EntryName { namespace, key } = name(key);
    let put = v1::PutOperation { namespace, key: key.clone(), content: content.into(), ..Default::default() };
    let request = v1::PutRequest {
        swarm: client.options().swarm.clone(),
        put: Some(put),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    client.memory().put(request).await?;
    Ok(())
}

/// Exchanges the beginning of the page on which the needle stands, and returns its place and what stood there.
fn damage(store: &str) -> (u64, [u8; 16]) {
    /// The first byte of a page that holds rows.
    const LEAF: u8 = 0x0d;
    let bytes = fs::read(store).unwrap();
    let holds = |page: &[u8]| page.windows(NEEDLE.len()).any(|window| window == NEEDLE.as_bytes());
    let leaves = bytes.chunks(PAGE_BYTES).enumerate().filter(|(_, page)| page[0] == LEAF && holds(page));
    let [(number, page)] = leaves.collect::<Vec<_>>().try_into().expect("one page has the needle");
    let at = (number * PAGE_BYTES) as u64;
    File::options().write(true).open(store).unwrap().write_all_at(&[0xa5; 16], at).unwrap();
    (at, page[..16].try_into().unwrap())
}

fn repair(store: &str, (page, bytes): (u64, [u8; 16])) {
    File::options().write(true).open(store).unwrap().write_all_at(&bytes, page).unwrap();
}

/// A database with the needle in one of its pages, all of it in the file, and nothing of it in any memory.
async fn haystack() -> (Server, Client) {
    let mut server = Server::start_to_be_killed(&[], &[]);
    let client = server.client("ann", Role::Orchestrator).await;
    for straw in 0..20 {
        if straw == 10 {
            put(&client, "needle", &format!("{NEEDLE} {}", "x".repeat(2_500))).await.unwrap();
        }
        put(&client, &format!("straw {straw}"), &"straw ".repeat(400)).await.unwrap();
    }
    server.signal("TERM");
    assert!(server.ended().await.success());
    server.restart();
    let client = server.client("ann", Role::Orchestrator).await;
    (server, client)
}

fn is_data_loss(error: &Error) {
    assert_eq!((error.code(), error.reason()), (Code::DataLoss, Some("CORRUPT")), "{error}");
    assert!(!error.to_string().contains('/'), "a file is named: {error}");
}

#[tokio::test]
async fn a_damaged_page_is_told_of_and_the_rest_goes_on() {
    let (mut server, client) = haystack().await;
    let damaged = damage(&server.store());
    for _ in 0..5 {
        is_data_loss(&client.get(name("needle"), None).await.unwrap_err());
    }
    let line = String::from_utf8(server.run(&["get", "shared/x", "needle"]).stderr).unwrap();
    assert!(line.contains("damaged") && line.contains("swarmem restore"), "{line}");
    assert_eq!(times_logged(&server, "ERROR"), 1, "{}", server.log());
    // What stands elsewhere is read and written; what would replace the needle has to read it first.
    client.get(name("straw 15"), None).await.unwrap();
    put(&client, "another", "straw").await.unwrap();
    is_data_loss(&put(&client, "needle", "replaced").await.unwrap_err());
    put(&client, "one more", "straw").await.unwrap();
    // A watch over it ends; it does not skip.
    let request = |start| v1::WatchRequest { start: Some(start), ..Default::default() };
    let mut over_it = client.watch(request(Start::Revision(1))).await.unwrap();
    let ended = loop {
        match over_it.next().await {
            Ok(response) => assert!(response.is_some(), "the watch ended without a word"),
            Err(error) => break error,
        }
    };
    is_data_loss(&ended);
    assert!(serves(&client, MEMORY).await);

    repair(&server.store(), damaged);
    let needle = client.get(name("needle"), None).await.unwrap().entry.unwrap();
    assert!(needle.content.starts_with(NEEDLE) && needle.version == 1, "{needle:?}");
    put(&client, "needle", "replaced").await.unwrap();
    server.kill();
    server.restart();
    let client = server.client("ann", Role::Orchestrator).await;
    assert_eq!(client.get(name("needle"), None).await.unwrap().entry.unwrap().content, "replaced");
    assert_eq!(client.get(name("one more"), None).await.unwrap().entry.unwrap().content, "straw");
}

#[tokio::test]
async fn a_database_that_was_damaged_before_the_start_serves_what_it_can() {
    let (mut server, _) = haystack().await;
    server.kill();
    damage(&server.store());
    server.restart();
    let client = server.client("ann", Role::Orchestrator).await;
    is_data_loss(&client.get(name("needle"), None).await.unwrap_err());
    client.get(name("straw 15"), None).await.unwrap();
    put(&client, "another", "straw").await.unwrap();
}
