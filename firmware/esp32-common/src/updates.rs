//! Updates over Wi-Fi, and the trial of an image that came by one.

use core::future::pending;

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Timer, with_timeout};
use esp_hal::rng::Rng;
use wsdm_device::{EmbassyClock, Ended};
use wsdm_device_board::ota::{NONCE_BYTES, Nonce, PORT, Served, Server, Slots};

use crate::flash::Flash;
use crate::{Board, chip, restart};

/// An image comes as fast as flash takes it: no more is under way than this.
const ROOM_BYTES: usize = 4_096;
/// Every answer is a short line.
const ANSWER_BYTES: usize = 256;
/// An image on trial that joins no network for so long cannot use the radio, or knows another network: the one before it
/// did. That no gateway is there is no fault of an image.
const JOINS_WITHIN: Duration = Duration::from_secs(300);
/// A peer that goes in the middle of something must not keep the only socket.
const PEER_IS_GONE: Duration = Duration::from_secs(15);
/// For the last answer.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
/// After something that should not fail.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves everybody who knows the password, one after the other, and keeps the image that runs once the gateway was reached.
pub async fn serve(stack: Stack<'static>, board: Board, slots: Slots<Flash>) -> Ended {
    let password = board.settings.ota_password();
    let version = env!("CARGO_PKG_VERSION");
    let mut server = Server::new(
        slots,
        password.unwrap_or_default(),
        &chip::CHIP,
        version,
        board.is_saved,
        board.quiet,
    );
    let (mut rx, mut tx) = ([0; ROOM_BYTES], [0; ANSWER_BYTES]);
    let mut is_told = false;
    loop {
        let is_on_trial = server.slots().is_on_trial();
        let passed = async {
            match is_on_trial {
                true => board.trial.is_passed(&EmbassyClock).await,
                false => pending().await,
            }
        };
        let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
        socket.set_timeout(Some(PEER_IS_GONE));
        let accepted = async {
            if password.is_none() {
                return pending().await;
            }
            stack.wait_config_up().await;
            if !core::mem::replace(&mut is_told, true) {
                board.say(format_args!("updates are taken at port {PORT}"));
            }
            socket.accept(PORT).await
        };
        match select(passed, accepted).await {
            Either::First(()) => match server.slots().confirm() {
                Ok(()) => board.say(format_args!("update: it reached the gateway, and is kept")),
                Err(e) => {
                    board.say(format_args!("update: it stays on trial: {e}"));
                    Timer::after(AGAIN).await;
                }
            },
            Either::Second(Ok(())) => {
                let say = |text: core::fmt::Arguments<'_>| board.say(text);
                let served = server.serve(&mut socket, nonce(), &EmbassyClock, say).await;
                socket.close();
                // The last answer has to leave before the restart; whoever does not take it is not waited for.
                let _ = with_timeout(LEAVES_WITHIN, socket.flush()).await;
                if let Served::Restart(_pause) = served {
                    restart();
                }
            }
            Either::Second(Err(_)) => Timer::after(AGAIN).await,
        }
    }
}

/// The radio is on, so these are random.
fn nonce() -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    Rng::new().read(&mut nonce);
    nonce
}
