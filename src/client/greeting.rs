//! The first bytes that a peer says on a connection: whoever speaks HTTP/2 begins with a SETTINGS frame (RFC 9113, section 3.4).
//! Whoever begins otherwise is no coordinator, and nothing that was asked of it was done. Knows nothing of what follows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A frame's header.
const HEADER_BYTES: usize = 9;
/// The longest frame that a peer may send unasked, in bytes.
const FRAME_BYTES_MAX: usize = 16_384;
/// How the reason begins that a connection ends with. The layers between keep an error's text, not its type.
const NOT_HTTP2: &str = "something else than a coordinator listens there: ";

/// A connection whose peer is listened to until it is known for what it is.
pub(super) struct Greeted<S> {
    io: S,
    said: Vec<u8>,
    is_known: bool,
}

impl<S> Greeted<S> {
    pub fn new(io: S) -> Self {
        Self { io, said: Vec::new(), is_known: false }
    }
}

/// What the peer is that a connection ended for, if it ended for that.
pub(super) fn stranger(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let (mut cause, mut found) = (Some(error), None);
    while let Some(error) = cause {
        // The innermost: those around it quote it.
        found = error.to_string().split_once(NOT_HTTP2).map(|(_, is)| is.to_owned()).or(found);
        cause = error.source();
    }
    found
}

/// Whether this may be how a connection of HTTP/2 begins.
fn may_be_settings(said: &[u8]) -> bool {
    let at = |index: usize, holds: fn(u8) -> bool| said.get(index).is_none_or(|&byte| holds(byte));
    let length =
        said.get(..3).map_or(0, |l| usize::from(l[0]) << 16 | usize::from(l[1]) << 8 | usize::from(l[2]));
    at(0, |byte| byte == 0)
        && length <= FRAME_BYTES_MAX
        && length.is_multiple_of(6)
        && at(3, |kind| kind == 4)
        && at(4, |flags| flags == 0)
        && (5..HEADER_BYTES).all(|index| at(index, |stream| stream == 0))
}

fn describe(said: &[u8]) -> &'static str {
    match said {
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => "it speaks HTTP/1, and a coordinator speaks gRPC",
        [b'S', b'S', b'H', b'-', ..] => "it speaks SSH",
        [0x15 | 0x16, 3, ..] => "it speaks TLS",
        _ => "it does not speak gRPC",
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if self.is_known {
            return Poll::Ready(Ok(()));
        }
        let came = &buf.filled()[before..];
        let missing = HEADER_BYTES - self.said.len();
        self.said.extend(came.iter().take(missing));
        if !may_be_settings(&self.said) {
            let why = format!("{NOT_HTTP2}{}", describe(&self.said));
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        self.is_known = self.said.len() == HEADER_BYTES;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn read(said: &[u8]) -> io::Result<Vec<u8>> {
        // Byte by byte, as a network may bring it.
        let (mut peer, near) = tokio::io::duplex(1);
        let said = said.to_vec();
        let saying = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut peer, &said).await;
        });
        let mut read = Vec::new();
        let result = Greeted::new(near).read_to_end(&mut read).await;
        saying.await.unwrap();
        result.map(|_| read)
    }

    #[tokio::test]
    async fn a_connection_of_http2_passes_as_it_is() {
        let empty = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let with_one =
            [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100][..], b"HTTP/1.1 and whatever follows"].concat();
        for said in [&empty[..], &with_one, b""] {
            assert_eq!(read(said).await.unwrap(), said);
        }
    }

    #[tokio::test]
    async fn whatever_else_is_told_by_its_beginning() {
        for (said, is) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "not speak gRPC"),
            (&[0, 0, 5, 4, 0, 0, 0, 0, 0], "not speak gRPC"),
            (&[0, 0, 0, 1, 0, 0, 0, 0, 0], "not speak gRPC"),
            (&[0, 0, 0, 4, 1, 0, 0, 0, 0], "not speak gRPC"),
            (&[0, 0, 0, 4, 0, 0, 0, 0, 1], "not speak gRPC"),
            (&[0, 0x40, 6, 4, 0, 0, 0, 0, 0], "not speak gRPC"),
        ] {
            let error = read(said).await.unwrap_err();
            assert!(stranger(&error).is_some_and(|told| told.contains(is)), "{said:?}: {error}");
        }
        assert!(describe(b"HTTP/1.1 400").contains("HTTP/1"));
        assert!(describe(b"SSH-2.0").contains("SSH"));
        assert!(describe(&[0x15, 3, 3]).contains("TLS"));
        assert_eq!(stranger(&io::Error::other("connection reset")), None);
    }
}
