//! The registers of QEMU's `virt` machine. Every access to one is in this file.

use core::marker::PhantomData;
use core::ptr::NonNull;

use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};

/// A register that the machine has at this address. Made in this file alone.
struct Register<T>(usize, PhantomData<T>);

impl<T> Register<T> {
    const fn at(address: usize) -> Self {
        Self(address, PhantomData)
    }

    fn read(&self) -> T {
        // SAFETY: each address in this file is one of a register of this width, aligned, which may be read at any time.
        unsafe { (self.0 as *const T).read_volatile() }
    }

    fn write(&self, value: T) {
        // SAFETY: as above; and what this file writes changes no memory.
        unsafe { (self.0 as *mut T).write_volatile(value) }
    }
}

const UART: Register<u8> = Register::at(0x1000_0000);
const UART_STATUS: Register<u8> = Register::at(0x1000_0005);
const UART_CAN_SEND: u8 = 0x20;

/// Sends a byte over the serial port.
pub fn send(byte: u8) {
    while UART_STATUS.read() & UART_CAN_SEND == 0 {}
    UART.write(byte);
}

const TIME: Register<u32> = Register::at(0x0200_BFF8);
const TIME_HIGH: Register<u32> = Register::at(0x0200_BFFC);
const ALARM: Register<u32> = Register::at(0x0200_4000);
const ALARM_HIGH: Register<u32> = Register::at(0x0200_4004);
const TICKS_PER_US: u64 = 10;

/// Microseconds since the start.
pub fn now_us() -> u64 {
    loop {
        let high = TIME_HIGH.read();
        let low = TIME.read();
        // Otherwise the low half went round in between.
        if TIME_HIGH.read() == high {
            return (u64::from(high) << 32 | u64::from(low)) / TICKS_PER_US;
        }
    }
}

/// Raises the timer's interrupt at this time, and not before.
pub fn alarm_at_us(at: u64) {
    let ticks = at.saturating_mul(TICKS_PER_US);
    // Far away first, so that no half of it is an alarm by itself.
    ALARM_HIGH.write(u32::MAX);
    ALARM.write(ticks as u32);
    ALARM_HIGH.write((ticks >> 32) as u32);
}

const CONTROLLER: usize = 0x0c00_0000;
const CONTROLLER_ENABLE: Register<u32> = Register::at(CONTROLLER + 0x2000);
const CONTROLLER_THRESHOLD: Register<u32> = Register::at(CONTROLLER + 0x20_0000);
const CONTROLLER_CLAIM: Register<u32> = Register::at(CONTROLLER + 0x20_0004);
/// One for each place that a virtio device can have.
const INTERRUPTS: core::ops::RangeInclusive<u32> = 1..=8;

/// Lets a device's interrupt through.
pub fn enable(interrupt: u32) {
    assert!(INTERRUPTS.contains(&interrupt), "a virtio device's interrupt");
    Register::<u32>::at(CONTROLLER + 4 * interrupt as usize).write(1);
    CONTROLLER_ENABLE.write(1 << interrupt);
    CONTROLLER_THRESHOLD.write(0);
}

/// The interrupt that a device raised.
pub fn claim() -> Option<u32> {
    Some(CONTROLLER_CLAIM.read()).filter(|interrupt| *interrupt != 0)
}

/// It was seen to.
pub fn complete(interrupt: u32) {
    CONTROLLER_CLAIM.write(interrupt);
}

const VIRTIO: usize = 0x1000_1000;
const VIRTIO_SIZE: usize = 0x1000;

const DEVICE_TYPE: usize = 0x8;

/// The first virtio device of this type, with its interrupt.
pub fn virtio(wanted: DeviceType) -> Option<(MmioTransport<'static>, u32)> {
    INTERRUPTS.zip(0..).find_map(|(interrupt, place)| {
        let address = VIRTIO + place * VIRTIO_SIZE;
        // Looked at first: a transport that is made and dropped resets its device, which may be in use.
        if Register::<u32>::at(address + DEVICE_TYPE).read() != wanted as u32 {
            return None;
        }
        // SAFETY: the machine has eight places for virtio devices, at these addresses and of this size, and each device
        // is asked for once.
        let transport =
            unsafe { MmioTransport::new(NonNull::new(address as *mut VirtIOHeader)?, VIRTIO_SIZE) };
        Some((transport.ok()?, interrupt))
    })
}

const QUEUE_NOTIFY: usize = 0x50;

/// Tells the virtio device with this interrupt that there is something in a queue.
pub fn ring(interrupt: u32, queue: u32) {
    assert!(INTERRUPTS.contains(&interrupt), "a virtio device's interrupt");
    let place = (interrupt - INTERRUPTS.start()) as usize;
    Register::<u32>::at(VIRTIO + place * VIRTIO_SIZE + QUEUE_NOTIFY).write(queue);
}

const POWER: Register<u32> = Register::at(0x0010_0000);

/// Ends QEMU with exit code 0.
pub fn power_off() -> ! {
    end(0x5555)
}

/// Ends QEMU with exit code 1.
pub fn fail() -> ! {
    end(0x1_3333)
}

fn end(how: u32) -> ! {
    POWER.write(how);
    loop {
        riscv::asm::wfi();
    }
}
