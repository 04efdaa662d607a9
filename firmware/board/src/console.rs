//! What a person can say to a board over its serial port.

use core::fmt::{self, Write};

use crate::pins::Chip;
use crate::settings::{Invalid, Key, Settings};

const HELP: &str = "\
show              the settings; secrets are not shown
set KEY VALUE     change one, until the next restart unless it is saved
save              keep them over a restart
defaults          back to what was built in, until it is saved
restart           begin anew, with the settings that are saved
help              this
Keys: ssid, password, gateway, token, identifier, device, pins, led, silence_ms, button, limits, battery,
  ota_password, fingerprint
  gateway     mdns, HOST, HOST:PORT or ws://HOST:PORT/; wss:// with a fingerprint
  device      lovense or tcode
  pins        V0=4 V1=5 for motors, L0=6 R0=7 for servos, R0=6/7 for a motor on an H-bridge
  led         8, 8 inverted or none
  button      9 stops everything when it closes to ground, 9 opens when it opens; none
  limits      V0=60 at most so many percent, L0=10-90 between them; R0=50 so far round the middle; none
  battery     0 measures half of its voltage on this pin; none
  ota_password  8 characters or more: whoever knows it can send new firmware over Wi-Fi
  fingerprint 64 digits from the gateway's log, for TLS with it and nothing else; none
";

/// What the board has to do about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, or nothing more.
    Nothing,
    /// Keep the settings.
    Save,
    /// Begin anew.
    Restart,
}

/// Settings that are being changed. The board goes on with those that it started with.
#[derive(Debug)]
pub struct Console<'a> {
    settings: Settings,
    /// Those that the board finds after a restart.
    kept: Settings,
    built_in: &'a Settings,
    chip: &'a Chip,
    address: &'a str,
    unsaved: bool,
    /// A gateway is obeyed.
    obeys: bool,
}

impl<'a> Console<'a> {
    /// A board that runs with these settings.
    pub fn new(settings: Settings, built_in: &'a Settings, chip: &'a Chip, address: &'a str) -> Self {
        Self {
            kept: settings.clone(),
            settings,
            built_in,
            chip,
            address,
            unsaved: false,
            obeys: true,
        }
    }

    /// The same, and nobody is obeyed, since settings that were saved or built in cannot be used.
    #[must_use]
    pub const fn obeying_nobody(mut self) -> Self {
        self.obeys = false;
        self
    }

    /// The settings to be saved.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// They are saved.
    pub fn saved(&mut self) {
        self.kept = self.settings.clone();
        self.unsaved = false;
    }

    /// The board's chip.
    pub const fn chip(&self) -> &'a Chip {
        self.chip
    }

    /// The settings that are kept, with this network: what else is being changed here is not saved with it.
    ///
    /// # Errors
    /// The network cannot have this name or password.
    pub fn with_network(&self, ssid: &str, password: &str) -> Result<Settings, Invalid> {
        let mut changed = self.kept.clone();
        changed.set(Key::Ssid, ssid, self.chip)?;
        changed.set(Key::Password, password, self.chip)?;
        Ok(changed)
    }

    /// The board is on the network of these settings, and has kept them or not.
    pub fn take_network(&mut self, changed: Settings, is_kept: bool) {
        for (key, value) in [(Key::Ssid, changed.ssid()), (Key::Password, changed.password())] {
            // They were set there in the same way.
            let _ = self.settings.set(key, value, self.chip);
        }
        if is_kept {
            self.kept = changed;
        } else {
            self.unsaved = true;
        }
    }

    /// Takes a line, and answers.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn line(&mut self, line: &str, out: &mut dyn Write) -> Result<Action, fmt::Error> {
        let (word, rest) = first_word(line);
        let (word, rest) = (word, rest.unwrap_or(""));
        match (word, rest.trim()) {
            ("", _) => {}
            ("help" | "?", "") => out.write_str(HELP)?,
            ("show", "") => self.show(out)?,
            ("save", "") => return Ok(Action::Save),
            ("restart", "") => return Ok(Action::Restart),
            ("defaults", "") => {
                self.settings = self.built_in.clone();
                self.unsaved = true;
                self.show(out)?;
            }
            ("set", _) => self.set(rest, out)?,
            _ => out.write_str("that is no command; help shows what is\n")?,
        }
        Ok(Action::Nothing)
    }

    fn set(&mut self, rest: &str, out: &mut dyn Write) -> fmt::Result {
        // Spaces belong to a value, behind the one before it: an SSID may end in one.
        let (name, value) = first_word(rest);
        let value = value.unwrap_or("");
        if name == "address" {
            // It is shown like a setting.
            return out.write_str("address stays: it is this chip's own\n");
        }
        let Some(key) = Key::from_name(name) else {
            return out.write_str("that is no setting; help shows which there are\n");
        };
        match self.settings.set(key, value, self.chip) {
            Ok(()) => {
                self.unsaved = true;
                self.one(key, out)?;
                if matches!(key, Key::Limits | Key::Pins) {
                    for idle in self.settings.idle_limits() {
                        writeln!(out, "{idle}")?;
                    }
                }
                out.write_str("save keeps it, restart uses it\n")
            }
            Err(e) => writeln!(out, "{name} stays: {e}"),
        }
    }

    fn show(&self, out: &mut dyn Write) -> fmt::Result {
        for key in Key::ALL {
            self.one(key, out)?;
        }
        writeln!(out, "address = {} (of this {})", self.address, self.chip.name)?;
        if self.unsaved {
            out.write_str("not saved yet\n")?;
        }
        if !self.obeys {
            out.write_str("no gateway is obeyed: set what is missing, save, restart\n")?;
        }
        Ok(())
    }

    fn one(&self, key: Key, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{} = ", key.name())?;
        if key.is_secret() {
            let mut is_empty = IsEmpty(true);
            self.settings.write(key, &mut is_empty)?;
            out.write_str(if is_empty.0 { "" } else { "********" })?;
        } else if key == Key::Identifier {
            out.write_str(self.settings.identifier())?;
        } else {
            self.settings.write(key, out)?;
        }
        out.write_char('\n')
    }
}

