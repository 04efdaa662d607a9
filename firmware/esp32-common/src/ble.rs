//! The link over BLE: Nordic's UART service as a wire, with a hello line.
//!
//! Anyone near can connect and command, as with every device of this kind that has no pairing. One connection at a
//! time; where it ends, the outputs stop at once.

use core::future::pending;

use embassy_futures::select::{Either, Either3, select, select3};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_time::{Duration, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use esp_hal::peripherals::BT;
use esp_radio::ble::controller::BleConnector;
use heapless::Vec;
use trouble_host::prelude::*;
use wsdm_device::wsdm_protocol::KEEPALIVES_UNTIL_STOP;
use wsdm_device::{Clock, Device, EmbassyClock, Ended, Memory, Report, Wire, WireSettings};
use wsdm_device_board::{Language, Networks, ble_name};

use crate::Board;

/// Only a gateway, and only one: a second one would command the same motor.
const CONNECTIONS: usize = 1;
/// Signalling and attributes; no channel besides.
const CHANNELS: usize = 2;
/// Commands to the controller that are on their way at a time.
const COMMANDS: usize = 20;
/// The longest piece that one write or notification can hold.
const PIECE_MAX_BYTES: usize = 244;
/// What every peer takes at once; the header of an attribute takes three bytes.
const MTU_MIN: u16 = 23;
const HEADER_BYTES: u16 = 3;
const ROOM_BYTES: usize = 512;
/// After an advertisement that could not be made.
const AGAIN: Duration = Duration::from_secs(1);
/// For the answer to the command that ended it all.
const LAST_ANSWER: Duration = Duration::from_millis(200);

/// The service's UUID, as it is advertised: the last byte first.
const SERVICE: [u8; 16] = 0x6e40_0001_b5a3_f393_e0a9_e50e_24dc_ca9e_u128.to_le_bytes();

#[gatt_server(connections_max = CONNECTIONS, mutex_type = NoopRawMutex)]
struct Server {
    uart: Uart,
}

#[gatt_service(uuid = "6e400001-b5a3-f393-e0a9-e50e24dcca9e")]
struct Uart {
    #[characteristic(uuid = "6e400002-b5a3-f393-e0a9-e50e24dcca9e", write, write_without_response)]
    rx: Vec<u8, PIECE_MAX_BYTES>,
    #[characteristic(uuid = "6e400003-b5a3-f393-e0a9-e50e24dcca9e", notify)]
    tx: Vec<u8, PIECE_MAX_BYTES>,
}

type Bytes = Pipe<NoopRawMutex, ROOM_BYTES>;

/// Both directions of the service, as the core reads and writes them.
struct Stream<'p> {
    rx: &'p Bytes,
    tx: &'p Bytes,
}

impl ErrorType for Stream<'_> {
    type Error = core::convert::Infallible;
}

impl Read for Stream<'_> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(self.rx.read(bytes).await)
    }
}

impl Write for Stream<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Ok(self.tx.write(bytes).await)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Over BLE there is no network to join.
pub enum Radio {}

impl wsdm_device_board::Radio for Radio {
    fn is_joined(&self) -> bool {
        match *self {}
    }

    async fn scan(&mut self) -> Networks {
        match *self {}
    }

    async fn join(&mut self, _ssid: &str, _password: &str) -> bool {
        match *self {}
    }
}

