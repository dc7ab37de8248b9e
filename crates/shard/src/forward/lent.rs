//! A client's body on loan to the connection to another shard. It can be taken back, whole as long as nothing was read from it.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The body of a request that may be passed on, more than once if need be.
#[derive(Debug)]
pub(crate) struct Passage<B = Incoming> {
    body: Option<B>,
    touched: bool,
}

#[derive(Debug)]
struct Slot<B> {
    body: Option<B>,
    touched: bool,
}

/// The body while it is lent. Its copies are one and the same.
#[derive(Debug)]
pub(crate) struct Lent<B = Incoming>(Arc<Mutex<Slot<B>>>);

impl<B> Clone for Lent<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Passage<B> {
    pub(crate) const fn new(body: B) -> Self {
        Self { body: Some(body), touched: false }
    }

    /// Gives the body away. One that was given away before and not taken back gives an error to whoever reads it.
    pub(super) fn lend(&mut self) -> Lent<B> {
        Lent(Arc::new(Mutex::new(Slot { body: self.body.take(), touched: false })))
    }

    /// Takes the body back. Whoever it was lent to gets an error instead of its rest, never an early end.
    pub(super) fn recall(&mut self, lent: &Lent<B>) {
        let mut slot = lent.slot();
        self.body = slot.body.take();
        self.touched |= slot.touched;
    }

    /// Whether some of it was read: then nobody else can be given the whole.
    pub(crate) const fn is_touched(&self) -> bool {
        self.touched || self.body.is_none()
    }

    /// What is left of it.
    pub(crate) fn into_body(self) -> Option<B> {
        self.body
    }
}

impl<B> Lent<B> {
    fn slot(&self) -> MutexGuard<'_, Slot<B>> {
        // A panic while a body was polled leaves it to its own error.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Body for Lent<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut slot = self.slot();
        let Some(body) = slot.body.as_mut() else {
            return Poll::Ready(Some(Err(io::Error::other("the body was taken back"))));
        };
        let polled = Pin::new(body).poll_frame(cx);
        slot.touched |= matches!(polled, Poll::Ready(Some(_)));
        polled.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.slot().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.slot().body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    /// A body of two pieces.
    #[derive(Debug)]
    struct Two(u8);

    impl Body for Two {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
            self.0 += 1;
            Poll::Ready((self.0 <= 2).then(|| Ok(Frame::data(Bytes::from(vec![self.0])))))
        }
    }

    #[tokio::test]
    async fn a_body_that_nobody_has_read_can_be_lent_again() {
        let mut passage = Passage::new(Two(0));
        let mut first = passage.lend();
        passage.recall(&first.clone());
        assert!(!passage.is_touched());
        assert!(first.frame().await.unwrap().is_err(), "never an early end");
        let second = passage.lend();
        assert_eq!(second.clone().collect().await.unwrap().to_bytes(), [1, 2].as_slice());
        passage.recall(&second);
        assert!(passage.is_touched());
    }

    #[tokio::test]
    async fn a_body_that_was_begun_comes_back_with_its_rest_only() {
        let mut passage = Passage::new(Two(0));
        let mut lent = passage.lend();
        lent.frame().await.unwrap().unwrap();
        assert!(passage.is_touched(), "as long as it is away");
        passage.recall(&lent);
        assert!(passage.is_touched());
        assert!(lent.frame().await.unwrap().is_err());
        assert_eq!(passage.into_body().unwrap().collect().await.unwrap().to_bytes(), [2].as_slice());
    }
}