/// The first word, and what is behind the space after it, if there is one.
fn first_word(text: &str) -> (&str, Option<&str>) {
    let text = text.trim_start();
    text.split_once(' ')
        .map_or((text, None), |(word, rest)| (word, Some(rest)))
}

/// Whether the next character of this line belongs to the value of a secret.
pub(crate) fn is_secret(line: &str) -> bool {
    let ("set", Some(rest)) = first_word(line) else {
        return false;
    };
    let (name, value) = first_word(rest);
    value.is_some() && Key::from_name(name).is_some_and(Key::is_secret)
}

/// Whether anything was written.
struct IsEmpty(bool);

impl Write for IsEmpty {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 &= text.is_empty();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pins::ESP32C3;

    fn say(console: &mut Console<'_>, line: &str) -> (Action, String) {
        let mut out = String::new();
        let action = console.line(line, &mut out).unwrap();
        (action, out)
    }

    #[test]
    fn settings_are_set_and_shown_without_secrets() {
        let built_in = Settings::default();
        let mut console = Console::new(built_in.clone(), &built_in, &ESP32C3, "aabbccddeeff");
        let (_, out) = say(&mut console, "set password correct horse ");
        assert_eq!(out, "password = ********\nsave keeps it, restart uses it\n");
        assert_eq!(console.settings().password(), "correct horse ");
        say(&mut console, "set ssid My Network");
        let (_, out) = say(&mut console, "show");
        assert!(out.contains("ssid = My Network\n"), "{out}");
        assert!(out.contains("token = \n"), "{out}");
        assert!(
            out.contains("address = aabbccddeeff (of this ESP32-C3)\n"),
            "{out}"
        );
        assert!(out.ends_with("not saved yet\n"), "{out}");
        assert!(!out.contains("horse"), "{out}");
        assert_eq!(say(&mut console, "save").0, Action::Save);
        console.saved();
        assert!(!say(&mut console, "show").1.contains("not saved"));
        assert_eq!(say(&mut console, " restart ").0, Action::Restart);
        say(&mut console, "defaults");
        assert_eq!(console.settings(), &built_in);
    }

    #[test]
    fn a_limit_of_an_output_that_the_board_does_not_have_is_reported() {
        const NO_V1: &str = "a limit limits nothing: this device has no V1\n";
        let built_in = Settings::default();
        let mut console = Console::new(built_in.clone(), &built_in, &ESP32C3, "a");
        say(&mut console, "set pins V0=4 R0=5/6");
        let (_, out) = say(&mut console, "set limits V1=30 R0=50 V0=60");
        let wanted = "limits = V1=30 R0=50 V0=60\n".to_owned() + NO_V1 + "save keeps it, restart uses it\n";
        assert_eq!(out, wanted);
        let (_, out) = say(&mut console, "set pins V1=4");
        assert!(out.contains("no R0\n") && out.contains("no V0\n"), "{out}");
        assert!(!out.contains(NO_V1), "{out}");
        let (_, out) = say(&mut console, "set limits none");
        assert!(!out.contains("limits nothing"), "{out}");
    }

    #[test]
    fn a_board_that_obeys_nobody_shows_why() {
        let built_in = Settings::default();
        let mut console = Console::new(built_in.clone(), &built_in, &ESP32C3, "a").obeying_nobody();
        let (_, out) = say(&mut console, "show");
        assert!(
            out.contains("no gateway is obeyed") && out.ends_with("save, restart\n"),
            "{out}"
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        let built_in = Settings::default();
        let mut console = Console::new(built_in.clone(), &built_in, &ESP32C3, "a");
        for (line, wanted) in [
            ("hello", "that is no command; help shows what is\n"),
            ("save now", "that is no command; help shows what is\n"),
            ("set", "that is no setting; help shows which there are\n"),
            ("set address bedroom", "address stays: it is this chip's own\n"),
            (
                "set colour red",
                "that is no setting; help shows which there are\n",
            ),
            (
                "set pins V0=18",
                "pins stays: this chip has no such pin to give\n",
            ),
            ("", ""),
        ] {
            assert_eq!(
                say(&mut console, line),
                (Action::Nothing, wanted.to_owned()),
                "{line}"
            );
        }
        assert_eq!(console.settings(), &built_in);
        for key in Key::ALL {
            assert!(HELP.contains(key.name()), "{}", key.name());
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(line in "(set (ssid|password|gateway|token|identifier|device|pins|led|silence_ms|button|limits|battery|ota_password|fingerprint) )?\\PC{0,160}") {
            let built_in = Settings::default();
            let mut console = Console::new(built_in.clone(), &built_in, &ESP32C3, "a");
            say(&mut console, &line);
        }
    }
}
