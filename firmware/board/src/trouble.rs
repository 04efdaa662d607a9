//! Why a board is not on its Wi-Fi network, in words that say what to do, each said once.

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
    /// It wants some other security than the board offers.
    Security,
    /// It ends the connection, or does not answer.
    Refused,
    /// The radio itself fails.
    Radio,
}

impl Trouble {
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
            Self::Security => {
                "this network wants another kind of security: an open one has no password, any other has WPA2"
            }
            Self::Refused => "the access point does not answer, or ends the connection",
            Self::Radio => "the radio does not start the connection",
        })
    }
}

/// What was said since the last connection. The board tries again every few seconds, and a console that repeats itself
/// hides what is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said(u8);

impl Said {
    /// Nothing was said.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Whether this is to be said now: the first time since the board was connected.
    pub const fn is_news(&mut self, trouble: Trouble) -> bool {
        let was_said = self.0 & trouble.bit() != 0;
        self.0 |= trouble.bit();
        !was_said
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
    fn each_trouble_is_said_once_until_the_board_was_connected() {
        let mut said = Said::new();
        let news: std::vec::Vec<_> = [
            Trouble::Password,
            Trouble::Password,
            Trouble::Refused,
            Trouble::Password,
            Trouble::Refused,
        ]
        .into_iter()
        .map(|trouble| said.is_news(trouble))
        .collect();
        assert_eq!(news, [true, false, true, false, false]);
        said.connected();
        assert!(said.is_news(Trouble::Password));
    }

    #[test]
    fn a_wrong_password_is_called_that_and_says_what_to_type() {
        let text = Trouble::Password.to_string();
        assert!(
            text.contains("password is wrong") && text.contains("set password"),
            "{text}"
        );
        assert!(Trouble::OnlyWpa3.to_string().contains("WPA2"));
    }
}
