//! The console: what is typed, on the chip's own USB or over the board's USB bridge. Answers go where the other lines
//! of this firmware go: to the USB that somebody listens on.

use core::fmt::{self, Write};

use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_time::Timer;
use embedded_io_async::Read as _;
use esp_hal::Async;
use esp_hal::peripherals::{UART0, USB_DEVICE};
use esp_hal::uart::{self, UartRx};
use esp_hal::usb::usb_serial_jtag::{UsbSerialJtag, UsbSerialJtagRx};
use esp_println::Printer;
use wsdm_device::{Clock, EmbassyClock};
use wsdm_device_board::{After, Port};

use crate::flash::Flash;
use crate::{chip, link, restart};

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

/// Everything that is answered goes where the other lines of this firmware go.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Printer.write_str(text)
    }
}

impl Port for Out {
    fn write_bytes(&mut self, bytes: &[u8]) {
        Printer::write_bytes(bytes);
    }
}

/// The console, and Improv beside it.
pub type Terminal = wsdm_device_board::Terminal<'static, Flash, link::Radio>;

/// Does what it is told, for ever.
#[embassy_executor::task]
pub async fn task(mut terminal: Terminal, mut serial: Serial) -> ! {
    let mut bytes = [0; 64];
    loop {
        for byte in serial.read(&mut bytes).await {
            // The port takes everything.
            let after = terminal.byte(EmbassyClock.now(), *byte, &mut Out).await;
            if after == Ok(After::Restart) {
                restart();
            }
            if matches!(byte, b'\r' | b'\n') {
                // Printing takes its time: whoever pastes a hundred lines must not starve the hardware watchdog.
                yield_now().await;
            }
        }
    }
}
