//! The JSON that opens every connection.

use core::fmt::{self, Write};

use crate::{TooSmall, VERSION, json, key};

/// A handshake to be written. The texts are those that [`crate::check_identifier`] and [`crate::check_address`] let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// What the device is.
    pub identifier: &'a str,
    /// Which device it is.
    pub address: &'a str,
    /// Why it started anew; a server that does not know this key ignores it.
    pub reset: Option<&'a str>,
}

impl Handshake<'_> {
    /// Writes the JSON.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{{\"{}\":", key::IDENTIFIER)?;
        json::string(out, self.identifier)?;
        write!(out, ",\"{}\":", key::ADDRESS)?;
        json::string(out, self.address)?;
        write!(out, ",\"{}\":{VERSION}", key::VERSION)?;
        json::optional(out, key::RESET, self.reset)?;
        out.write_char('}')
    }

    /// Writes the JSON to the start of a buffer; how many bytes it has.
    ///
    /// # Errors
    /// The buffer is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, TooSmall> {
        json::into_buffer(buffer, |out| self.write(out))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::string::String;

    use super::*;

    #[test]
    fn it_is_the_line_of_the_protocols_page() {
        let mut buffer = [0; 128];
        let handshake = Handshake {
            identifier: "LVSDevice",
            address: "8A3D9FAC2A45",
            reset: None,
        };
        let len = handshake.encode(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..len],
            br#"{"identifier":"LVSDevice","address":"8A3D9FAC2A45","version":0}"#
        );
        assert_eq!(handshake.encode(&mut buffer[..len - 1]), Err(TooSmall));
        let again = Handshake {
            reset: Some("brown-out"),
            ..handshake
        };
        let len = again.encode(&mut buffer).unwrap();
        assert!(buffer[..len].ends_with(br#","version":0,"reset":"brown-out"}"#));
    }

    proptest! {
        #[test]
        fn any_text_survives(identifier: String, address in "[\\x00-\\x7f\"\\\\]{0,40}") {
            let mut out = String::new();
            Handshake { identifier: &identifier, address: &address, reset: None }.write(&mut out).unwrap();
            let read: serde_json::Value = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(read["identifier"].as_str(), Some(&*identifier));
            prop_assert_eq!(read["address"].as_str(), Some(&*address));
            prop_assert_eq!(read["version"].as_u64(), Some(VERSION));
        }
    }
}
