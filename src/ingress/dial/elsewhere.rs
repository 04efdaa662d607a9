//! Boards that speak in another way than the url of their entry says: which url is meant.

use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::DialSettings;
use crate::ingress::Trouble;
use crate::net::endpoint::{Endpoint, Transport};
use crate::net::mdns::resolve;
use crate::net::spoken::{Spoken, over_tcp, over_udp};

/// A board that has not introduced itself by then is looked at, so that the log can name the cause when it reports that.
pub(super) const SUSPICIOUS_AFTER: Duration = Duration::from_secs(4);
/// A session that ends this soon, and in which the board said nothing, may not have reached a board.
pub(super) const SUSPICIOUSLY_SHORT: Duration = Duration::from_secs(10);

/// Finds out whether something else is spoken there than the entry says. `None` if it is not, if nothing answers, or if
/// the gateway stops. Takes seconds. Cancel safe.
pub(super) async fn elsewhere(
    settings: &DialSettings,
    endpoint: &Endpoint,
    stop: &CancellationToken,
) -> Option<Trouble> {
    let spoken = stop.run_until_cancelled(spoken(endpoint)).await??;
    debug!("{endpoint}: {spoken:?} is spoken there");
    trouble(settings, endpoint, &spoken)
}

async fn spoken(endpoint: &Endpoint) -> Option<Spoken> {
    let at = resolve(&endpoint.host_and_port()?).await.ok()?;
    let at = *at.first()?;
    let path = match endpoint {
        Endpoint::Websocket(target) => Some(target.path()),
        Endpoint::Tcp(_) | Endpoint::Udp(_) => None,
        Endpoint::Service(_) => return None,
    };
    match over_tcp(at, path).await {
        // Over UDP there was no answer already.
        None if !matches!(endpoint, Endpoint::Udp(_)) => over_udp(at).await,
        spoken => spoken,
    }
}

/// What is wrong with the entry of a board there, if it is the way in which the board is spoken to.
fn trouble(settings: &DialSettings, endpoint: &Endpoint, spoken: &Spoken) -> Option<Trouble> {
    let host = endpoint.host_and_port()?;
    let path = match endpoint {
        Endpoint::Websocket(target) => target.path(),
        _ => "/ws",
    };
    let (what, transport) = match spoken {
        Spoken::Websocket(_) => ("a websocket", Transport::Websocket),
        Spoken::Http => ("HTTP", Transport::Websocket),
        Spoken::Tls => ("TLS", Transport::SecureWebsocket),
        Spoken::Lines => ("plain TCP", Transport::Tcp),
        Spoken::Datagrams => ("UDP", Transport::Udp),
    };
    let meant_path = match spoken {
        Spoken::Websocket(path) => path,
        _ => path,
    };
    let meant = Endpoint::found(transport, host.host, host.port, meant_path);
    // Of a websocket the path may be the only difference; without one that is known there is nothing to correct.
    let is_as_configured =
        endpoint.transport() == transport && (*endpoint == meant || !matches!(spoken, Spoken::Websocket(_)));
    if is_as_configured {
        return None;
    }
    let hint = match (&settings.endpoint, spoken) {
        (Some(Endpoint::Service(_)), _) => {
            format!(
                "write transport = \"{}\" in its [[dial]] entry",
                transport.scheme()
            )
        }
        (_, Spoken::Http) => format!(
            "if the board has a websocket, its url is {meant} with the right path; else look up on which port it takes \
             commands"
        ),
        _ => format!("its url is {meant}"),
    };
    let what = match endpoint.transport() == transport {
        true => format!("there is no websocket at {path}, but at another path"),
        false => format!("{what} is spoken there, not {}", named(endpoint)),
    };
    Some(Trouble { what, hint })
}

/// What the url of an entry says that is spoken.
fn named(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Websocket(target) if target.is_tls() => "a websocket with TLS (wss://)".to_owned(),
        Endpoint::Websocket(_) => "a websocket without TLS (ws://)".to_owned(),
        Endpoint::Tcp(_) => "plain TCP (tcp://)".to_owned(),
        Endpoint::Udp(_) => "UDP (udp://)".to_owned(),
        Endpoint::Service(service) => service.to_string(),
    }
}
