//! The body of an answer: it keeps its call counted until it is sent, and is not asked for more while too much for its
//! connection is encoded and not sent. Knows nothing of what it carries.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use super::{admission::Admission, connection::Open, tally::Tally};

/// Smaller pieces are not counted: what they take is bound by how much the transport encodes ahead for a stream.
const COUNTED_BYTES_MIN: usize = 1024;

/// What one connection has encoded and not sent.
#[derive(Debug)]
pub(super) struct Unsent {
    bytes_max: usize,
    bytes: AtomicUsize,
    is_waited_for: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Unsent {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: AtomicUsize::new(0),
            is_waited_for: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= self.bytes_max
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(cx.waker().clone());
        self.is_waited_for.store(true, Ordering::SeqCst);
        // Whoever made room before it saw the flag has woken nobody.
        if self.is_full() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Counts `data` until it is sent.
    fn count(self: &Arc<Self>, data: Bytes) -> Bytes {
        if data.len() < COUNTED_BYTES_MIN {
            return data;
        }
        self.bytes.fetch_add(data.len(), Ordering::SeqCst);
        Bytes::from_owner(Counted { data, unsent: Arc::clone(self) })
    }

    fn sent(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.is_full() || !self.is_waited_for.swap(false, Ordering::SeqCst) {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Bytes that tell when they are dropped.
struct Counted {
    data: Bytes,
    unsent: Arc<Unsent>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.unsent.sent(self.data.len());
    }
}

/// The body of an answer.
pub(super) struct Outbound {
    body: Body,
    unsent: Arc<Unsent>,
    /// None for a call that was not let in.
    _admission: Option<Arc<Admission>>,
    _open: Open,
    tally: Tally,
}

impl Outbound {
    pub fn new(
        body: Body,
        unsent: Arc<Unsent>,
        admission: Option<Arc<Admission>>,
        open: Open,
        tally: Tally,
    ) -> Self {
        Self { body, unsent, _admission: admission, _open: open, tally }
    }
}

impl hyper::body::Body for Outbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        ready!(self.unsent.poll_room(cx));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(trailers) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref()) {
            self.tally.look(trailers);
        }
        let unsent = &self.unsent;
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|data| unsent.count(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU32, task::Wake};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_full_connection_makes_its_streams_wait_until_something_is_sent() {
        let unsent = Arc::new(Unsent::new(3000));
        let wakes = Arc::new(Wakes::default());
        let waker = Arc::clone(&wakes).into();
        let cx = Context::from_waker(&waker);
        let piece = || Bytes::from(vec![7; 2000]);
        let first = unsent.count(piece());
        assert_eq!(&first[..], piece());
        assert!(unsent.poll_room(&cx).is_ready());
        let second = unsent.count(piece());
        assert!(unsent.poll_room(&cx).is_pending());
        assert!(unsent.poll_room(&cx).is_pending());
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        drop(first);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2, "all who wait look again");
        assert!(unsent.poll_room(&cx).is_ready());
        drop(second);
        assert_eq!(unsent.bytes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn what_is_small_is_not_counted() {
        let unsent = Arc::new(Unsent::new(1));
        let _small = unsent.count(Bytes::from_static(&[0; COUNTED_BYTES_MIN - 1]));
        assert!(!unsent.is_full());
    }
}
