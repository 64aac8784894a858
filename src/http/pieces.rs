//! The body of an answer, handed on piece by piece: what the peer has not read waits here once, and not
//! as a whole in the connection's own memory besides.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// What is left of a body.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: Bytes,
}

/// A long answer that waits to be read.
struct Long {
    body: Vec<u8>,
    unread: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Long {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        self.unread.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

impl Pieces {
    /// All of it; where `unread` has been told its length, that is given back with the last piece.
    pub(super) fn of(body: Vec<u8>, unread: Option<Arc<AtomicUsize>>) -> Self {
        let rest = match unread {
            Some(unread) => Bytes::from_owner(Long { body, unread }),
            None => Bytes::from(body),
        };
        Self { rest }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
