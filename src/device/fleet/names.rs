//! Names in topics: of edges, hubs and devices, and the prefix of all topics.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::device::handshake::Handshake;
use crate::text::hex;

/// The longest name of an edge or a hub, in characters.
pub const NAME_MAX: usize = 32;
/// The longest prefix of topics, in bytes.
pub const PREFIX_MAX: usize = 64;
/// Names that stand for something else in a topic.
const RESERVED: [&str; 2] = ["hub", "halt"];

/// The name of an edge or a hub: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no name of an edge or a hub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is empty, too long, or has other characters.
    #[error("{0:?} is no name: 1 to {NAME_MAX} of a-z, 0-9 and - are taken")]
    Characters(String),
    /// It stands for something else in a topic.
    #[error("{0:?} is no name: in a topic it stands for something else")]
    Reserved(String),
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadName`], with what is taken.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(fits) {
            return Err(BadName::Characters(text.chars().take(2 * NAME_MAX).collect()));
        }
        if RESERVED.contains(&text) {
            return Err(BadName::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of a host, made fit: `Living Room.local` becomes `living-room`.
    pub fn from_host(host: &str) -> Self {
        let host = host.split('.').next().unwrap_or_default();
        let mut name = String::new();
        for c in host.chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_lowercase() || c.is_ascii_digit() => name.push(c),
                _ if name.is_empty() || name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        name.truncate(NAME_MAX);
        Self::new(name.trim_end_matches('-')).unwrap_or_else(|_| Self("gateway".to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// A device in a topic: a hash of its identifier and its address, which may contain anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

impl DeviceId {
    /// The id of this device, 16 hexadecimal digits. It must never change: retained topics carry it.
    pub fn of(handshake: &Handshake) -> Self {
        let mut hash = Sha256::new();
        hash.update(handshake.identifier.as_str());
        // No identifier contains it, so that no two devices give the same text.
        hash.update([0]);
        hash.update(handshake.address.as_str());
        Self(hex(&hash.finalize()[..8]))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        Ok(Self(Name::new(&text)?.0))
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

/// What all topics begin with, such as `wsdm/1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// Why a text is no prefix of topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the beginning of topics: 1 to {PREFIX_MAX} bytes without + # or control characters are taken, \
     neither beginning nor ending with /, nor beginning with $"
)]
pub struct BadPrefix(String);

impl Prefix {
    /// Checks a prefix.
    ///
    /// # Errors
    /// [`BadPrefix`], with what is taken.
    pub fn new(text: &str) -> Result<Self, BadPrefix> {
        let bad = text.is_empty()
            || text.len() > PREFIX_MAX
            || text.contains(|c: char| c == '+' || c == '#' || c.is_control())
            || text.starts_with(['/', '$'])
            || text.ends_with('/');
        match bad {
            true => Err(BadPrefix(text.chars().take(2 * PREFIX_MAX).collect())),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("wsdm/1".to_owned())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::handshake::{Address, Identifier};

    #[test]
    fn names_have_lower_case_letters_digits_and_hyphens() {
        for good in ["a", "bedroom-2", &"x".repeat(NAME_MAX)] {
            assert_eq!(Name::new(good).expect("a name").as_str(), good);
        }
        for bad in [
            "",
            "Bedroom",
            "a/b",
            "a+",
            "#",
            "é",
            "a b",
            &"x".repeat(NAME_MAX + 1),
        ] {
            assert!(matches!(Name::new(bad), Err(BadName::Characters(_))), "{bad}");
        }
        assert!(matches!(Name::new("hub"), Err(BadName::Reserved(_))));
    }

    #[test]
    fn any_host_has_a_name() {
        for (host, name) in [
            ("Living Room.local", "living-room"),
            ("raspberrypi", "raspberrypi"),
            ("__x__", "x"),
            ("", "gateway"),
            ("日本", "gateway"),
            ("hub", "gateway"),
            (&"a".repeat(99), &"a".repeat(NAME_MAX)),
        ] {
            assert_eq!(Name::from_host(host).as_str(), name, "{host}");
        }
    }

    #[test]
    fn the_id_of_a_device_is_the_same_for_ever_and_depends_on_both_of_its_texts() {
        let id = |identifier, address| {
            DeviceId::of(&Handshake::new(
                Identifier::new(identifier).expect("an identifier"),
                Address::new(address).expect("an address"),
            ))
        };
        assert_eq!(id("LVSDevice", "8A3D9FAC2A45").as_str(), "5495ce947eaeec10");
        assert_ne!(id("a", "bc"), id("ab", "c"));
        assert!(Name::new(id("+#/$", "\0").as_str()).is_ok());
    }

    #[test]
    fn a_prefix_has_nothing_that_means_something_in_a_topic() {
        for good in ["wsdm/1", "home/ö", "a"] {
            assert_eq!(Prefix::new(good).expect("a prefix").as_str(), good);
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a/+/b",
            "#",
            "$SYS",
            "a\0b",
            &"x".repeat(PREFIX_MAX + 1),
        ] {
            assert!(Prefix::new(bad).is_err(), "{bad}");
        }
    }
}
