//! The boards that the configuration and the UDCF describe together.

use std::path::{Path, PathBuf};

use crate::advice::Advice;
use crate::config::{BleSettings, PortSource, SerialSettings, Settings, entries_of};
use crate::device::handshake::Identifier;
use crate::session::admission::Admission;
use crate::text::shell_word;
use crate::udcf::Udcf;
use crate::udcf::bridge::{Bridged, Place};

/// The boards to bridge, and remarks on those of the UDCF.
pub struct Boards {
    /// Boards on serial ports: those of the configuration, then those of the UDCF.
    pub serial: Vec<SerialSettings>,
    /// Boards on Bluetooth LE, in the same order.
    pub ble: Vec<BleSettings>,
    /// The boards of the UDCF among them.
    pub bridged: Vec<Bridged>,
    /// Why boards of the UDCF cannot be bridged, one sentence each.
    pub warnings: Vec<String>,
    /// How to bridge the boards of the UDCF, if it describes some and bridging is not configured.
    pub offer: Option<String>,
}

impl Boards {
    /// The boards of a configuration and of its UDCF.
    pub fn of(settings: &Settings, udcf: &Udcf) -> Self {
        let mut boards = Self {
            serial: settings.serial.clone(),
            ble: settings.ble.clone(),
            bridged: Vec::new(),
            warnings: Vec::new(),
            offer: None,
        };
        let Some(file) = &settings.udcf else {
            return boards;
        };
        let described: Vec<Bridged> = udcf
            .bridged()
            .into_iter()
            .filter(|bridged| !is_configured(settings, bridged))
            .collect();
        if !settings.bridge_udcf {
            boards.offer = offer(file, &described);
            return boards;
        }
        for bridged in described {
            match boards.add(&bridged) {
                Ok(()) => boards.bridged.push(bridged),
                Err(problem) => boards
                    .warnings
                    .push(format!("{}: {bridged} is not bridged: {problem}", file.display())),
            }
        }
        if settings.upstream.is_some() && !boards.bridged.is_empty() {
            boards.warnings.push(format!(
                "{}: its boards are relayed; upstream must know their identifiers as websocket names",
                file.display()
            ));
        }
        boards
    }

    fn add(&mut self, bridged: &Bridged) -> Result<(), String> {
        if let Some(problem) = &bridged.problem {
            return Err(problem.clone());
        }
        let (serial, ble) = entries_of(&bridged.toml, Path::new("entry")).map_err(|e| e.to_string())?;
        self.serial.extend(serial);
        self.ble.extend(ble);
        Ok(())
    }
}

/// Whether the configuration has an entry for this board: with its port, its name or its identifier.
pub(super) fn is_configured(settings: &Settings, bridged: &Bridged) -> bool {
    let is_known = |identifier: &Option<Identifier>| {
        identifier
            .as_ref()
            .is_some_and(|identifier| identifier.as_str() == bridged.identifier)
    };
    match bridged.place {
        Place::Serial => {
            let source = PortSource::Path(PathBuf::from(&bridged.name));
            let mut entries = settings.serial.iter();
            entries.any(|own| own.source == source || is_known(&own.identifier))
        }
        Place::Ble => settings.ble.iter().any(|own| {
            let name = own.wanted.name.as_ref();
            name.is_some_and(|name| name.0 == bridged.name) || is_known(&own.identifier)
        }),
    }
}

fn offer(file: &Path, described: &[Bridged]) -> Option<String> {
    let count = |place: Place, one: &str, many: &str| {
        let count = described.iter().filter(|b| b.place == place).count();
        match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        }
    };
    let counts: Vec<String> = [
        count(Place::Serial, "board on a serial port", "boards on serial ports"),
        count(Place::Ble, "board on Bluetooth", "boards on Bluetooth"),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!counts.is_empty()).then(|| {
        format!(
            "{} describes {}; to bridge them: bridge = true in [udcf], or wsdm-gateway udcf bridge {} >> gateway.toml",
            file.display(),
            counts.join(" and "),
            shell_word(&file.display().to_string())
        )
    })
}

/// The `[[serial]]` entries of a configuration, then those of its UDCF if that is bridged and can be read.
pub fn serial_entries(settings: &Settings) -> Vec<SerialSettings> {
    let udcf = settings.udcf.as_ref().filter(|_| settings.bridge_udcf);
    match udcf.and_then(|path| Udcf::load(path).ok()) {
        Some(udcf) => Boards::of(settings, &udcf).serial,
        None => settings.serial.clone(),
    }
}

/// The identifiers in a configuration that the UDCF does not name: the key of each, and the problem in one line. Empty
/// if upstream decides on identifiers.
pub fn unknown_identifiers(settings: &Settings, admission: &Admission) -> Vec<(String, String)> {
    if settings.upstream.is_some() {
        return Vec::new();
    }
    let serial = settings.serial.iter().map(|entry| &entry.identifier).enumerate();
    let ble = settings.ble.iter().map(|entry| &entry.identifier).enumerate();
    let dial = settings.dial.iter().map(|entry| &entry.identifier).enumerate();
    let all = serial
        .map(|(n, identifier)| ("serial", n, identifier))
        .chain(ble.map(|(n, identifier)| ("ble", n, identifier)))
        // An identifier from a preset needs an entry in the UDCF too.
        .chain(dial.map(|(n, identifier)| ("dial", n, identifier)));
    all.filter_map(|(section, n, identifier)| {
        let refusal = admission.identifier(identifier.as_ref()?).err()?;
        Some((format!("{section}.{n}.identifier"), refusal.with_hint()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, Loaded};

    #[test]
    fn identifiers_of_dialled_boards_are_checked_and_so_are_those_of_presets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let entries = [
            "url = \"tcp://192.0.2.1:8000\"\nidentifier = \"TCodeDevise\"",
            "url = \"192.0.2.2\"\npreset = \"ossm\"",
            "url = \"192.0.2.3\"\npreset = \"tcode-esp32\"",
            "url = \"tcp://192.0.2.4:8000\"",
        ];
        std::fs::write(
            &file,
            entries.map(|entry| format!("[[dial]]\n{entry}\n")).concat(),
        )
        .unwrap();
        let settings = Loaded::load(Some(&file), Layers::default()).unwrap().settings;
        let udcf = Udcf::builtin();
        let loaded = udcf.device_configuration().unwrap();
        let admission = Admission::new(&settings.devices, udcf.directory(&loaded));
        let problems = unknown_identifiers(&settings, &admission);
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["dial.0.identifier", "dial.1.identifier"]);
        assert!(problems[0].1.contains("TCodeDevice"), "{problems:?}");
        assert!(
            problems[1]
                .1
                .contains("udcf add --protocol ossm --websocket OSSM"),
            "{problems:?}"
        );
    }
}
