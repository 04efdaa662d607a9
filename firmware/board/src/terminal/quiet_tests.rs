//! What the board does itself, it does with outputs off: a motor, a gateway that has it turn, and everything that the
//! console can ask for beside them.

use core::cell::{Cell, RefCell};
use core::future::pending;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};
use wsdm_device::{Channel, Clock, Device, Level, Lovense, LovenseSettings, Motors, Reply, Report};

use super::*;
use crate::pins::ESP32C3;
use crate::store::tests::{Flash, START};

/// What was done to the flash and with the radio, and how strongly the motor turned then.
#[derive(Debug, Default)]
struct Bench {
    motor: Cell<Level>,
    done: RefCell<std::vec::Vec<(&'static str, Level)>>,
}

impl Bench {
    fn does(&self, what: &'static str) {
        self.done.borrow_mut().push((what, self.motor.get()));
    }
}

#[derive(Debug)]
struct Watched<'b>(&'b Bench, &'b mut Flash);

impl ErrorType for Watched<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Watched<'_> {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        ReadNorFlash::read(&mut self.1, offset, bytes)
    }

    fn capacity(&self) -> usize {
        3 * crate::SECTOR_BYTES as usize
    }
}

impl NorFlash for Watched<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = crate::SECTOR_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0.does("erase");
        NorFlash::erase(&mut self.1, from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.does("write");
        NorFlash::write(&mut self.1, offset, bytes)
    }
}

/// Once it has its turn, as a task has at every wait.
async fn next_turn() {
    let mut was_there = false;
    core::future::poll_fn(|_| {
        if core::mem::replace(&mut was_there, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

impl Radio for &Bench {
    fn is_joined(&self) -> bool {
        true
    }

    async fn scan(&mut self) -> Networks {
        self.does("scan");
        next_turn().await;
        self.does("scanned");
        Networks::new()
    }

    async fn join(&mut self, _ssid: &str, password: &str) -> bool {
        self.does("join");
        next_turn().await;
        self.does("joined");
        password == "long enough"
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }

    async fn sleep_until(&self, _at: u64) {
        pending().await
    }
}

struct Sink;

impl fmt::Write for Sink {
    fn write_str(&mut self, _text: &str) -> fmt::Result {
        Ok(())
    }
}

impl Port for Sink {
    fn write_bytes(&mut self, _bytes: &[u8]) {}
}

impl Reply for Sink {
    fn send(&mut self, _frame: &[u8]) {}
}

/// One round of an executor on which all of them run.
fn turn(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Types this at a board whose motor turns, for as long as a gateway commands it. What was done meanwhile, each with the
/// motor's level.
fn while_it_plays(typed: &[u8]) -> std::vec::Vec<(&'static str, Level)> {
    let (bench, quiet, mut flash) = (Bench::default(), Quiet::new(), Flash::new());
    let built_in = Settings::default();
    let console = Console::new(built_in.clone(), &built_in, &ESP32C3, "a0b1c2d3e4f5");
    let (store, _) = Store::open(Watched(&bench, &mut flash), START, &ESP32C3).unwrap();
    let mut terminal = Terminal::new(console, Some(store), Some(&bench), &quiet, "wsdm-e4f5", "1.2.3");
    let hush = LovenseSettings {
        motors: Motors::One,
        address: "",
        battery: 100,
    };
    let mut device = Lovense::new(&hush, |_: Channel, level| bench.motor.set(level));
    let mut link = pin!(async {
        loop {
            let play = async |device: &mut Lovense<_>| loop {
                device.frame(0, b"Vibrate:20;", &mut Sink);
                next_turn().await;
            };
            let ended: Option<()> = quiet
                .obey(&Still, &mut device, |_, _: &Report<'_>| {}, pending(), play)
                .await;
            assert_eq!(ended, None);
        }
    });
    let mut console = pin!(async {
        for byte in typed {
            assert_eq!(terminal.byte(0, *byte, &mut Sink).await, Ok(After::Stay));
        }
    });
    turn(link.as_mut());
    assert_eq!(bench.motor.get(), Level::FULL);
    let ended = (0..100).find(|_| {
        let is_ready = turn(console.as_mut());
        turn(link.as_mut());
        is_ready
    });
    assert!(ended.is_some(), "the console waits for ever");
    assert_eq!(bench.motor.get(), Level::FULL, "afterwards the gateway is obeyed");
    bench.done.take()
}

fn rpc(command: u8, arguments: &[u8]) -> std::vec::Vec<u8> {
    let data = [&[command, arguments.len() as u8], arguments].concat();
    let mut packet = [b"IMPROV\x01\x03", &[data.len() as u8][..], &data].concat();
    packet.push(packet.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    packet.push(b'\n');
    packet
}

#[test]
fn settings_are_saved_with_outputs_off() {
    let done = while_it_plays(b"set ssid home\nsave\n");
    assert_eq!(done, [("erase", Level::OFF), ("write", Level::OFF)]);
}

#[test]
fn the_radio_looks_for_networks_with_outputs_off() {
    assert_eq!(
        while_it_plays(&rpc(4, &[])),
        [("scan", Level::OFF), ("scanned", Level::OFF)]
    );
}

#[test]
fn a_network_is_joined_and_kept_with_outputs_off() {
    let done = while_it_plays(&rpc(1, b"\x04home\x0blong enough"));
    let wanted = ["join", "joined", "erase", "write"].map(|what| (what, Level::OFF));
    assert_eq!(done, wanted);
    let done = while_it_plays(&rpc(1, b"\x04home\x0bwrong words"));
    assert_eq!(done, ["join", "joined"].map(|what| (what, Level::OFF)));
}

/// What changes nothing in the board takes nothing from the gateway.
#[test]
fn what_needs_neither_flash_nor_radio_does_not_stop_anything() {
    assert_eq!(while_it_plays(b"show\nset ssid home\nhelp\ndefaults\n"), []);
}
