//! The hello line: how a board on a wire or on BLE introduces itself.

use core::fmt::{self, Write};

use crate::{KEEPALIVE_RANGE_MS, TooSmall, VERSION, json, key};

/// A hello line to be written: the handshake's JSON, with what a wire needs besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// What the device is.
    pub identifier: &'a str,
    /// Which device it is; left out, the USB serial number or the port stands in.
    pub address: Option<&'a str>,
    /// The silence after which the board wants a sign of life. Brought into [`KEEPALIVE_RANGE_MS`].
    pub keepalive_ms: Option<u64>,
    /// Why it started anew.
    pub reset: Option<&'a str>,
}

/// A keepalive as the gateway will take it.
pub fn keepalive_in_range(ms: u64) -> u64 {
    ms.clamp(*KEEPALIVE_RANGE_MS.start(), *KEEPALIVE_RANGE_MS.end())
}

impl Hello<'_> {
    /// Writes the line, its end included.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{{\"{}\":", key::IDENTIFIER)?;
        json::string(out, self.identifier)?;
        if let Some(address) = self.address {
            write!(out, ",\"{}\":", key::ADDRESS)?;
            json::string(out, address)?;
        }
        write!(out, ",\"{}\":{VERSION}", key::VERSION)?;
        if let Some(ms) = self.keepalive_ms {
            write!(out, ",\"{}\":{}", key::KEEPALIVE_MS, keepalive_in_range(ms))?;
        }
        json::optional(out, key::RESET, self.reset)?;
        out.write_str("}\n")
    }

    /// Writes the line to the start of a buffer; how many bytes it has.
    ///
    /// # Errors
    /// The buffer is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, TooSmall> {
        json::into_buffer(buffer, |out| self.write(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(hello: Hello<'_>, buffer: &'a mut [u8]) -> &'a str {
        let len = hello.encode(buffer).unwrap();
        core::str::from_utf8(&buffer[..len]).unwrap()
    }

    #[test]
    fn address_and_keepalive_may_be_left_out() {
        let mut buffer = [0; 128];
        let bare = Hello {
            identifier: "LVSDevice",
            address: None,
            keepalive_ms: None,
            reset: None,
        };
        assert_eq!(
            line(bare, &mut buffer),
            "{\"identifier\":\"LVSDevice\",\"version\":0}\n"
        );
        let full = Hello {
            address: Some("8A3D9FAC2A45"),
            keepalive_ms: Some(1),
            ..bare
        };
        assert_eq!(
            line(full, &mut buffer),
            "{\"identifier\":\"LVSDevice\",\"address\":\"8A3D9FAC2A45\",\"version\":0,\"keepalive_ms\":20}\n"
        );
    }
}
