//! The settings that a build was given: environment variables at the time of the build.

use esp_println::println;
use wsdm_device_board::{Invalid, Key, Settings};

use crate::chip;

/// Each variable and the setting that it gives.
const GIVEN: [(Key, Option<&str>); 14] = [
    (Key::Ssid, option_env!("WSDM_SSID")),
    (Key::Password, option_env!("WSDM_PASSWORD")),
    (Key::Gateway, option_env!("WSDM_GATEWAY")),
    (Key::Token, option_env!("WSDM_TOKEN")),
    (Key::Identifier, option_env!("WSDM_IDENTIFIER")),
    (Key::Device, option_env!("WSDM_DEVICE")),
    (Key::Pins, option_env!("WSDM_PINS")),
    (Key::Led, option_env!("WSDM_LED")),
    (Key::SilenceMs, option_env!("WSDM_SILENCE_MS")),
    (Key::Button, option_env!("WSDM_BUTTON")),
    (Key::Limits, option_env!("WSDM_LIMITS")),
    (Key::Battery, option_env!("WSDM_BATTERY")),
    (Key::OtaPassword, option_env!("WSDM_OTA_PASSWORD")),
    (Key::Fingerprint, option_env!("WSDM_FINGERPRINT")),
];

/// Where nothing was given: a motor on a pin that every board leads out, and the LED that most have.
const USUAL: [(Key, &str); 2] = [(Key::Pins, "V0=4"), (Key::Led, chip::LED)];

/// The button that nearly every board has, BOOT: it stops everything, unless something else was given its pin.
const BUTTON: &str = "9";

/// The settings, and what was wrong with those that were given.
pub struct BuiltIn {
    pub settings: Settings,
    refused: [Option<(Key, Invalid)>; GIVEN.len()],
}

/// Reads them.
pub fn settings() -> BuiltIn {
    let mut settings = Settings::default();
    for (key, value) in USUAL {
        // Every chip has these pins; one that has not goes without.
        let _ = settings.set(key, value, &chip::CHIP);
    }
    let refused = GIVEN.map(|(key, value)| {
        let e = settings.set(key, value?, &chip::CHIP).err()?;
        Some((key, e))
    });
    if option_env!("WSDM_BUTTON").is_none() {
        let _ = settings.set(Key::Button, BUTTON, &chip::CHIP);
    }
    BuiltIn { settings, refused }
}

impl BuiltIn {
    /// Whether all that was given is in the settings. Without one of them a board may lack a limit, a stop button, or the
    /// fingerprint without which it would connect to anybody.
    pub fn is_complete(&self) -> bool {
        self.refused.iter().all(Option::is_none)
    }

    /// Reports what was wrong.
    pub fn complain(&self) {
        for (key, e) in self.refused.iter().flatten() {
            println!("this build's {} is left out: {e}", key.name());
        }
    }
}
