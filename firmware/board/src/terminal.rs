//! A serial port with a person or a web page at its other end: the console, and Improv beside it.

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};
use wsdm_device::Quiet;

use crate::console::{Action, Console};
use crate::editor::{Echo, Editor};
use crate::improv::{self, Command, Error, Input, Packet, Receiver, Request, State};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// The firmware's name, as Improv gives it.
const FIRMWARE: &str = "wsdm-device";
/// As many networks as are named; those with the best signal.
pub const NETWORKS_MAX: usize = 16;
/// For Improv's state of the network: on one, and Wi-Fi is what it can join.
const IS_ONLINE: u8 = 1;
const SUPPORTS_WIFI: u8 = 2;

/// Where answers go.
pub trait Port: fmt::Write {
    /// Sends bytes that are no text.
    fn write_bytes(&mut self, bytes: &[u8]);
}

/// A network within reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub ssid: String<32>,
    /// Its signal, in dBm.
    pub rssi: i8,
    /// It has no password.
    pub is_open: bool,
}

/// Networks, each name once, the best signal first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network, NETWORKS_MAX>);

impl Networks {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes one that was found. Hidden ones have no name to choose them by.
    pub fn add(&mut self, network: Network) {
        if network.ssid.is_empty() {
            return;
        }
        match self.0.iter().position(|known| known.ssid == network.ssid) {
            Some(at) if self.0[at].rssi >= network.rssi => return,
            Some(at) => drop(self.0.remove(at)),
            None => {}
        }
        let at = self.0.iter().position(|known| known.rssi < network.rssi);
        let at = at.unwrap_or(self.0.len());
        if self.0.is_full() {
            if at == self.0.len() {
                return;
            }
            self.0.pop();
        }
        // There is room now.
        let _ = self.0.insert(at, network);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

/// The radio, as far as Improv goes. While it is asked to look for networks or to join one, outputs are off.
#[allow(
    async_fn_in_trait,
    reason = "boards run everything on one core, nothing here must be Send"
)]
pub trait Radio {
    /// Whether the board is on a network.
    fn is_joined(&self) -> bool;

    /// The networks within reach.
    async fn scan(&mut self) -> Networks;

    /// Joins a network, and stays with it. If it cannot, it goes on with the one that it had. The time is bounded by the
    /// radio: whoever asks waits for half a minute at most.
    async fn join(&mut self, ssid: &str, password: &str) -> bool;
}

/// What the board has to do after a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Stay,
    /// Begin anew, outputs off first.
    Restart,
}

/// The board's end of the port.
#[derive(Debug)]
pub struct Terminal<'a, F, R> {
    receiver: Receiver,
    editor: Editor,
    console: Console<'a>,
    /// `None`: the settings cannot be kept.
    store: Option<Store<F>>,
    /// `None`: a board without Wi-Fi, and so without Improv.
    radio: Option<R>,
    /// With the link: outputs are off while the flash or the radio is needed.
    quiet: &'a Quiet,
    /// What the board is called.
    name: &'a str,
    version: &'a str,
}

impl<'a, F: NorFlash, R: Radio> Terminal<'a, F, R> {
    /// A console on a port, and Improv for this radio. The board's link has its device commanded inside
    /// [`Quiet::obey`] of the same `quiet` only.
    pub const fn new(
        console: Console<'a>,
        store: Option<Store<F>>,
        radio: Option<R>,
        quiet: &'a Quiet,
        name: &'a str,
        version: &'a str,
    ) -> Self {
        Self {
            receiver: Receiver::new(),
            editor: Editor::new(),
            console,
            store,
            radio,
            quiet,
            name,
            version,
        }
    }

    /// Takes a byte, and answers.
    ///
    /// # Errors
    /// `out` takes no more.
    pub async fn byte(&mut self, now: u64, byte: u8, out: &mut impl Port) -> Result<After, fmt::Error> {
        match (self.receiver.push(now, byte), &mut self.radio) {
            (Input::Typed(typed), _) => {
                for byte in typed {
                    match self.editor.push(*byte) {
                        Echo::Nothing => {}
                        Echo::Byte(byte) => out.write_bytes(&[byte]),
                        Echo::Star => out.write_char('*')?,
                        Echo::Rubout => out.write_str("\u{8} \u{8}")?,
                        Echo::Cancelled => out.write_str("^C\n")?,
                        Echo::End => {
                            out.write_char('\n')?;
                            let line = self.editor.line();
                            // What comes behind the restart is for the board that starts then.
                            let (console, store) = (&mut self.console, &mut self.store);
                            if typed_line(console, store, self.quiet, line, out).await? == After::Restart {
                                return Ok(After::Restart);
                            }
                        }
                    }
                }
            }
            (Input::Packet(_), None) => {}
            (Input::Packet(Err(e)), Some(_)) => send(out, &improv::error(e))?,
            (Input::Packet(Ok(request)), Some(radio)) => {
                let board = Board {
                    console: &mut self.console,
                    store: &mut self.store,
                    quiet: self.quiet,
                    name: self.name,
                    version: self.version,
                };
                answer(board, radio, request, out).await?;
            }
        }
        Ok(After::Stay)
    }
}

/// What Improv asks about, and changes.
struct Board<'b, 'a, F> {
    console: &'b mut Console<'a>,
    store: &'b mut Option<Store<F>>,
    quiet: &'a Quiet,
    name: &'a str,
    version: &'a str,
}

