//! Why a board is not on its Wi-Fi network, in words that say what to do, each reported once.

use core::fmt;

/// Why there is no connection to the access point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not take the password.
    Password,
    /// Nothing of this name is within reach.
    NotFound,
    /// It wants WPA3, which the radio's library cannot do.
    OnlyWpa3,
    /// It looks open, and a password is set: either it is, or it wants WPA3.
    OpenOrWpa3,
    /// It wants some other security than the board offers.
    Security,
    /// It ends the connection, or does not answer.
    Refused,
    /// The radio itself fails.
    Radio,
}

/// What protects a network, as the radio sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing, or something that the radio's library does not know: without WPA3 it takes a network that has nothing else
    /// for an open one.
    Open,
    /// WPA3 alone.
    Wpa3,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Whether a look at the networks of this name may tell more.
    pub const fn may_be_wpa3(self) -> bool {
        matches!(self, Self::Password | Self::NotFound | Self::Security)
    }

    /// What it is, now that these networks of this name were found: the radio does not say in one way that it lacks WPA3.
    #[must_use]
    pub fn with_found(self, has_password: bool, found: impl IntoIterator<Item = Security>) -> Self {
        let (mut is_there, mut is_wpa3, mut is_open) = (false, true, true);
        for security in found {
            is_there = true;
            is_wpa3 &= security == Security::Wpa3;
            is_open &= security != Security::Other;
        }
        match self {
            trouble if !is_there || !trouble.may_be_wpa3() => trouble,
            _ if is_wpa3 => Self::OnlyWpa3,
            _ if is_open && has_password => Self::OpenOrWpa3,
            trouble => trouble,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "the password is wrong: set password WORDS, save, restart",
            Self::NotFound => {
                "no network of this name is near: look at ssid, capitals count; 2.4 GHz only"
            }
            Self::OnlyWpa3 => {
                "this network takes WPA3 only, which this board cannot do: set its access point to WPA2, or to WPA2 and \
                 WPA3 mixed"
            }
            Self::OpenOrWpa3 => {
                "this network is open, or takes WPA3 only, which this board cannot do: an open one has no password; set \
                 any other's access point to WPA2, or to WPA2 and WPA3 mixed"
            }
            Self::Security => {
                "this network wants another kind of security: an open one has no password, any other has WPA2"
            }
            Self::Refused => "the access point does not answer, or ends the connection",
            Self::Radio => "the radio does not start the connection",
        })
    }
}

/// What was reported since the last connection. The board tries again every few seconds, and a console that repeats itself
/// hides what is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported(u8);

impl Reported {
    /// Nothing was reported.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Whether this is to be reported now: the first time since the board was connected.
    pub const fn is_news(&mut self, trouble: Trouble) -> bool {
        let was_reported = self.0 & trouble.bit() != 0;
        self.0 |= trouble.bit();
        !was_reported
    }

    /// The board is connected.
    pub const fn connected(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_reported_once_until_the_board_was_connected() {
        let mut reported = Reported::new();
        let news: std::vec::Vec<_> = [
            Trouble::Password,
            Trouble::Password,
            Trouble::Refused,
            Trouble::Password,
            Trouble::Refused,
        ]
        .into_iter()
        .map(|trouble| reported.is_news(trouble))
        .collect();
        assert_eq!(news, [true, false, true, false, false]);
        reported.connected();
        assert!(reported.is_news(Trouble::Password));
    }

    #[test]
    fn a_wrong_password_is_called_that_and_says_what_to_type() {
        let text = Trouble::Password.to_string();
        assert!(
            text.contains("password is wrong") && text.contains("set password"),
            "{text}"
        );
        for trouble in [Trouble::OnlyWpa3, Trouble::OpenOrWpa3] {
            let text = trouble.to_string();
            assert!(text.contains("WPA3 only") && text.contains("to WPA2"), "{text}");
        }
    }

    #[test]
    fn a_network_of_wpa3_is_named_also_if_it_looks_open() {
        use Security::{Open, Other, Wpa3};
        use Trouble::{NotFound, OnlyWpa3, OpenOrWpa3, Password, Refused};
        for (trouble, has_password, found, wanted) in [
            (NotFound, true, &[][..], NotFound),
            (NotFound, true, &[Wpa3, Wpa3], OnlyWpa3),
            (Password, true, &[Wpa3], OnlyWpa3),
            // As a library without WPA3 sees it.
            (NotFound, true, &[Open], OpenOrWpa3),
            (Trouble::Security, true, &[Open, Wpa3], OpenOrWpa3),
            // Without a password an open network is what was asked for.
            (NotFound, false, &[Open], NotFound),
            // One access point of several that does not is enough.
            (Password, true, &[Wpa3, Other], Password),
            (NotFound, true, &[Open, Other], NotFound),
            (Refused, true, &[Open], Refused),
        ] {
            let named = trouble.with_found(has_password, found.iter().copied());
            assert_eq!(named, wanted, "{trouble:?} {has_password} {found:?}");
        }
    }
}
