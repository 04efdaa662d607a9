//! The console: what is typed, on the chip's own USB or over the board's USB bridge. Answers go where the other lines
//! of this firmware go: to the USB that somebody listens on.

use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_time::Timer;
use embedded_io_async::Read as _;
use esp_hal::Async;
use esp_hal::peripherals::{UART0, USB_DEVICE};
use esp_hal::uart::{self, UartRx};
use esp_hal::usb::usb_serial_jtag::{UsbSerialJtag, UsbSerialJtagRx};
use esp_println::{Printer, print, println};
use esp_storage::FlashStorage;
use wsdm_device_board::{Action, Console, Echo, Editor, Store};

use crate::{chip, pins};

/// What somebody can type on.
pub struct Serial {
    usb: UsbSerialJtagRx<'static, Async>,
    uart: Option<UartRx<'static, Async>>,
}

impl Serial {
    /// Both ports. The bridge's runs at 115,200 baud, as the chip's boot messages do.
    pub fn new(usb: USB_DEVICE<'static>, uart: UART0<'static>) -> Self {
        // SAFETY: it is not in the list of pins that settings can take, and nothing else here asks for it.
        let rx = unsafe { chip::Rx::steal() };
        Self {
            usb: UsbSerialJtag::new(usb).into_async().split().0,
            uart: UartRx::new(uart, uart::Config::default())
                .map(|uart| uart.with_rx(rx).into_async())
                .ok(),
        }
    }

    /// What was typed last. May be nothing.
    async fn read<'b>(&mut self, bytes: &'b mut [u8; 64]) -> &'b [u8] {
        let mut from_usb = [0; 64];
        let uart = async {
            match &mut self.uart {
                Some(uart) => uart.read_async(bytes).await.ok(),
                None => core::future::pending().await,
            }
        };
        let read = match select(self.usb.read(&mut from_usb), uart).await {
            Either::First(read) => {
                *bytes = from_usb;
                read.ok()
            }
            Either::Second(read) => read,
        };
        if read.is_none() {
            // A port that only fails must not take everybody's time.
            Timer::after_millis(100).await;
        }
        bytes.get(..read.unwrap_or(0)).unwrap_or_default()
    }
}

/// Does what it is told, for ever.
#[embassy_executor::task]
pub async fn task(
    mut console: Console<'static>,
    mut store: Option<Store<FlashStorage<'static>>>,
    mut serial: Serial,
) -> ! {
    let mut editor = Editor::new();
    let mut bytes = [0; 64];
    loop {
        for byte in serial.read(&mut bytes).await {
            match editor.push(*byte) {
                Echo::Nothing => {}
                Echo::Byte(byte) => Printer::write_bytes(&[byte]),
                Echo::Star => print!("*"),
                Echo::Rubout => print!("\u{8} \u{8}"),
                Echo::Cancelled => println!("^C"),
                Echo::End => {
                    println!();
                    obey(&mut console, &mut store, editor.line());
                    // Printing takes its time: whoever pastes a hundred lines must not starve the hardware watchdog.
                    yield_now().await;
                }
            }
        }
    }
}

fn obey(
    console: &mut Console<'static>,
    store: &mut Option<Store<FlashStorage<'static>>>,
    line: Option<&str>,
) {
    let Some(line) = line else {
        return println!("that is not text");
    };
    // The port takes everything.
    match console.line(line, &mut Printer).unwrap_or(Action::Nothing) {
        Action::Nothing => {}
        Action::Save => match store.as_mut().map(|store| store.save(console.settings())) {
            Some(Ok(())) => {
                console.saved();
                println!("saved; restart uses it");
            }
            Some(Err(e)) => println!("not saved: {e}"),
            None => println!("not saved: the flash has no place for it, as was said at the start"),
        },
        Action::Restart => {
            pins::all_low();
            esp_hal::system::software_reset();
        }
    }
}
