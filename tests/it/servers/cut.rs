//! A TCP proxy that loses one answer, at a place that the test chooses by what is asked. Knows nothing of what else travels.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// What happens to the next request that holds the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It arrives; its answer does not, nor anything behind it.
    Answer,
    /// It does not arrive.
    Request,
    /// Both sides stay connected and hear nothing of each other any more.
    Silence,
}

/// The word it waits for, and what happens then.
type Armed = Arc<Mutex<Option<(&'static [u8], Loss)>>>;

/// A proxy on a port of its own, until it is dropped.
pub struct CutProxy {
    pub port: u16,
    armed: Armed,
    struck: watch::Sender<bool>,
    accepting: AbortHandle,
}

impl CutProxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let armed = Armed::default();
        let struck = watch::Sender::new(false);
        let accepting = tokio::spawn(accept(listener, port, Arc::clone(&armed), struck.clone()));
        Self { port: own, armed, struck, accepting: accepting.abort_handle() }
    }

    /// Strikes at the next request that holds `word`, once.
    pub fn arm(&self, word: &'static [u8], loss: Loss) {
        self.struck.send_replace(false);
        *self.armed.lock().unwrap() = Some((word, loss));
    }

    /// Waits until it has struck.
    pub async fn struck(&self) {
        self.struck.subscribe().wait_for(|struck| *struck).await.unwrap();
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, armed: Armed, struck: watch::Sender<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(carry(near, far, Arc::clone(&armed), struck.clone()));
    }
}

async fn carry(near: TcpStream, far: TcpStream, armed: Armed, struck: watch::Sender<bool>) {
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut lost = None;
    loop {
        tokio::select! {
            read = near_read.read(&mut request) => {
                let Ok(1..) = read else { return };
                let bytes = &request[..read.unwrap()];
                let hit = armed.lock().unwrap().take_if(|(word, _)| bytes.windows(word.len()).any(|w| w == *word));
                lost = lost.or(hit.map(|(_, loss)| loss));
                match lost {
                    None | Some(Loss::Answer) => far_write.write_all(bytes).await.unwrap(),
                    Some(Loss::Request) => {
                        struck.send_replace(true);
                        return;
                    }
                    // Not even the end of one side is told to the other.
                    Some(Loss::Silence) => {
                        struck.send_replace(true);
                        std::future::pending::<()>().await;
                    }
                }
            }
            read = far_read.read(&mut answer) => {
                let Ok(1..) = read else { return };
                match lost {
                    None => near_write.write_all(&answer[..read.unwrap()]).await.unwrap(),
                    // The server has done it and said so.
                    Some(_) => {
                        struck.send_replace(true);
                        return;
                    }
                }
            }
        }
    }
}
