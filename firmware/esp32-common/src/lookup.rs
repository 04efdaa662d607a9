//! The search for a gateway on the network.

use core::net::Ipv4Addr;

use embassy_futures::select::{Either, select};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, Stack};
use embassy_time::{Duration, Timer};
use wsdm_device_board::{ASK_AGAIN_MS, GROUP, PORT, QUERY, QUESTIONS, answer};

/// Asks a few times for a gateway. `None`: none answered, or it cannot be asked. May be dropped at any time.
pub async fn gateway(stack: Stack<'_>) -> Option<(Ipv4Addr, u16)> {
    stack.wait_config_up().await;
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 1]);
    let (mut rx, mut tx) = ([0; 2048], [0; QUERY.len()]);
    let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    // A port of its own, not that of mDNS: who asks from there is answered alone (RFC 6762, section 6.7), and many access
    // points lose what is for everybody.
    socket.bind(0).ok()?;
    // RFC 6762, section 11: so that everybody can tell that it came from this very network.
    socket.set_hop_limit(Some(255));
    for _ in 0..QUESTIONS {
        // A network that is away for the moment is asked again.
        let _ = socket.send_to(&QUERY, (GROUP, PORT)).await;
        let patience = Timer::after(Duration::from_millis(ASK_AGAIN_MS));
        if let Either::First(found) = select(listen(&mut socket), patience).await {
            return Some(found);
        }
    }
    None
}

async fn listen(socket: &mut UdpSocket<'_>) -> (Ipv4Addr, u16) {
    loop {
        let found = socket.recv_from_with(|packet, from| match from.endpoint.addr {
            IpAddress::Ipv4(from) => answer(packet, from),
        });
        if let Some(found) = found.await {
            return found;
        }
    }
}
