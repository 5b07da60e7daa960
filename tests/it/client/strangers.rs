//! Peers that are no coordinator: what was asked of them cannot have been done, and asking again is of no use.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use swarmem::{
    client::{Error, Role},
    wire::v1,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use super::{connect, options};
use crate::{
    process::PATIENCE,
    rpc::harness::{name, put},
};

/// Says something to whoever connects; counts them.
async fn somebody_else(says: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let visits = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&visits);
    tokio::spawn(async move {
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = peer.write_all(says).await;
                let mut asked = vec![0; 4096];
                while peer.read(&mut asked).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    (address, visits)
}

#[tokio::test]
async fn nothing_is_asked_twice_of_somebody_else() {
    let (address, visits) = somebody_else(b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n").await;
    let client = connect(&address, options("ann", Role::Agent)).await;
    let told = |error: Error| {
        let Error::NotACoordinator { address: told, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*told, address);
    };
    let writes = client.write_stream(4);
    let everything = async {
        told(client.put(put("shared/a", "k", "x")).await.unwrap_err());
        told(client.get(name("shared/a", "k"), None).await.unwrap_err());
        told(client.create_swarm(None).await.unwrap_err());
        told(client.check_health("").await.unwrap_err());
        told(client.watch(v1::WatchRequest::default()).await.unwrap_err());
        told(client.watch_once(v1::WatchRequest::default()).await.unwrap_err());
        let answer = writes.put(put("shared/a", "k", "x")).await.unwrap();
        told(answer.await.unwrap_err());
    };
    timeout(PATIENCE, everything).await.expect("nobody waits");
    let visits = visits.load(Ordering::SeqCst);
    assert!(visits <= 8, "{visits} visits for seven calls");
}
