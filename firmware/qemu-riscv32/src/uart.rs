//! Lines on the serial port.

use core::fmt::{self, Write};

use crate::machine;

/// The serial port.
pub struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(machine::send);
        Ok(())
    }
}

/// Prints a line.
macro_rules! println {
    ($($text:tt)*) => {{
        use core::fmt::Write as _;
        // The port takes everything.
        let _ = writeln!($crate::uart::Uart, $($text)*);
    }};
}
pub(crate) use println;
