//! Updates over the network, and the trial of an image that came by one: what a chip does, with a socket of this computer.

use std::cell::Cell;
use std::error::Error;
use std::future::pending;
use std::net::Ipv4Addr;

use embedded_io_adapters::tokio_1::FromTokio;
use tokio::net::TcpListener;
use tokio::sync::watch;
use wsdm_device::Clock;
use wsdm_device_board::ota::{NONCE_BYTES, Served, Server, Slots};
use wsdm_device_board::{ESP32C3, SharedFlash};

use crate::board;
use crate::console::Board;
use crate::flash::Flash;

/// Serves everybody who knows the password, until a restart is due. A port that the system chose is the board's from then on.
pub async fn serve(
    board: Board<'_>,
    slots: Slots<SharedFlash<'_, Flash>>,
    port: &Cell<u16>,
    mut joined: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let say = |text: std::fmt::Arguments<'_>| println!("at {} ms: {text}", board.clock.now());
    let password = board.settings.ota_password();
    let version = env!("CARGO_PKG_VERSION");
    // As an image of that chip it is found among those that are written to boards.
    let mut server = Server::new(
        slots,
        password.unwrap_or_default(),
        &ESP32C3,
        version,
        board.is_saved,
        board.quiet,
    );
    let mut listener = None;
    if password.is_some() {
        joined.wait_for(|joined| *joined).await?;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port.get())).await?;
        let address = bound.local_addr()?;
        port.set(address.port());
        say(format_args!("updates are taken at {address}"));
        listener = Some(bound);
    }
    loop {
        let is_on_trial = server.slots().is_on_trial();
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = board.trial.is_passed(&board.clock), if is_on_trial => {
                server.slots().confirm().map_err(|e| e.to_string())?;
                say(format_args!("update: it reached the gateway, and is kept"));
            }
            accepted = accepted => {
                let mut stream = FromTokio::new(accepted?.0);
                if let Served::Restart(_pause) = server.serve(&mut stream, nonce(), &board.clock, say).await {
                    return Ok(());
                }
            }
        }
    }
}

fn nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    for bytes in nonce.chunks_exact_mut(4) {
        bytes.copy_from_slice(&board::random().to_le_bytes());
    }
    nonce
}