/// The radio, not started yet.
pub struct Link(BT<'static>);

impl Link {
    /// A link on this radio.
    pub const fn new(radio: BT<'static>) -> Self {
        Self(radio)
    }

    /// Keeps the device reachable until it is told to turn itself off.
    pub async fn run<D: Device>(self, board: Board, device: &mut D) -> Ended {
        let name = ble_name(crate::mac());
        let connector = match BleConnector::new(self.0, Default::default()) {
            Ok(connector) => connector,
            Err(e) => {
                board.say(format_args!("no BLE: {e}"));
                pending().await
            }
        };
        let controller: ExternalController<_, COMMANDS> = ExternalController::new(connector);
        let mut resources: HostResources<_, DefaultPacketPool, CONNECTIONS, CHANNELS> = HostResources::new();
        let stack = trouble_host::new(controller, &mut resources)
            .set_random_address(address())
            .build();
        let mut runner = stack.runner();
        let gap = GapConfig::Peripheral(PeripheralConfig {
            name: &name,
            appearance: &appearance::UNKNOWN,
        });
        let server = Server::new_with_config(gap).expect("the name is short enough");
        let peripheral = stack.peripheral();
        match select(runner.run(), serve(peripheral, &server, &name, board, device)).await {
            // Nothing can be done without the controller; a panic stops the outputs and starts anew.
            Either::First(result) => panic!("the BLE controller stopped: {:?}", result.err()),
            Either::Second(ended) => ended,
        }
    }
}

/// One connection after another.
async fn serve<C: Controller, D: Device>(
    mut peripheral: Peripheral<'_, C, DefaultPacketPool>,
    server: &Server<'_>,
    name: &str,
    board: Board,
    device: &mut D,
) -> Ended {
    // The first who connects is told.
    let mut reset = Some(board.reset);
    loop {
        let connection = match advertise(&mut peripheral, name).await {
            Ok(connection) => connection,
            Err(e) => {
                board.say(format_args!("no advertisement: {e:?}"));
                Timer::after(AGAIN).await;
                continue;
            }
        };
        let connection = match connection.with_attribute_server(server) {
            Ok(connection) => connection,
            Err(e) => {
                board.say(format_args!("no connection: {e:?}"));
                continue;
            }
        };
        board.status.borrow_mut().network(true);
        board.say(format_args!("BLE: connected"));
        let control = async |device: &mut D| obey(&connection, server, board, reset.take(), device).await;
        let report = |now, report: &Report<'_>| board.report(now, report);
        // The future that obeyed was dropped, or the wire ended: either way outputs are off behind it.
        let ended = board
            .quiet
            .obey(&EmbassyClock, device, report, pending(), control)
            .await;
        board.status.borrow_mut().network(false);
        match ended {
            Some(Some(ended)) => {
                connection.raw().disconnect();
                return ended;
            }
            Some(None) => board.report(EmbassyClock.now(), &Report::Lost(wsdm_device::Loss::Ended)),
            // What the gateway believes of the device is no longer true.
            None => connection.raw().disconnect(),
        }
    }
}

async fn advertise<'s, C: Controller>(
    peripheral: &mut Peripheral<'s, C, DefaultPacketPool>,
    name: &str,
) -> Result<Connection<'s, DefaultPacketPool>, BleHostError<C::Error>> {
    let (mut data, mut scan) = ([0; 31], [0; 31]);
    let data_len = AdStructure::encode_slice(
        &[
            AdStructure::Flags(LE_GENERAL_DISCOVERABLE | BR_EDR_NOT_SUPPORTED),
            AdStructure::CompleteServiceUuids128(&[SERVICE]),
        ],
        &mut data,
    )?;
    let scan_len = AdStructure::encode_slice(&[AdStructure::CompleteLocalName(name.as_bytes())], &mut scan)?;
    let advertisement = Advertisement::ConnectableScannableUndirected {
        adv_data: data.get(..data_len).unwrap_or_default(),
        scan_data: scan.get(..scan_len).unwrap_or_default(),
    };
    let advertiser = peripheral.advertise(&Default::default(), advertisement).await?;
    Ok(advertiser.accept().await?)
}

/// `None`: the connection ended.
async fn obey<D: Device>(
    connection: &GattConnection<'_, '_, DefaultPacketPool>,
    server: &Server<'_>,
    board: Board,
    reset: Option<&'static str>,
    device: &mut D,
) -> Option<Ended> {
    let (rx, tx) = (Bytes::new(), Bytes::new());
    let settings = board.settings;
    let mut wire = Wire {
        settings: WireSettings::new(
            settings.identifier(),
            Some(board.address),
            settings.silence_ms() / KEEPALIVES_UNTIL_STOP,
            match settings.language() {
                Language::Lovense => b';',
                Language::Tcode => b'\n',
            },
        )
        .expect("neither is empty or long")
        .with_reset(reset),
        clock: EmbassyClock,
        report: |now, report: &Report<'_>| board.report(now, report),
    };
    let mut memory = Memory::<512, 512>::new();
    let mut stream = Stream { rx: &rx, tx: &tx };
    let told = wire.run(&mut stream, &mut memory, device);
    match select3(
        told,
        receive(connection, server, &rx),
        send(connection, server, &tx),
    )
    .await
    {
        Either3::First(ended) => {
            // Its last answer is still on its way.
            let _ = select(send(connection, server, &tx), Timer::after(LAST_ANSWER)).await;
            ended.ok()
        }
        Either3::Second(()) | Either3::Third(()) => None,
    }
}

/// Hands on what is written, until the connection ends.
async fn receive(connection: &GattConnection<'_, '_, DefaultPacketPool>, server: &Server<'_>, rx: &Bytes) {
    loop {
        match connection.next().await {
            GattConnectionEvent::Disconnected { .. } => return,
            GattConnectionEvent::Gatt { event } => {
                let mut piece = Vec::<u8, PIECE_MAX_BYTES>::new();
                if let GattEvent::Write(write) = &event
                    && write.handle() == server.uart.rx.handle
                {
                    // What is longer than the attribute is refused below.
                    let _ = write.with_data(|_, bytes| piece.extend_from_slice(bytes));
                }
                if let Ok(reply) = event.accept() {
                    reply.send().await;
                }
                rx.write_all(&piece).await;
            }
            _ => {}
        }
    }
}

/// Notifies of what the device says, in pieces that the other end takes; until that fails.
async fn send(connection: &GattConnection<'_, '_, DefaultPacketPool>, server: &Server<'_>, tx: &Bytes) {
    let mut bytes = [0; PIECE_MAX_BYTES];
    loop {
        let takes = usize::from(connection.raw().att_mtu().max(MTU_MIN) - HEADER_BYTES).min(bytes.len());
        let Some(room) = bytes.get_mut(..takes) else {
            return;
        };
        let read = tx.read(room).await;
        let Some(piece) = bytes.get(..read) else {
            return;
        };
        // Whoever has not subscribed yet misses it, and asks for the hello line with a newline.
        if server.uart.tx.notify_raw(connection, piece, false).await.is_err() {
            return;
        }
    }
}

/// The chip's MAC address with the two bits that make it a static random one, last byte first.
fn address() -> Address {
    let mut bytes = crate::mac();
    bytes.reverse();
    bytes[5] |= 0xc0;
    Address::random(bytes)
}
