//! A TCP proxy to PostgreSQL that counts how often each statement is executed, as it travels by. Reads what clients without
//! TLS ask, and changes nothing; knows no statement.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, UnixStream, tcp::OwnedReadHalf, unix::OwnedWriteHalf},
    task::AbortHandle,
};

use super::postgres::Shared;

/// How often each statement, by its text, was executed.
pub type Executions = BTreeMap<String, u64>;

/// A proxy on a port of its own, until it is dropped.
pub struct Tap {
    pub port: u16,
    executed: Arc<Mutex<Executions>>,
    accepting: AbortHandle,
}

impl Tap {
    /// Leads to a server by its socket, where everybody is trusted: in a debug build a password takes a tenth of a second of
    /// computing for each connection.
    pub async fn on(server: &Shared) -> Self {
        let socket = server.folder.join(format!(".s.PGSQL.{}", server.port));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let executed = Arc::<Mutex<Executions>>::default();
        let accepting = tokio::spawn(accept(listener, socket, Arc::clone(&executed)));
        Self { port: own, executed, accepting: accepting.abort_handle() }
    }

    /// What was executed so far.
    pub fn executed(&self) -> Executions {
        self.executed.lock().unwrap().clone()
    }

    /// What was executed since then.
    pub fn executed_since(&self, before: &Executions) -> Executions {
        let mut since = self.executed();
        since.retain(|text, times| {
            *times -= before.get(text).copied().unwrap_or_default();
            *times > 0
        });
        since
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, executed: Arc<Mutex<Executions>>) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = UnixStream::connect(&socket).await else { continue };
        near.set_nodelay(true).unwrap();
        let executed = Arc::clone(&executed);
        tokio::spawn(async move {
            let (near_read, mut near_write) = near.into_split();
            let (mut far_read, far_write) = far.into_split();
            // When one direction ends, all of it ends.
            tokio::select! {
                _ = ask(near_read, far_write, &executed) => {}
                _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
            }
        });
    }
}

/// Message by message: a kind, a length that counts itself, and a body; only the first has no kind.
async fn ask(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    executed: &Mutex<Executions>,
) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    let (mut prepared, mut bound) = (HashMap::new(), String::new());
    let mut kind = None;
    loop {
        let length = from.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let mut text = || texts.next().unwrap_or_default();
        match kind {
            // Parse: the statement's name and text.
            Some(b'P') => drop(prepared.insert(text(), text())),
            // Bind: the portal's name, and the statement's.
            Some(b'B') => bound = prepared.get(&(text(), text()).1).cloned().unwrap_or_default(),
            Some(b'E') => *executed.lock().unwrap().entry(bound.clone()).or_default() += 1,
            // A query without values.
            Some(b'Q') => *executed.lock().unwrap().entry(text()).or_default() += 1,
            _ => {}
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        to.write_all(&message).await?;
        if from.buffer().is_empty() {
            to.flush().await?;
        }
        kind = Some(from.read_u8().await?);
    }
}
