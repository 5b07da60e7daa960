//! A TCP proxy that does to connections what networks do: cuts them anywhere, swallows what is said, delays it. Knows nothing of
//! what travels through it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot, watch},
    task::AbortHandle,
};

use crate::{
    crash::random::Random,
    servers::pushes::{Meddling, Pushes},
};

/// A proxy on a port of its own, until it is dropped.
pub struct Proxy {
    address: String,
    control: Arc<Control>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Control {
    /// Answers go nowhere; the connection stays.
    swallows: AtomicBool,
    /// Something was swallowed.
    has_swallowed: Notify,
    /// Nothing travels in either direction, until it does again; connections stay, and can be made.
    silent: watch::Sender<bool>,
    /// New connections are closed at once.
    closed: AtomicBool,
    /// Cuts each new connection after so many bytes of answers, at most; 0: never.
    cut_after_max: AtomicU64,
    /// How long each piece of an answer is held back.
    delay_ms: AtomicU64,
    /// Whose change cuts all connections.
    cut: watch::Sender<u64>,
    connections: AtomicU64,
    /// Where connections lead.
    upstream: Mutex<String>,
    /// What is done to the messages of a Redis.
    meddling: Option<Arc<Meddling>>,
    /// What is waited for, and who waits.
    trap: Mutex<Option<Trap>>,
}

/// Which way, what, and who is told.
type Trap = (Way, fn(&[u8]) -> bool, oneshot::Sender<()>);

/// Which way something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the one that was connected to.
    Ask,
    /// Back.
    Answer,
}

impl Proxy {
    pub async fn to(upstream: &str, seed: u64) -> Self {
        Self::over(upstream, seed, None).await
    }

    /// One to a Redis, whose messages to subscribers can be meddled with.
    pub async fn to_redis(upstream: &str, seed: u64) -> Self {
        Self::over(upstream, seed, Some(Arc::default())).await
    }

