//! Somebody else's Websocket Device Manager server: each device gets a connection of its own to it, with its own
//! handshake, and frames pass both ways as they are.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::close::{self, CloseReason};
use crate::device::frame::Frame;
use crate::link::websocket::WebSocketLink;
use crate::link::{FrameIo, LinkError};
use crate::net::dial::{DialError, dial};
use crate::net::stream::Stream as Dialled;
use crate::net::target::Target;
use crate::net::tls::Tls;
use crate::session::ends::{Upstream, UpstreamError, UpstreamIo};
use crate::session::registry::{Counters, SessionHandle};

/// The first pause before upstream is dialled again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest one: a device waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lasted this long, or on which upstream spoke, was accepted.
const ACCEPTED_AFTER: Duration = Duration::from_secs(2);
/// The reference holds an address for a while after its device went: a refusal without a reason is tried again.
const REFUSAL_TRIES: u32 = 4;
/// Between those tries.
const REFUSAL_PAUSE: Duration = Duration::from_millis(250);
/// Frames of a device that wait for its first connection to upstream.
const EARLY_FRAMES_MAX: usize = 16;

/// The server that devices are relayed to.
pub struct Relay {
    target: Target,
    tls: Tls,
    ping_interval: Duration,
    grace: Duration,
}

impl Relay {
    /// Relays to `target`, which is pinged; `tls` says whom to trust there. While it is away a device is kept for
    /// `grace`.
    pub fn new(target: Target, tls: Tls, ping_interval: Duration, grace: Duration) -> Arc<Self> {
        Arc::new(Self {
            target,
            tls,
            ping_interval,
            grace,
        })
    }
}

impl Upstream for Relay {
    /// The upstream half for a device; `can_stop` says whether stop bytes for it are known.
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, can_stop: bool) -> Box<dyn UpstreamIo> {
        Box::new(RelayIo {
            state: State::Dialling(connect(self.clone(), session.clone())),
            relay: self.clone(),
            session: session.clone(),
            can_stop,
            lost_at: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, ACCEPTED_AFTER),
            refusals: 0,
            flush_due: false,
            early: VecDeque::new(),
        })
    }
}

type Link = WebSocketLink<Dialled>;
type Dialling = BoxFuture<'static, Result<Link, DialError>>;

fn connect(relay: Arc<Relay>, session: Arc<SessionHandle>) -> Dialling {
    async move {
        let socket = dial(&relay.target, &session.handshake, &relay.tls).await?;
        Ok(WebSocketLink::new(socket, relay.ping_interval))
    }
    .boxed()
}

enum State {
    Dialling(Dialling),
    Open {
        link: Box<Link>,
        since: Instant,
        spoke: bool,
    },
    Waiting(Pin<Box<Sleep>>),
}

/// A session's connection to the server, dialled again while the device is kept.
struct RelayIo {
    relay: Arc<Relay>,
    session: Arc<SessionHandle>,
    can_stop: bool,
    state: State,
    /// Since when upstream is away; the device was stopped then.
    lost_at: Option<Instant>,
    backoff: Backoff,
    refusals: u32,
    flush_due: bool,
    /// What the device said before upstream was there for the first time.
    early: VecDeque<Frame>,
}

impl RelayIo {
    /// Upstream is away: the device is stopped, and kept for a while.
    fn lost(&mut self, why: &str) -> Result<(), UpstreamError> {
        let lost_at = match self.lost_at {
            Some(lost_at) => lost_at,
            None => {
                // Without stop bytes a device that nobody controls can only be stopped by its own watchdog, which
                // waits for the end of the connection.
                if !self.can_stop {
                    return Err(UpstreamError::Away(why.to_owned()));
                }
                warn!(
                    "upstream is away: {why}; the device is stopped and kept for {} s",
                    self.relay.grace.as_secs()
                );
                self.session.order_stop();
                *self.lost_at.insert(Instant::now())
            }
        };
        let given_up = lost_at + self.relay.grace;
        if Instant::now() >= given_up {
            return Err(UpstreamError::Away(why.to_owned()));
        }
        let next = Instant::now() + self.backoff.next_delay();
        self.state = State::Waiting(Box::pin(sleep_until(next.min(given_up))));
        Ok(())
    }

