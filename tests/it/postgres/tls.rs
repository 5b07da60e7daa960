//! Encrypted connections: only to a server that is who it says it is.

use std::path::PathBuf;

use swarmem::store::postgres::{OpenError, PostgresOptions, PostgresStore, Tls};

use crate::servers::postgres::Database;

fn options(database: &Database, host: &str, authority: &str) -> PostgresOptions {
    let ca_file: PathBuf = database.server.folder.join(authority);
    let url = database.tcp_url(database.server.port).replace("127.0.0.1", host);
    PostgresOptions { tls: Tls::Verified { ca_file }, ..PostgresOptions::new(url) }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_its_name() {
    let database = Database::new();
    let h = super::harness(options(&database, "localhost", "ca.crt")).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "v").await;
    let encrypted = database.sql(
        "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid \
         WHERE a.datname = current_database() AND a.application_name = 'swarmem'",
    );
    assert_eq!(encrypted, "t");

    for (host, authority) in [("localhost", "other-ca.crt"), ("127.0.0.1", "ca.crt")] {
        let error = PostgresStore::open(options(&database, host, authority)).await.err().unwrap();
        assert!(matches!(&error, OpenError::Untrusted { .. }), "{host} {authority}: {error}");
        assert!(error.to_string().contains("store.tls_ca_file"), "{error}");
    }
    for authority in ["nowhere.crt", "server.key"] {
        let error = PostgresStore::open(options(&database, "localhost", authority)).await.err().unwrap();
        assert!(matches!(&error, OpenError::Authorities { .. }), "{authority}: {error}");
    }
}

/// The server's part of the bargain is not taken on trust either: one without TLS is refused.
#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let database = Database::new();
    let mut options = options(&database, "localhost", "ca.crt");
    options.url = database.tcp_url(silent_about_tls().await).replace("127.0.0.1", "localhost");
    let error = PostgresStore::open(options).await.err().unwrap();
    assert!(matches!(&error, OpenError::Untrusted { .. }), "{error}");
}

/// A man in the middle who answers that there is no TLS here.
async fn silent_about_tls() -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"N").await.unwrap();
        // Whatever comes now would come in the clear.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "something was said in the clear");
    });
    port
}
