use proptest::prelude::*;

use super::*;
use crate::pins::ESP32C3;

fn with(key: Key, value: &str) -> Result<Settings, Invalid> {
    let mut settings = Settings::default();
    settings.set(key, value, &ESP32C3).map(|()| settings)
}

#[test]
fn a_gateway_is_looked_up_or_somewhere() {
    assert_eq!(Settings::default().gateway(), Gateway::LookedUp);
    let settings = with(Key::Gateway, "10.0.0.2").unwrap();
    let Gateway::At(gateway) = settings.gateway() else {
        panic!("it is given");
    };
    assert_eq!(
        (gateway.host(), gateway.port()),
        ("10.0.0.2", wsdm_device::wsdm_protocol::PORT)
    );
    let settings = with(Key::Gateway, "ws://gw.local:8080/behind/a/proxy").unwrap();
    assert!(matches!(settings.gateway(), Gateway::At(gateway) if gateway.port() == 8080));
    assert_eq!(
        with(Key::Gateway, "gw:99999"),
        Err(Invalid::Gateway(SettingsError::Port))
    );
    assert_eq!(with(Key::Gateway, &"x".repeat(125)), Err(Invalid::TooLong(128)));
}

#[test]
fn a_gateway_that_no_board_reaches_or_that_shows_a_token_is_refused() {
    for value in [
        "ws://192.168.1.20:54817/?token=SECRET",
        "gw?token=SECRET",
        "gw/x?a",
    ] {
        let refused = with(Key::Gateway, value).unwrap_err().to_string();
        assert!(
            refused.contains("the token is a setting of its own"),
            "{value}: {refused}"
        );
    }
    for value in [
        "[fe80::1]",
        "ws://[::1]:54817/",
        "fe80::1",
        "fe80::1%wlan0",
        "2001:db8::5/x",
        "::",
    ] {
        let refused = with(Key::Gateway, value).unwrap_err().to_string();
        assert!(refused.contains("IPv4 address, or a name"), "{value}: {refused}");
    }
    for value in ["gw:1:2", "gw%5", "a]", "", ":80"] {
        let refused = with(Key::Gateway, value).unwrap_err().to_string();
        assert!(
            refused.contains("no usable host; mdns, HOST"),
            "{value}: {refused}"
        );
    }
}

#[test]
fn a_gateway_with_tls_needs_a_fingerprint_in_whichever_order_they_are_set() {
    let digits = "0123456789ABCDEF".repeat(4);
    let mut settings = with(Key::Gateway, "wss://gw.local/").unwrap();
    assert_eq!(settings.check(), Err(Invalid::NoFingerprint));
    settings.set(Key::Fingerprint, &digits, &ESP32C3).unwrap();
    assert_eq!(settings.check(), Ok(()));
    assert!(matches!(settings.gateway(), Gateway::At(gateway) if gateway.is_tls()));
    let mut written = std::string::String::new();
    settings.write(Key::Fingerprint, &mut written).unwrap();
    assert_eq!(written, digits.to_lowercase());
    for wrong in ["yes", &digits[1..], &digits.replace('0', "x")] {
        assert_eq!(
            settings.set(Key::Fingerprint, wrong, &ESP32C3),
            Err(Invalid::Fingerprint)
        );
    }
    assert!(settings.fingerprint().is_some());
    for none in ["none", "", " "] {
        let mut without = settings.clone();
        without.set(Key::Fingerprint, none, &ESP32C3).unwrap();
        assert_eq!(
            (without.fingerprint(), without.check()),
            (None, Err(Invalid::NoFingerprint))
        );
    }
    // With one, TLS is spoken wherever the gateway is.
    for gateway in ["mdns", "gw", "ws://gw/"] {
        settings.set(Key::Gateway, gateway, &ESP32C3).unwrap();
        assert_eq!(settings.check(), Ok(()));
    }
    assert_eq!(Settings::default().check(), Ok(()));
}

#[test]
fn a_refused_value_changes_nothing() {
    let mut settings = with(Key::Password, "long enough").unwrap();
    for value in ["short", &"x".repeat(64), "a\u{7}bcdefghi"] {
        assert!(settings.set(Key::Password, value, &ESP32C3).is_err(), "{value}");
    }
    assert_eq!(settings.password(), "long enough");
    assert_eq!(settings.set(Key::Password, "", &ESP32C3), Ok(()));
}

#[test]
fn an_identifier_follows_the_language_until_it_is_set() {
    assert_eq!(Settings::default().identifier(), "LVSDevice");
    let mut settings = with(Key::Device, "tcode").unwrap();
    assert_eq!(settings.identifier(), "TCodeDevice");
    settings.set(Key::Identifier, "TCodeMulti", &ESP32C3).unwrap();
    assert_eq!(settings.identifier(), "TCodeMulti");
}

#[test]
fn no_pin_has_two_uses() {
    let mut settings = with(Key::Pins, "V0=4").unwrap();
    let taken = |pin| Err(Invalid::Pins(PinError::Taken(pin)));
    assert_eq!(settings.set(Key::Button, "4", &ESP32C3), taken(4));
    assert_eq!(settings.set(Key::Battery, "4", &ESP32C3), taken(4));
    settings.set(Key::Button, "3", &ESP32C3).unwrap();
    assert_eq!(settings.set(Key::Battery, "3", &ESP32C3), taken(3));
    settings.set(Key::Battery, "2", &ESP32C3).unwrap();
    assert_eq!(settings.set(Key::Button, "2 opens", &ESP32C3), taken(2));
    assert_eq!(settings.set(Key::Pins, "V0=4 V1=3", &ESP32C3), taken(3));
    assert_eq!(settings.set(Key::Pins, "L0=2", &ESP32C3), taken(2));
    // One that is set again does not stand in its own way.
    settings.set(Key::Button, "3 opens", &ESP32C3).unwrap();
    assert_eq!(settings.button().map(|button| button.opens), Some(true));
}

#[test]
fn the_watchdog_stays_within_its_range() {
    assert_eq!(with(Key::SilenceMs, "1500").unwrap().silence_ms(), 1_500);
    for value in ["", "499", "10001", "-1", "1 s"] {
        assert_eq!(with(Key::SilenceMs, value), Err(Invalid::Silence), "{value}");
    }
}

proptest! {
    #[test]
    fn what_was_set_is_what_is_written(which in 0..Key::ALL.len(), value in "[ -~\u{e4}]{0,140}|mdns|8 inverted|V0=3|tcode|900|9 opens|V0=60 L0=10-90|none|0|wss?://[a-z]{1,9}|([0-9A-F]{2}:){31}[0-9a-f]{2}") {
        let key = Key::ALL[which];
        if let Ok(settings) = with(key, &value) {
            let mut written = std::string::String::new();
            settings.write(key, &mut written).unwrap();
            prop_assert!(written.len() <= VALUE_MAX_BYTES);
            prop_assert_eq!(with(key, &written), Ok(settings));
        }
    }
}