    /// Upstream closed the connection, or broke it.
    fn ended(&mut self, error: LinkError) -> Result<(), UpstreamError> {
        let State::Open { since, spoke, .. } = &self.state else {
            return Ok(());
        };
        let accepted = *spoke || since.elapsed() >= ACCEPTED_AFTER;
        self.backoff.connected_for(since.elapsed());
        if accepted {
            self.lost_at = None;
        }
        let LinkError::Closed { code, reason } = error else {
            return self.lost(&error.to_string());
        };
        match code {
            Some(close::GOING_AWAY) => return self.lost("upstream stops"),
            // These say that the same handshake gets the same answer.
            Some(code @ (close::UNSUPPORTED_DATA | close::INVALID_HANDSHAKE | close::TOO_LARGE | 4000..)) => {
                return Err(UpstreamError::Refused {
                    code: Some(code),
                    reason,
                });
            }
            _ if accepted => return self.lost("upstream closed the connection"),
            _ => {}
        }
        self.refusals += 1;
        if self.refusals >= REFUSAL_TRIES {
            return Err(UpstreamError::Refused { code, reason });
        }
        debug!(?code, "upstream closed before it said anything; trying again");
        self.state = State::Waiting(Box::pin(sleep(REFUSAL_PAUSE)));
        Ok(())
    }

    fn hand_over(&mut self, frame: Frame) {
        let waker = futures::task::noop_waker();
        let mut cx = Context::from_waker(&waker);
        if let State::Open { link, .. } = &mut self.state
            && matches!(link.poll_ready_unpin(&mut cx), Poll::Ready(Ok(())))
            && link.start_send_unpin(frame).is_ok()
        {
            self.flush_due = true;
        } else {
            Counters::count(&self.session.counters.dropped);
        }
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, UpstreamError>> {
        loop {
            match &mut self.state {
                State::Dialling(dialling) => match std::task::ready!(dialling.poll_unpin(cx)) {
                    Ok(link) => {
                        self.state = State::Open {
                            link: Box::new(link),
                            since: Instant::now(),
                            spoke: false,
                        };
                        for frame in std::mem::take(&mut self.early) {
                            self.hand_over(frame);
                        }
                    }
                    Err(e) if e.is_denial() => {
                        return Poll::Ready(Err(UpstreamError::Refused {
                            code: None,
                            reason: e.to_string(),
                        }));
                    }
                    Err(e) => {
                        // A certificate does not get better by waiting: whoever reads the log has to do something.
                        if self.lost_at.is_none() && matches!(e, DialError::Tls { .. }) {
                            warn!("{e}; {}", e.hint());
                        }
                        self.lost(&e.to_string())?;
                    }
                },
                State::Waiting(pause) => {
                    std::task::ready!(pause.poll_unpin(cx));
                    if self
                        .lost_at
                        .is_some_and(|lost_at| lost_at.elapsed() >= self.relay.grace)
                    {
                        return Poll::Ready(Err(UpstreamError::Away("it did not come back".to_owned())));
                    }
                    self.state = State::Dialling(connect(self.relay.clone(), self.session.clone()));
                }
                State::Open { link, spoke, .. } => {
                    if self.flush_due && link.poll_flush_unpin(cx).is_ready() {
                        self.flush_due = false;
                    }
                    match std::task::ready!(link.poll_next_unpin(cx)) {
                        Some(Ok(frame)) => {
                            *spoke = true;
                            self.refusals = 0;
                            if self.lost_at.take().is_some() {
                                info!("upstream is back");
                            }
                            return Poll::Ready(Ok(frame));
                        }
                        Some(Err(e)) => self.ended(e)?,
                        None => self.ended(LinkError::Closed {
                            code: None,
                            reason: String::new(),
                        })?,
                    }
                }
            }
        }
    }
}

impl Stream for RelayIo {
    type Item = Result<Frame, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_state(cx).map(Some)
    }
}

/// What upstream does not take is dropped, and counted: a device must not wait, and its old words are worth nothing.
impl Sink<Frame> for RelayIo {
    type Error = UpstreamError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), UpstreamError> {
        if matches!(self.state, State::Open { .. }) {
            self.hand_over(frame);
            return Ok(());
        }
        // What a device said while upstream was away is worth nothing when it is back.
        if self.lost_at.is_none() {
            self.early.push_back(frame);
        }
        if self.lost_at.is_some() || self.early.len() > EARLY_FRAMES_MAX {
            self.early.pop_front();
            Counters::count(&self.session.counters.dropped);
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        let this = &mut *self;
        // What is not written now is written while the next frame is waited for; an error shows there too.
        if this.flush_due
            && let State::Open { link, .. } = &mut this.state
            && link.poll_flush_unpin(cx).is_ready()
        {
            this.flush_due = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
}

impl UpstreamIo for RelayIo {
    /// The reference keeps a device for ever that goes without a Close frame.
    fn release(self: Box<Self>, _: bool) -> BoxFuture<'static, ()> {
        async move {
            if let State::Open { mut link, .. } = self.state {
                link.set_close_reason(CloseReason::new(1000, "the device is gone"));
                let _ = timeout(CLOSE_TIMEOUT, link.close()).await;
            }
        }
        .boxed()
    }
}