async fn typed_line<F: NorFlash>(
    console: &mut Console<'_>,
    store: &mut Option<Store<F>>,
    quiet: &Quiet,
    line: Option<&str>,
    out: &mut impl Port,
) -> Result<After, fmt::Error> {
    let Some(line) = line else {
        out.write_str("that is not text\n")?;
        return Ok(After::Stay);
    };
    match console.line(line, out)? {
        Action::Nothing => {}
        Action::Save => match (console.settings().check(), store) {
            (Err(e), _) => writeln!(out, "not saved: {e}")?,
            (Ok(()), Some(store)) => match save(store, console.settings(), quiet).await {
                Ok(()) => {
                    console.saved();
                    out.write_str("saved; restart uses it\n")?;
                }
                Err(e) => writeln!(out, "not saved: {e}")?,
            },
            (Ok(()), None) => {
                out.write_str("not saved: the flash has no place for it, as was said at the start\n")?
            }
        },
        Action::Restart => return Ok(After::Restart),
    }
    Ok(After::Stay)
}

/// Nothing else runs while flash is erased: what was on would stay on.
async fn save<F: NorFlash>(
    store: &mut Store<F>,
    settings: &Settings,
    quiet: &Quiet,
) -> Result<(), StoreError> {
    let _pause = quiet.begin().await;
    store.save(settings)
}

async fn answer<F: NorFlash, R: Radio>(
    board: Board<'_, '_, F>,
    radio: &mut R,
    request: Request<'_>,
    out: &mut impl Port,
) -> fmt::Result {
    match request {
        Request::State => {
            let state = state(radio);
            send(out, &improv::state(state))?;
            // A board has no page of its own.
            if state == State::Provisioned {
                send_result(out, Command::State, &[])?;
            }
            Ok(())
        }
        Request::Info => {
            let chip = board.console.chip().name;
            send_result(out, Command::Info, &[FIRMWARE, board.version, chip, board.name])
        }
        Request::Scan => {
            let networks = {
                let _pause = board.quiet.begin().await;
                radio.scan().await
            };
            for network in networks.iter() {
                let mut rssi = String::<4>::new();
                // -128 fits.
                fmt::Write::write_fmt(&mut rssi, format_args!("{}", network.rssi))?;
                let has_password = if network.is_open { "NO" } else { "YES" };
                send_result(out, Command::Scan, &[&network.ssid, &rssi, has_password])?;
            }
            send_result(out, Command::Scan, &[])
        }
        Request::Network => {
            let flags = SUPPORTS_WIFI | if radio.is_joined() { IS_ONLINE } else { 0 };
            let mut text = String::<3>::new();
            fmt::Write::write_fmt(&mut text, format_args!("{flags}"))?;
            send_result(out, Command::Network, &[&text])
        }
        Request::Join { ssid, password } => join(board, radio, ssid, password, out).await,
    }
}

async fn join<F: NorFlash, R: Radio>(
    board: Board<'_, '_, F>,
    radio: &mut R,
    ssid: &str,
    password: &str,
    out: &mut impl Port,
) -> fmt::Result {
    let failed = |out: &mut _, radio: &R, error| {
        send(out, &improv::error(error))?;
        send(out, &improv::state(state(radio)))
    };
    send(out, &improv::error(Error::None))?;
    let changed = match board.console.with_network(ssid, password) {
        Ok(changed) => changed,
        Err(e) => {
            writeln!(out, "Improv: {e}")?;
            return failed(out, radio, Error::UnableToConnect);
        }
    };
    send(out, &improv::state(State::Provisioning))?;
    // Until the network is joined and kept: a gateway that is found on it finds a board that obeys.
    let pause = board.quiet.begin().await;
    if !radio.join(ssid, password).await {
        return failed(out, radio, Error::UnableToConnect);
    }
    // Kept only now: a board that was told a wrong password still knows the right one.
    let kept = match board.store.as_mut().map(|store| store.save(&changed)) {
        Some(Ok(())) => None,
        Some(Err(e)) => Some(e),
        None => Some(StoreError::Write),
    };
    drop(pause);
    board.console.take_network(changed, kept.is_none());
    match kept {
        None => {
            send(out, &improv::state(State::Provisioned))?;
            send_result(out, Command::Join, &[])
        }
        Some(e) => {
            writeln!(out, "Improv: connected until the next restart, not saved: {e}")?;
            failed(out, radio, Error::Unknown)
        }
    }
}

fn state(radio: &impl Radio) -> State {
    if radio.is_joined() {
        State::Provisioned
    } else {
        State::Ready
    }
}

fn send_result(out: &mut impl Port, command: Command, texts: &[&str]) -> fmt::Result {
    match improv::result(command, texts) {
        Some(packet) => send(out, &packet),
        None => send(out, &improv::error(Error::Unknown)),
    }
}

/// Sends a packet on a line of its own: whoever reads it looks for its start there.
fn send(out: &mut impl Port, packet: &Packet) -> fmt::Result {
    out.write_bytes(b"\n");
    out.write_bytes(packet);
    out.write_char('\n')
}

#[cfg(test)]
#[path = "terminal/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "terminal/quiet_tests.rs"]
mod quiet_tests;
