//! Settings in flash: two places, written in turn, so that a save that is cut short leaves the settings before it.

use core::fmt;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use crate::flash::SECTOR_BYTES;
use crate::pins::Chip;
use crate::record::{self, Broken, ERASED, RECORD_MAX_BYTES};
use crate::settings::Settings;

/// Why settings could not be read or saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// They could not be read from flash.
    Read,
    /// They could not be written to flash.
    Write,
    /// They are too long for their place.
    TooLong,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "the flash cannot be read",
            Self::Write => "the flash cannot be written",
            Self::TooLong => "the settings are too long for their place in the flash",
        })
    }
}

/// What was found in flash.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, at the start, and no heap to put it on"
)]
pub enum Loaded {
    /// Settings; and what is wrong with the other place, if something is.
    Saved(Settings, Option<Broken>),
    /// Nothing was saved yet.
    Erased,
    /// Nothing that can be used.
    Broken(Broken),
}

/// Two places in flash.
#[derive(Debug)]
pub struct Store<F> {
    flash: F,
    start: u32,
    /// The place that is written next, and the sequence that it gets.
    next: (u32, u32),
}

impl<F: NorFlash> Store<F> {
    /// Two places from `start`, which flash can erase; and what is in them.
    ///
    /// # Errors
    /// The flash cannot be read.
    pub fn open(flash: F, start: u32, chip: &Chip) -> Result<(Self, Loaded), StoreError> {
        let mut store = Self {
            flash,
            start,
            next: (0, 1),
        };
        let (first, second) = (store.read(0, chip)?, store.read(1, chip)?);
        // What was saved and is lost matters more than what never was of this firmware.
        let broken = match (first.as_ref().err(), second.as_ref().err()) {
            (Some(Broken::Foreign) | None, Some(second)) => Some(*second),
            (first, _) => first.copied(),
        };
        let sequence = |slot: &Result<Option<(u32, Settings)>, Broken>| match slot {
            Ok(Some((sequence, _))) => Some(*sequence),
            Ok(None) | Err(_) => None,
        };
        let second_is_newer = sequence(&second) > sequence(&first);
        let newest = if second_is_newer { second } else { first };
        let loaded = match newest {
            Ok(Some((sequence, settings))) => {
                store.next = (u32::from(!second_is_newer), sequence.wrapping_add(1));
                Loaded::Saved(settings, broken)
            }
            _ => broken.map_or(Loaded::Erased, Loaded::Broken),
        };
        Ok((store, loaded))
    }

    /// Saves settings. What was saved before stays until these are whole. If they demand TLS they are then in both places, so
    /// that a damaged one does not bring back settings that send the token without it.
    ///
    /// # Errors
    /// The flash cannot be written.
    pub fn save(&mut self, settings: &Settings) -> Result<(), StoreError> {
        self.write(settings)?;
        match settings.fingerprint() {
            Some(_) => self.write(settings),
            None => Ok(()),
        }
    }

    fn write(&mut self, settings: &Settings) -> Result<(), StoreError> {
        let (slot, sequence) = self.next;
        let mut record = record::encode(settings, sequence).ok_or(StoreError::TooLong)?;
        // Flash is written a word at a time.
        while !record.len().is_multiple_of(F::WRITE_SIZE) {
            record.push(ERASED).map_err(|_| StoreError::TooLong)?;
        }
        let from = self.start + slot * SECTOR_BYTES;
        self.flash
            .erase(from, from + SECTOR_BYTES)
            .and_then(|()| self.flash.write(from, &record))
            .map_err(|_| StoreError::Write)?;
        self.next = (1 - slot, sequence.wrapping_add(1));
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn into_flash(self) -> F {
        self.flash
    }

    #[allow(clippy::type_complexity, reason = "what a record is read as")]
    fn read(
        &mut self,
        slot: u32,
        chip: &Chip,
    ) -> Result<Result<Option<(u32, Settings)>, Broken>, StoreError> {
        let mut bytes = [0; RECORD_MAX_BYTES];
        let at = self.start + slot * SECTOR_BYTES;
        ReadNorFlash::read(&mut self.flash, at, &mut bytes).map_err(|_| StoreError::Read)?;
        Ok(record::decode(&bytes, chip))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind};
    use proptest::prelude::*;

    use super::*;
    use crate::pins::ESP32C3;
    use crate::record::tests::any_settings;
    use crate::settings::Key;

    pub(crate) const START: u32 = 0x9000;

    /// Flash whose power fails after so many bytes.
    #[derive(Debug)]
    pub(crate) struct Flash {
        pub(crate) bytes: std::vec::Vec<u8>,
        left: usize,
    }

    impl Flash {
        pub(crate) fn new() -> Self {
            Self {
                bytes: vec![ERASED; 3 * SECTOR_BYTES as usize],
                left: usize::MAX,
            }
        }
    }

    impl ErrorType for &mut Flash {
        type Error = NorFlashErrorKind;
    }

    impl ReadNorFlash for &mut Flash {
        const READ_SIZE: usize = 4;

        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
            let at = (offset - START) as usize;
            bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
            Ok(())
        }

        fn capacity(&self) -> usize {
            self.bytes.len()
        }
    }