    async fn over(upstream: &str, seed: u64, meddling: Option<Arc<Meddling>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let control =
            Arc::new(Control { upstream: Mutex::new(upstream.to_owned()), meddling, ..Control::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&control), seed));
        Self { address, control, accepting: accepting.abort_handle() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Whether answers are swallowed from now on.
    pub fn swallow(&self, swallows: bool) {
        self.control.swallows.store(swallows, Ordering::SeqCst);
    }

    /// Whether both sides hear nothing of each other from now on. What was said meanwhile arrives afterwards, as it would
    /// behind a network that was away.
    pub fn silence(&self, silent: bool) {
        self.control.silent.send_replace(silent);
    }

    /// Cuts all connections, in the middle of whatever they are doing.
    pub fn cut(&self) {
        self.control.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections and lets none through until it is opened.
    pub fn close(&self) {
        self.control.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub fn open(&self) {
        self.control.closed.store(false, Ordering::SeqCst);
    }

    /// Cuts all connections; from now on they lead elsewhere.
    pub fn lead_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.control.upstream.lock().unwrap());
        self.cut();
    }

    /// From now on, new connections live for so many bytes of answers at most; 0: for ever.
    pub fn cut_after(&self, bytes_max: u64) {
        self.control.cut_after_max.store(bytes_max, Ordering::SeqCst);
    }

    pub fn delay(&self, delay: Duration) {
        self.control.delay_ms.store(delay.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }

    /// From now on messages to subscribers are dropped, repeated and reordered; see [`Proxy::to_redis`].
    pub fn meddle(&self) -> &Meddling {
        let meddling = self.control.meddling.as_ref().expect("it leads to a Redis");
        meddling.on.store(true, Ordering::SeqCst);
        meddling
    }

    /// Waits for the next piece of which this holds. It does not arrive, nor does anything behind it on that connection.
    pub fn trap(&self, way: Way, what: fn(&[u8]) -> bool) -> oneshot::Receiver<()> {
        let (sprung, springs) = oneshot::channel();
        *self.control.trap.lock().unwrap() = Some((way, what, sprung));
        springs
    }

    /// From now on everything travels as it should; what was kept back so that it cannot any more is cut.
    pub fn heal(&self) {
        let broken = self.control.swallows.swap(false, Ordering::SeqCst);
        self.delay(Duration::ZERO);
        self.cut_after(0);
        self.silence(false);
        if let Some(meddling) = &self.control.meddling {
            meddling.on.store(false, Ordering::SeqCst);
        }
        self.open();
        if self.control.trap.lock().unwrap().take().is_some() || broken {
            self.cut();
        }
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.control.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, control: Arc<Control>, seed: u64) {
    let mut random = Random::seeded(seed);
    while let Ok((near, _)) = listener.accept().await {
        control.connections.fetch_add(1, Ordering::SeqCst);
        if control.closed.load(Ordering::SeqCst) {
            continue;
        }
        let upstream = control.upstream.lock().unwrap().clone();
        let Ok(far) = TcpStream::connect(&upstream).await else { continue };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let bytes_max = match control.cut_after_max.load(Ordering::SeqCst) {
            0 => u64::MAX,
            max => 1 + random.below(max),
        };
        let control = Arc::clone(&control);
        let pushes =
            control.meddling.as_ref().map(|meddling| Pushes::new(Arc::clone(meddling), random.split()));
        tokio::spawn(async move {
            let mut cut = control.cut.subscribe();
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            // When one direction ends, all of it ends, with whatever was on its way.
            tokio::select! {
                () = ask(near_read, far_write, &control) => {}
                () = answer(far_read, near_write, bytes_max, pushes, &control) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, control: &Control) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        control.unless_trapped(Way::Ask, &buffer[..read]).await;
        control.until_heard().await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The end is not heard of, either.
    control.until_heard().await;
}

impl Control {
    /// Never ends for what was waited for.
    async fn unless_trapped(&self, way: Way, bytes: &[u8]) {
        let trapped = self.trap.lock().unwrap().take_if(|(of, is, _)| *of == way && is(bytes));
        if let Some((_, _, sprung)) = trapped {
            let _ = sprung.send(());
            std::future::pending::<()>().await;
        }
    }

    async fn until_heard(&self) {
        // The sender lives as long as this does.
        let _ = self.silent.subscribe().wait_for(|silent| !silent).await;
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    bytes_max: u64,
    mut pushes: Option<Pushes>,
    control: &Control,
) {
    let mut buffer = vec![0; 16 * 1024];
    // What was swallowed is missing for ever, and no network delivers what comes behind it.
    let (mut left, mut has_gap) = (bytes_max, false);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        control.unless_trapped(Way::Answer, &buffer[..read]).await;
        has_gap |= control.swallows.load(Ordering::SeqCst);
        if has_gap {
            control.has_swallowed.notify_one();
            continue;
        }
        control.until_heard().await;
        let delay = control.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let passed = pushes.as_mut().map(|pushes| pushes.pass(&buffer[..read]));
        let passes = passed.as_deref().unwrap_or(&buffer[..read]);
        let some = usize::try_from(left.min(passes.len() as u64)).unwrap();
        if to.write_all(&passes[..some]).await.is_err() {
            return;
        }
        left -= some as u64;
        if left == 0 {
            return;
        }
    }
}

/// Found by the soak: a watch was cut behind a gap, and not before it, so that it seemed to have missed events.
#[tokio::test]
async fn nothing_is_heard_behind_what_was_swallowed() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(&upstream.local_addr().unwrap().to_string(), 1).await;
    let mut near = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut far, _) = upstream.accept().await.unwrap();
    far.write_all(b"first").await.unwrap();
    let mut heard = [0; 5];
    near.read_exact(&mut heard).await.unwrap();
    proxy.swallow(true);
    far.write_all(b"second").await.unwrap();
    proxy.control.has_swallowed.notified().await;
    proxy.swallow(false);
    far.write_all(b"third").await.unwrap();
    drop(far);
    assert_eq!(near.read(&mut heard).await.unwrap(), 0, "it ends, and nothing comes before");
}
