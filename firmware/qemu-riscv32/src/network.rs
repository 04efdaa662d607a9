//! The machine's network card, as embassy-net wants it.

use core::cell::RefCell;
use core::sync::atomic::{Ordering, fence};
use core::task::{Context, Waker};

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use static_cell::StaticCell;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::dma::Dma;
use crate::machine;

/// Packets that wait to be read, at most.
const QUEUE: usize = 8;
/// A packet, with the header that virtio puts before it.
const BUFFER: usize = 2048;
/// The card's queues, by their numbers.
const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
/// An Ethernet frame, without its checksum.
const FRAME: usize = 1514;

/// The card.
pub struct Card {
    raw: VirtIONetRaw<Dma, MmioTransport<'static>, QUEUE>,
    buffers: &'static mut [[u8; BUFFER]; QUEUE],
    /// By which the card knows the buffer in that place, while it has it.
    tokens: [Option<u16>; QUEUE],
    /// The packet that goes.
    outgoing: &'static mut [u8; BUFFER],
    interrupt: u32,
    waker: Option<Waker>,
}

impl Card {
    /// Finds and starts it.
    pub fn find() -> Self {
        static BUFFERS: StaticCell<[[u8; BUFFER]; QUEUE]> = StaticCell::new();
        static OUTGOING: StaticCell<[u8; BUFFER]> = StaticCell::new();
        let (transport, interrupt) =
            machine::virtio(DeviceType::Network).expect("QEMU started with -device virtio-net-device");
        let mut raw = VirtIONetRaw::new(transport).expect("a card that starts");
        raw.enable_interrupts();
        let mut card = Self {
            raw,
            buffers: BUFFERS.init([[0; BUFFER]; QUEUE]),
            tokens: [None; QUEUE],
            outgoing: OUTGOING.init([0; BUFFER]),
            interrupt,
            waker: None,
        };
        for place in 0..QUEUE {
            card.lend(place);
        }
        card
    }

    /// The number of its interrupt.
    pub fn interrupt(&self) -> u32 {
        self.interrupt
    }

    /// Gives the card a buffer to fill.
    fn lend(&mut self, place: usize) {
        // SAFETY: the buffer is a static, and is not touched until `receive` takes it back by this token.
        self.tokens[place] = unsafe { self.raw.receive_begin(&mut self.buffers[place]) }.ok();
        self.ring(RECEIVE);
    }

    /// Tells the card to look at a queue. The driver does so where it believes that the card sleeps, but looks whether it
    /// does before the card can see what was put there: on two processors of the host both may miss each other.
    fn ring(&self, queue: u32) {
        fence(Ordering::SeqCst);
        machine::ring(self.interrupt, queue);
    }

    /// Sends a packet that `write` makes, and waits until the card has it.
    fn send<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let header = self
            .raw
            .fill_buffer_header(self.outgoing)
            .expect("room for a header");
        // The stack keeps to the size that `capabilities` gives.
        let end = header + len;
        let written = write(&mut self.outgoing[header..end]);
        // SAFETY: the buffer is a static, and is not touched before the card gives it back, just below.
        if let Ok(token) = unsafe { self.raw.transmit_begin(&self.outgoing[..end]) } {
            self.ring(TRANSMIT);
            while self.raw.poll_transmit() != Some(token) {
                core::hint::spin_loop();
            }
            // SAFETY: this is the buffer that was lent with this token.
            let sent = unsafe { self.raw.transmit_complete(token, &self.outgoing[..end]) };
            sent.expect("what was sent is taken back");
        }
        written
    }

    /// A packet that has come.
    fn receive(&mut self) -> Option<Packet> {
        let token = self.raw.poll_receive()?;
        let place = self.tokens.iter().position(|held| *held == Some(token))?;
        self.tokens[place] = None;
        // SAFETY: this is the buffer that was lent with this token.
        let received = unsafe { self.raw.receive_complete(token, &mut self.buffers[place]) };
        let mut packet = Packet {
            bytes: [0; BUFFER],
            len: 0,
        };
        // A packet that cannot be read is lost, as packets are.
        if let Ok((header, len)) = received
            && let Some(bytes) = self.buffers[place].get(header..header + len)
        {
            packet.bytes[..len].copy_from_slice(bytes);
            packet.len = len;
        }
        self.lend(place);
        Some(packet)
    }
}

/// The card, for the network stack and for the loop that sees its interrupts.
pub struct Shared(pub RefCell<Card>);

impl Shared {
    /// The card raised its interrupt: whoever waits for packets looks again.
    pub fn wake(&self) {
        let mut card = self.0.borrow_mut();
        card.raw.ack_interrupt();
        if let Some(waker) = card.waker.take() {
            waker.wake();
        }
    }
}

/// A packet that has come.
pub struct Packet {
    bytes: [u8; BUFFER],
    len: usize,
}

impl RxToken for Packet {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, read: F) -> R {
        read(&mut self.bytes[..self.len])
    }
}

/// Room for a packet to go.
pub struct Room<'a>(&'a Shared);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.0.borrow_mut().send(len, write)
    }
}

impl Driver for &'static Shared {
    type RxToken<'a> = Packet;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Packet, Room<'_>)> {
        let mut card = self.0.borrow_mut();
        let packet = card.receive();
        if packet.is_none() {
            card.waker = Some(context.waker().clone());
        }
        drop(card);
        Some((packet?, Room(self)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Room<'_>> {
        Some(Room(self))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.0.borrow().raw.mac_address())
    }
}
