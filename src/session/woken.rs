//! One of several pipes that a task polls, looked at only when something happened to it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::{Sink, Stream};

/// A pipe with a waker of its own: reading from it costs nothing until something woke it.
///
/// A task that joins two pipes is woken by either and cannot tell by which. It would look into both each time, and
/// a look into a websocket that has nothing to say is a good part of what passing on a frame costs.
pub(crate) struct Woken<T> {
    inner: T,
    wakes: Arc<Wakes>,
    waker: Waker,
}

/// What the pipe knows as its waker.
struct Wakes {
    /// Something happened since reading last found nothing.
    woken: AtomicBool,
    task: Waker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken, which reads it.
        self.woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Wakes {
    fn new(task: &Waker) -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self {
            woken: AtomicBool::new(true),
            task: task.clone(),
        });
        (wakes.clone(), wakes.into())
    }
}

impl<T> Woken<T> {
    pub(crate) fn new(inner: T) -> Self {
        let (wakes, waker) = Wakes::new(Waker::noop());
        Self { inner, wakes, waker }
    }

    /// The pipe itself. What is done to it here may be news to whoever reads from it.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.wakes.woken.store(true, Ordering::Relaxed);
        &mut self.inner
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner
    }

    /// Has the pipe wake this task. Another task than before starts afresh: the pipe does not know its waker yet.
    fn belong_to(&mut self, task: &Waker) {
        if !self.wakes.task.will_wake(task) {
            (self.wakes, self.waker) = Wakes::new(task);
        }
    }

    /// Polls with the pipe's own waker. A wake that writing waited for has reading looked at too: which of the two
    /// it was for is not known, and some pipes write while they are read.
    fn poll<P>(&mut self, cx: &Context<'_>, poll: impl FnOnce(&mut T, &mut Context<'_>) -> P) -> P {
        self.belong_to(cx.waker());
        poll(&mut self.inner, &mut Context::from_waker(&self.waker))
    }
}

impl<T: Stream + Unpin> Stream for Woken<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        self.belong_to(cx.waker());
        // Before the look into the pipe: what happens during it wakes once more.
        if !self.wakes.woken.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let polled = self.poll(cx, |inner, cx| Pin::new(inner).poll_next(cx));
        if polled.is_ready() {
            // There may be more, and nobody says so.
            self.wakes.woken.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<T: Sink<I> + Unpin, I> Sink<I> for Woken<T> {
    type Error = T::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.poll(cx, |inner, cx| Pin::new(inner).poll_ready(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, item: I) -> Result<(), T::Error> {
        Pin::new(&mut self.inner).start_send(item)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.poll(cx, |inner, cx| Pin::new(inner).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.poll(cx, |inner, cx| Pin::new(inner).poll_close(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::{SinkExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn frames_pass_whenever_they_come() {
        let (mut send, receive) = futures::channel::mpsc::channel::<u32>(1);
        let mut woken = Woken::new(receive);
        let sender = tokio::spawn(async move {
            for n in 0..1_000 {
                send.send(n).await.unwrap();
                if n % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        for n in 0..1_000 {
            assert_eq!(woken.next().await, Some(n));
        }
        sender.await.unwrap();
        assert_eq!(woken.next().await, None);
    }

    #[tokio::test]
    async fn a_pipe_that_was_not_woken_is_not_looked_at() {
        let mut looks = 0;
        let mut woken = Woken::new(futures::stream::poll_fn(|_| {
            looks += 1;
            Poll::<Option<()>>::Pending
        }));
        poll_fn(|cx| {
            for _ in 0..3 {
                assert!(woken.poll_next_unpin(cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        drop(woken);
        assert_eq!(looks, 1);
    }

    #[tokio::test]
    async fn a_pipe_that_was_touched_is_looked_at() {
        let once = |n| futures::stream::iter([n]).chain(futures::stream::pending());
        let mut woken = Woken::new(once(1));
        poll_fn(|cx| {
            assert_eq!(woken.poll_next_unpin(cx), Poll::Ready(Some(1)));
            assert!(woken.poll_next_unpin(cx).is_pending());
            *woken.get_mut() = once(2);
            assert_eq!(woken.poll_next_unpin(cx), Poll::Ready(Some(2)));
            Poll::Ready(())
        })
        .await;
    }
}
