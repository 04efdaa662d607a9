//! Default addresses of simulated devices: stable on one machine, without configuration.

use uuid::Uuid;

use super::Kind;
use crate::device::handshake::Address;

/// An identity of this machine that survives a restart.
///
/// It is only used hashed, so that an address does not reveal the machine's name.
pub fn machine_identity() -> String {
    let files = [
        "/etc/machine-id",
        "/var/lib/dbus/machine-id",
        "/etc/hostid",
        "/etc/hostname",
    ];
    let from_file = files.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    });
    let from_environment = || {
        let names = ["COMPUTERNAME", "HOSTNAME", "HOST"];
        names.iter().find_map(|name| std::env::var(name).ok())
    };
    let home = || dirs::home_dir().map(|home| home.display().to_string());
    from_file
        .or_else(from_environment)
        .or_else(home)
        .unwrap_or_default()
}

/// The address of the first device of this kind on the machine with this identity.
///
/// The address of a lovense device is a MAC, with the "locally administered" bit set.
pub fn default_for(kind: Kind, machine: &str) -> Address {
    let hash = Uuid::new_v5(
        &Uuid::NAMESPACE_OID,
        format!("simulate {} {machine}", kind.word()).as_bytes(),
    );
    let text = match kind {
        Kind::Lovense { .. } => mac_of(hash),
        Kind::Tcode => format!("tcode-{}", &hash.simple().to_string()[..8]),
    };
    Address::new(text).expect("twelve or fourteen characters")
}

/// The address of the device with this index: a MAC is incremented, other text gets a number appended.
///
/// # Errors
/// The number makes the address too long.
pub fn numbered(base: &Address, index: usize) -> Result<Address, crate::device::handshake::HandshakeError> {
    let text = base.as_str();
    if index == 0 {
        return Ok(base.clone());
    }
    let Some(mac) = mac_digits(text).and_then(|digits| u64::from_str_radix(&digits, 16).ok()) else {
        return Address::new(format!("{text}-{}", index + 1));
    };
    let next = (mac + index as u64) & 0xFFFF_FFFF_FFFF;
    let mut digits = format!("{next:012X}").into_bytes().into_iter();
    let written: String = text
        .chars()
        .map(|c| match c {
            ':' | '-' => c,
            _ => digits.next().map_or(c, char::from),
        })
        .collect();
    Address::new(written)
}

/// The MAC that a lovense device with this address reports: the address itself if it is a MAC.
pub fn mac_for(address: &Address) -> String {
    mac_digits(address.as_str())
        .unwrap_or_else(|| mac_of(Uuid::new_v5(&Uuid::NAMESPACE_OID, address.as_str().as_bytes())))
}

fn mac_of(hash: Uuid) -> String {
    let b = hash.as_bytes();
    let first = (b[0] | 0x02) & 0xFE;
    format!(
        "{first:02X}{:02X}{:02X}{:02X}{:02X}{:02X}",
        b[1], b[2], b[3], b[4], b[5]
    )
}

/// Parses twelve hexadecimal digits, optionally in pairs with colons or dashes. Returns bare uppercase digits.
fn mac_digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let separators = text.len() - digits.len();
    let in_pairs = || text.split([':', '-']).all(|pair| pair.len() == 2);
    let is_mac = digits.len() == 12
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
        && (separators == 0 || separators == 5 && in_pairs());
    is_mac.then(|| digits.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    #[test]
    fn an_address_is_the_same_each_time_and_differs_by_machine_and_kind() {
        let one = default_for(Kind::hush(), "machine a");
        assert_eq!(one, default_for(Kind::hush(), "machine a"));
        assert_ne!(one, default_for(Kind::hush(), "machine b"));
        assert_ne!(one, default_for(Kind::Tcode, "machine a"));
        assert_eq!(mac_digits(one.as_str()).as_deref(), Some(one.as_str()));
        let first = u8::from_str_radix(&one.as_str()[..2], 16).unwrap();
        assert_eq!(first & 0b11, 0b10, "locally administered, not multicast");
        assert!(!machine_identity().is_empty());
    }

    #[test]
    fn many_devices_have_many_addresses() {
        assert_eq!(numbered(&address("00FF"), 0).unwrap().as_str(), "00FF");
        assert_eq!(numbered(&address("bench"), 1).unwrap().as_str(), "bench-2");
        assert_eq!(
            numbered(&address("0200000000FE"), 2).unwrap().as_str(),
            "020000000100"
        );
        assert_eq!(
            numbered(&address("02:00:00:00:00:ff"), 1).unwrap().as_str(),
            "02:00:00:00:01:00"
        );
        assert_eq!(
            numbered(&address("FFFFFFFFFFFF"), 1).unwrap().as_str(),
            "000000000000"
        );
        let base = default_for(Kind::hush(), "m");
        let all: HashSet<Address> = (0..1_000).map(|i| numbered(&base, i).unwrap()).collect();
        assert_eq!(all.len(), 1_000);
        assert!(numbered(&address(&"x".repeat(256)), 1).is_err());
    }

    #[test]
    fn a_device_reports_its_address_if_that_is_a_mac() {
        assert_eq!(mac_for(&address("aa:bb:cc:dd:ee:ff")), "AABBCCDDEEFF");
        assert_eq!(mac_for(&address("8A3D9FAC2A45")), "8A3D9FAC2A45");
        assert_eq!(mac_for(&address("bench;1")).len(), 12);
        assert_eq!(mac_digits("12-345678-9ABC"), None);
    }
}
