//! What a board's own MAC address makes of it: which device it is, and its name on BLE.

use core::fmt::Write as _;

use heapless::String;

/// Twelve digits.
pub type Address = String<12>;
/// `wsdm-` and four digits.
pub type BleName = String<9>;

/// Which device this is: the MAC address in lower-case hexadecimal without colons. Device indexes and limits belong to
/// it, so it is the same whatever firmware is on the board.
pub fn address(mac: [u8; 6]) -> Address {
    let mut text = Address::new();
    for byte in mac {
        // Six bytes of two digits fit.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a board is called on BLE. The digits tell two boards apart, and each name matches `wsdm-*`.
pub fn ble_name(mac: [u8; 6]) -> BleName {
    let [.., one, other] = mac;
    let mut name = BleName::new();
    // Nine characters fit.
    let _ = write!(name, "wsdm-{one:02x}{other:02x}");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0xA0, 0xB1, 0xC2, 0xD3, 0x0E, 0x0F];

    #[test]
    fn an_address_is_in_lower_case_and_has_every_digit() {
        assert_eq!(address(MAC), "a0b1c2d30e0f");
    }

    #[test]
    fn two_boards_of_one_maker_differ_in_their_names() {
        assert_eq!(ble_name(MAC), "wsdm-0e0f");
        assert_ne!(ble_name(MAC), ble_name([0xA0, 0xB1, 0xC2, 0xD3, 0x0E, 0x10]));
    }

    /// The pattern in the guide is the one that these names match.
    #[test]
    fn the_guide_names_a_pattern_that_matches() {
        let guide = include_str!("../../esp32-common/README.md");
        let pattern = guide
            .lines()
            .find_map(|line| line.trim_start().strip_prefix("name = \"")?.split_once('"'))
            .expect("an entry for BLE")
            .0;
        let start = pattern.strip_suffix('*').expect("a pattern");
        assert!(ble_name(MAC).starts_with(start), "{pattern}");
        let sketch = include_str!("../../arduino/WsdmDevice/examples/BleNusLovense/BleNusLovense.ino");
        assert!(sketch.contains(&std::format!("\"{start}%02x%02x\"")), "{pattern}");
    }
}
