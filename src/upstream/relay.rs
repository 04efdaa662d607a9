//! Somebody else's Websocket Device Manager server: each device gets a connection of its own to it, with its own
//! handshake, and frames pass both ways as they are.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::advice::Advice;
use crate::backoff::Backoff;
use crate::config::UpstreamSettings;
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::close::{self, CloseReason};
use crate::device::frame::Frame;
use crate::link::websocket::WebSocketLink;
use crate::link::{FrameIo, LinkError};
use crate::net::dial::{DialError, dial};
use crate::net::stream::Stream as Dialled;
use crate::session::ends::{FromUpstream, Upstream, UpstreamError, UpstreamIo};
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
/// Frames of a device that wait for upstream: for its first connection, or because it takes them slowly.
const WAITING_MAX: usize = 64;

/// The server that devices are relayed to.
pub struct Relay {
    settings: UpstreamSettings,
    ping_interval: Duration,
}

impl Relay {
    /// Relays as configured, and pings upstream at this interval.
    pub fn new(settings: UpstreamSettings, ping_interval: Duration) -> Arc<Self> {
        Arc::new(Self {
            settings,
            ping_interval,
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
            waiting: VecDeque::new(),
        })
    }
}

type Link = WebSocketLink<Dialled>;
type Dialling = BoxFuture<'static, Result<Link, DialError>>;

fn connect(relay: Arc<Relay>, session: Arc<SessionHandle>) -> Dialling {
    async move {
        let socket = dial(&relay.settings.relay, &session.handshake, &relay.settings.tls).await?;
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
    /// Frames of the device that wait for upstream.
    waiting: VecDeque<Frame>,
}

impl RelayIo {
    /// Upstream is away: the device is stopped, once, and kept for a while.
    fn lost(&mut self, why: &str) -> Result<Option<FromUpstream>, UpstreamError> {
        let (lost_at, stop) = match self.lost_at {
            Some(lost_at) => (lost_at, None),
            None => {
                // Without a known stop a device that nobody controls can only be stopped by its own watchdog, which
                // waits for the end of the connection.
                if !self.can_stop {
                    return Err(UpstreamError::Away(why.to_owned()));
                }
                warn!(
                    "upstream is away: {why}; the device is stopped and kept for {} s",
                    self.relay.settings.grace.as_secs()
                );
                (*self.lost_at.insert(Instant::now()), Some(FromUpstream::Stop))
            }
        };
        // What the device sends while upstream is away is worth nothing when it is back.
        self.drop_waiting();
        let given_up = lost_at + self.relay.settings.grace;
        if Instant::now() >= given_up {
            return Err(UpstreamError::Away(why.to_owned()));
        }
        let next = Instant::now() + self.backoff.next_delay();
        self.state = State::Waiting(Box::pin(sleep_until(next.min(given_up))));
        Ok(stop)
    }

    /// Upstream closed the connection, or broke it.
    fn ended(&mut self, error: LinkError) -> Result<Option<FromUpstream>, UpstreamError> {
        let State::Open { since, spoke, .. } = &self.state else {
            return Ok(None);
        };
        let accepted = *spoke || since.elapsed() >= ACCEPTED_AFTER;
        self.backoff.connected_for(since.elapsed());
        if accepted {
            self.lost_at = None;
            self.refusals = 0;
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
        Ok(None)
    }

    fn drop_waiting(&mut self) {
        for _ in self.waiting.drain(..) {
            Counters::count(&self.session.counters.dropped);
        }
    }

    /// Passes on what upstream takes. What it does not take is passed on when it does: that wakes the task.
    fn poll_forward(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        let State::Open { link, .. } = &mut self.state else {
            return Ok(());
        };
        while !self.waiting.is_empty()
            && link.poll_ready_unpin(cx)?.is_ready()
            && let Some(frame) = self.waiting.pop_front()
        {
            link.start_send_unpin(frame)?;
            self.flush_due = true;
        }
        if self.flush_due && link.poll_flush_unpin(cx)?.is_ready() {
            self.flush_due = false;
        }
        Ok(())
    }

    /// Upstream drives an output and is silent: it may be frozen, and its last command must not outlive it.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open { link, .. } = &mut self.state else {
            return Poll::Pending;
        };
        let drives = self.session.outputs_on.load(Ordering::Relaxed);
        link.attend(drives.then_some(self.relay.settings.stop_after));
        link.poll_silence(cx)
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<FromUpstream, UpstreamError>> {
        loop {
            if let Err(e) = self.poll_forward(cx)
                && let Some(stop) = self.ended(e)?
            {
                return Poll::Ready(Ok(stop));
            }
            let next = match &mut self.state {
                State::Dialling(dialling) => match std::task::ready!(dialling.poll_unpin(cx)) {
                    Ok(link) => {
                        self.state = State::Open {
                            link: Box::new(link),
                            since: Instant::now(),
                            spoke: false,
                        };
                        None
                    }
                    Err(e) if e.is_denial() => {
                        return Poll::Ready(Err(UpstreamError::Refused {
                            code: None,
                            reason: e.to_string(),
                        }));
                    }
                    Err(e) => {
                        // A certificate does not get better by waiting: somebody has to do something.
                        if self.lost_at.is_none() && matches!(e, DialError::Tls { .. }) {
                            warn!("{}", e.with_hint());
                        }
                        self.lost(&e.to_string())?
                    }
                },
                State::Waiting(pause) => {
                    std::task::ready!(pause.poll_unpin(cx));
                    if self
                        .lost_at
                        .is_some_and(|lost_at| lost_at.elapsed() >= self.relay.settings.grace)
                    {
                        return Poll::Ready(Err(UpstreamError::Away("it did not come back".to_owned())));
                    }
                    self.state = State::Dialling(connect(self.relay.clone(), self.session.clone()));
                    None
                }
                State::Open { link, spoke, .. } => match link.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        *spoke = true;
                        self.refusals = 0;
                        if self.lost_at.take().is_some() {
                            info!("upstream is back");
                        }
                        Some(FromUpstream::Frame(frame.into()))
                    }
                    Poll::Ready(Some(Err(e))) => self.ended(e)?,
                    Poll::Ready(None) => self.ended(LinkError::closed())?,
                    Poll::Pending => {
                        std::task::ready!(self.poll_silence(cx));
                        warn!(
                            "upstream drives the device and was silent for {} ms: the device is stopped",
                            self.relay.settings.stop_after.as_millis()
                        );
                        Some(FromUpstream::Stop)
                    }
                },
            };
            if let Some(next) = next {
                return Poll::Ready(Ok(next));
            }
        }
    }
}

impl Stream for RelayIo {
    type Item = Result<FromUpstream, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_state(cx).map(Some)
    }
}

/// What upstream does not take in time is dropped, the oldest first, and counted: a device must not wait, and its newest
/// frame is worth most.
impl Sink<Frame> for RelayIo {
    type Error = UpstreamError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), UpstreamError> {
        if self.lost_at.is_some() && !matches!(self.state, State::Open { .. }) {
            Counters::count(&self.session.counters.dropped);
            return Ok(());
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            Counters::count(&self.session.counters.dropped);
        }
        self.waiting.push_back(frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        if self.poll_forward(cx).is_err() {
            // The stream reports it.
            cx.waker().wake_by_ref();
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
