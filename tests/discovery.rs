//! A gateway on the network is found by the question that the firmware asks, and one that is not there to be found is not.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use common::process::{Process, command};
use common::within;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use wsdm_device_board::{GROUP, PORT, QUERY, answer};

async fn start(home: &TempDir, args: &[&str]) -> Process {
    let mut command = command(home.path(), &["run", "--client-listen", "127.0.0.1:0"]);
    command.args(args);
    Process::spawn(command).await
}

fn port(gateway: &Process) -> u16 {
    gateway.devices.rsplit(':').next().unwrap().parse().unwrap()
}

/// Whether what is sent to the group is heard here at all: a machine may be on no network, or on one without multicast.
async fn multicast_works(board: &UdpSocket) -> std::io::Result<()> {
    let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    other.join_multicast_v4(GROUP, Ipv4Addr::UNSPECIFIED)?;
    board
        .send_to(b"hello", (GROUP, other.local_addr()?.port()))
        .await?;
    let mut heard = [0; 8];
    tokio::time::timeout(Duration::from_secs(5), other.recv_from(&mut heard)).await??;
    Ok(())
}

/// Asks as a board does until this port is among the answers; all that answered.
async fn ask_until(board: &UdpSocket, wanted: u16) -> BTreeSet<(Ipv4Addr, u16)> {
    let mut found = BTreeSet::new();
    within(&format!("a gateway at port {wanted}"), async {
        while !found.iter().any(|(_, port)| *port == wanted) {
            board.send_to(&QUERY, (GROUP, PORT)).await.unwrap();
            let mut packet = [0; 2048];
            let hear = async {
                loop {
                    let (len, from) = board.recv_from(&mut packet).await.unwrap();
                    if let IpAddr::V4(from) = from.ip() {
                        found.extend(answer(&packet[..len], from));
                    }
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), hear).await;
        }
    })
    .await;
    found
}

#[tokio::test]
async fn boards_find_a_gateway_that_is_on_the_network_and_no_other() {
    let board = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    if let Err(e) = multicast_works(&board).await {
        println!("NOT RUN: this machine has no multicast: {e}");
        return;
    }
    let homes = [(); 4].map(|()| TempDir::new().unwrap());
    let silent = homes[2].path().join("gateway.toml");
    std::fs::write(&silent, "[devices]\nlisten = \"0.0.0.0:0\"\nannounce = false\n").unwrap();
    // Two on one machine have to agree on their names.
    let silent = ["--config", silent.to_str().unwrap()];
    let (first, second, local, silent) = tokio::join!(
        start(&homes[0], &["--device-listen", "0.0.0.0:0"]),
        start(&homes[1], &["--device-listen", "0.0.0.0:0"]),
        start(&homes[3], &["--device-listen", "127.0.0.1:0"]),
        start(&homes[2], &silent),
    );
    let mut found = ask_until(&board, port(&first)).await;
    found.extend(ask_until(&board, port(&second)).await);
    println!("found: {found:?}");
    for hidden in [&local, &silent] {
        assert!(
            found.iter().all(|(_, found)| *found != port(hidden)),
            "{} in {found:?}",
            hidden.devices
        );
    }
    // What it says leads there.
    for (address, found) in found.iter().filter(|(_, found)| *found == port(&first)) {
        within("a connection", tokio::net::TcpStream::connect((*address, *found)))
            .await
            .unwrap();
    }
}