    impl NorFlash for &mut Flash {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = SECTOR_BYTES as usize;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
            self.bytes[(from - START) as usize..(to - START) as usize].fill(ERASED);
            Ok(())
        }

        fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
            assert!(
                bytes.len().is_multiple_of(4) && offset.is_multiple_of(4),
                "whole words"
            );
            for (i, byte) in bytes.iter().enumerate() {
                if self.left == 0 {
                    return Err(NorFlashErrorKind::Other);
                }
                self.left -= 1;
                // Writing clears bits, and sets none.
                self.bytes[(offset - START) as usize + i] &= byte;
            }
            Ok(())
        }
    }

    fn named(ssid: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set(Key::Ssid, ssid, &ESP32C3).unwrap();
        settings
    }

    #[test]
    fn the_last_save_counts() {
        let mut flash = Flash::new();
        let (mut store, loaded) = Store::open(&mut flash, START, &ESP32C3).unwrap();
        assert_eq!(loaded, Loaded::Erased);
        for ssid in ["a", "b", "c", "d", "e"] {
            store.save(&named(ssid)).unwrap();
            let (again, loaded) = Store::open(store.flash, START, &ESP32C3).unwrap();
            assert_eq!(loaded, Loaded::Saved(named(ssid), None));
            store = again;
        }
    }

    /// Neither damage nor an older firmware, which does not know the setting, finds settings without it.
    #[test]
    fn settings_that_demand_tls_leave_none_without_it() {
        let (mut flash, mut settings) = (Flash::new(), named("a"));
        Store::open(&mut flash, START, &ESP32C3)
            .unwrap()
            .0
            .save(&settings)
            .unwrap();
        settings
            .set(Key::Fingerprint, &"5f".repeat(32), &ESP32C3)
            .unwrap();
        Store::open(&mut flash, START, &ESP32C3)
            .unwrap()
            .0
            .save(&settings)
            .unwrap();
        for slot in [0, SECTOR_BYTES as usize] {
            let mut damaged = flash.bytes.clone();
            damaged[slot + 20] ^= 1;
            std::mem::swap(&mut flash.bytes, &mut damaged);
            let (_, loaded) = Store::open(&mut flash, START, &ESP32C3).unwrap();
            assert_eq!(loaded, Loaded::Saved(settings.clone(), Some(Broken::Checksum)));
            flash.bytes = damaged;
        }
    }

    #[test]
    fn what_is_broken_is_told() {
        let mut flash = Flash::new();
        flash.bytes.fill(0);
        let (mut store, loaded) = Store::open(&mut flash, START, &ESP32C3).unwrap();
        assert_eq!(loaded, Loaded::Broken(Broken::Foreign));
        store.save(&named("a")).unwrap();
        let (_, loaded) = Store::open(&mut flash, START, &ESP32C3).unwrap();
        assert_eq!(loaded, Loaded::Saved(named("a"), Some(Broken::Foreign)));
    }

    proptest! {
        #[test]
        fn a_save_cut_short_leaves_the_one_before(old in any_settings(), new in any_settings(), left in 0_usize..600) {
            let mut flash = Flash::new();
            let (mut store, _) = Store::open(&mut flash, START, &ESP32C3).unwrap();
            store.save(&old).unwrap();
            // As after a restart: which place is next is read from the flash.
            let (mut store, _) = Store::open(store.flash, START, &ESP32C3).unwrap();
            store.flash.left = left;
            let saved = store.save(&new).is_ok();
            let (_, loaded) = Store::open(&mut flash, START, &ESP32C3).unwrap();
            let Loaded::Saved(found, _) = loaded else {
                panic!("{loaded:?}");
            };
            // The last bytes may have been padding, without which it is whole.
            prop_assert!(found == new || (!saved && found == old));
        }
    }
}
