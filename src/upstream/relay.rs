//! A remote Websocket Device Manager server: each device gets a connection of its own, with its own handshake, and
//! frames pass unchanged both ways.

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
use crate::config::RelaySettings;
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::close::{self, CloseReason};
use crate::device::frame::Frame;
use crate::link::websocket::WebSocketLink;
use crate::link::{FrameIo, LinkError};
use crate::net::dial::{DialError, dial};
use crate::net::stream::Stream as Dialled;
use crate::session::ends::{DeviceInfo, FromUpstream, Upstream, UpstreamError, UpstreamIo};
use crate::session::registry::{Counters, SessionHandle};

/// The first pause before upstream is dialled again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: a device waits meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection counts as accepted once it lasted this long or upstream sent something.
const ACCEPTED_AFTER: Duration = Duration::from_secs(2);
/// The reference server holds an address for a while after its device left, so a refusal without a reason is retried.
const REFUSAL_TRIES: u32 = 4;
/// The pause between those retries.
const REFUSAL_PAUSE: Duration = Duration::from_millis(250);
/// Frames of a device that may wait for upstream, while it connects or if it is slow.
const WAITING_MAX: usize = 64;

/// The server that devices are relayed to.
pub struct Relay {
    settings: RelaySettings,
    ping_interval: Duration,
}

impl Relay {
    /// Creates the relay; it pings upstream at this interval.
    pub fn new(settings: RelaySettings, ping_interval: Duration) -> Arc<Self> {
        Arc::new(Self {
            settings,
            ping_interval,
        })
    }
}

impl Upstream for Relay {
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, device: DeviceInfo) -> Box<dyn UpstreamIo> {
        Box::new(RelayIo {
            state: State::Dialling(connect(self.clone(), session.clone())),
            relay: self.clone(),
            session: session.clone(),
            can_stop: device.can_stop,
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
        received: bool,
    },
    Waiting(Pin<Box<Sleep>>),
}

/// A session's connection to the server, redialled as long as the device is kept.
struct RelayIo {
    relay: Arc<Relay>,
    session: Arc<SessionHandle>,
    can_stop: bool,
    state: State,
    /// When upstream was lost and the device stopped.
    lost_at: Option<Instant>,
    backoff: Backoff,
    refusals: u32,
    flush_due: bool,
    /// Frames of the device that wait for upstream.
    waiting: VecDeque<Frame>,
}

impl RelayIo {
    /// Upstream is lost: stops the device, once, and keeps it for the grace period.
    fn lost(&mut self, why: &str) -> Result<Option<FromUpstream>, UpstreamError> {
        let (lost_at, stop) = match self.lost_at {
            Some(lost_at) => (lost_at, None),
            None => {
                // Without known stop bytes only the device's own watchdog can stop it, which waits for the connection
                // to end.
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
        // Frames from the time without upstream are worthless when it is back.
        self.drop_waiting();
        let given_up = lost_at + self.relay.settings.grace;
        if Instant::now() >= given_up {
            return Err(UpstreamError::Away(why.to_owned()));
        }
        let next = Instant::now() + self.backoff.next_delay();
        self.state = State::Waiting(Box::pin(sleep_until(next.min(given_up))));
        Ok(stop)
    }

    /// Upstream closed or broke the connection.
    fn ended(&mut self, error: LinkError) -> Result<Option<FromUpstream>, UpstreamError> {
        let State::Open { since, received, .. } = &self.state else {
            return Ok(None);
        };
        let accepted = *received || since.elapsed() >= ACCEPTED_AFTER;
        self.backoff.connected_for(since.elapsed());
        if accepted {
            self.lost_at = None;
            self.refusals = 0;
        }
        let LinkError::Closed { code, reason } = error else {
            return self.lost(&error.to_string());
        };
        match code {
            Some(close::GOING_AWAY) => return self.lost("upstream is shutting down"),
            // With these codes, the same handshake would get the same reply.
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
        debug!(
            ?code,
            "upstream closed the connection before it sent anything; trying again"
        );
        self.state = State::Waiting(Box::pin(sleep(REFUSAL_PAUSE)));
        Ok(None)
    }

    fn drop_waiting(&mut self) {
        for _ in self.waiting.drain(..) {
            Counters::count(&self.session.counters.dropped);
        }
    }

    /// Forwards what upstream accepts. The rest follows when upstream wakes the task.
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

    /// Ready if upstream has an output on and is silent: it may have frozen, and its last command must not outlive
    /// it.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open { link, .. } = &mut self.state else {
            return Poll::Pending;
        };
        let output_is_on = self.session.outputs_on.load(Ordering::Relaxed);
        link.attend(output_is_on.then_some(self.relay.settings.stop_after));
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
                            received: false,
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
                        // Retrying does not mend a certificate: someone has to act.
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
                        return Poll::Ready(Err(UpstreamError::Away(
                            "it was not reachable again in time".to_owned(),
                        )));
                    }
                    self.state = State::Dialling(connect(self.relay.clone(), self.session.clone()));
                    None
                }
                State::Open { link, received, .. } => match link.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        *received = true;
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
                        if !self.can_stop {
                            // Only the device's own watchdog can stop it, which waits for the end of the connection.
                            return Poll::Ready(Err(UpstreamError::Away("it is silent".to_owned())));
                        }
                        warn!(
                            "upstream has an output on and was silent for {} ms: the device is stopped",
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

/// Upstream that is too slow loses the oldest frames, counted: a device must not wait, and its newest frame is worth
/// most.
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
            // The stream half reports the error.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
}

impl UpstreamIo for RelayIo {
    /// The reference server keeps a device for ever if it leaves without a Close frame.
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
