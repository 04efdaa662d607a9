//! What a board starts with: what is saved, what was built in, or nothing that it may obey with.

use core::fmt;

use embedded_storage::nor_flash::NorFlash;

use crate::pins::Chip;
use crate::record::Broken;
use crate::settings::Settings;
use crate::store::{Loaded, Store, StoreError};

/// Settings, where they are kept, and where they come from.
#[derive(Debug)]
pub struct Found<F> {
    /// Those that were saved, or those that were built in.
    pub settings: Settings,
    /// `None`: they cannot be kept.
    pub store: Option<Store<F>>,
    /// Where they come from.
    pub origin: Origin,
}

/// Where the settings come from, and what is wrong with those that were saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They are those that were saved.
    Saved,
    /// The same; what is wrong with the other place.
    SavedBeside(Broken),
    /// None are saved.
    BuiltIn,
    /// None are saved; something else is in their place.
    BuiltInBeside(Broken),
    /// Some were saved.
    Broken(Broken),
    /// Nobody knows whether some were saved.
    Failed(StoreError),
    /// There is nowhere to save them.
    NoPartition,
}

impl<F: NorFlash> Found<F> {
    /// Looks for settings in the flash, from `start`.
    pub fn open(flash: F, start: Option<u32>, built_in: &Settings, chip: &Chip) -> Self {
        let instead = |store, origin| Self {
            settings: built_in.clone(),
            store,
            origin,
        };
        let Some(start) = start else {
            return instead(None, Origin::NoPartition);
        };
        match Store::open(flash, start, chip) {
            Ok((store, Loaded::Saved(settings, beside))) => Self {
                settings,
                store: Some(store),
                origin: beside.map_or(Origin::Saved, Origin::SavedBeside),
            },
            Ok((store, Loaded::Erased)) => instead(Some(store), Origin::BuiltIn),
            Ok((store, Loaded::Broken(e @ Broken::Foreign))) => {
                instead(Some(store), Origin::BuiltInBeside(e))
            }
            Ok((store, Loaded::Broken(e))) => instead(Some(store), Origin::Broken(e)),
            Err(e) => instead(None, Origin::Failed(e)),
        }
    }
}

impl Origin {
    /// Whether they are kept in the flash, for another image too.
    pub const fn is_saved(&self) -> bool {
        matches!(self, Self::Saved | Self::SavedBeside(_))
    }

    /// Whether a gateway may be obeyed. Settings that cannot be used may have had limits, a stop button or a fingerprint that
    /// the others lack: those that were saved and cannot be read, and of those that were built in, if they count, even
    /// one. `is_complete` says that all of the latter can be used.
    pub const fn may_obey(&self, is_complete: bool) -> bool {
        match self {
            Self::Broken(_) | Self::Failed(_) => false,
            Self::Saved | Self::SavedBeside(_) => true,
            Self::BuiltIn | Self::BuiltInBeside(_) | Self::NoPartition => is_complete,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INSTEAD: &str = "those that were built in are used instead";
        match self {
            Self::Saved => f.write_str("as saved"),
            Self::SavedBeside(e) => write!(f, "as saved; the other place in the flash cannot be used: {e}"),
            Self::BuiltIn => f.write_str("as built in, none are saved"),
            Self::BuiltInBeside(e) => write!(f, "as built in, none are saved: {e}"),
            Self::Broken(e) => write!(
                f,
                "the saved ones cannot be used: {e}; no gateway is obeyed until others are saved: look at show, set what \
                 is missing, save, restart"
            ),
            Self::Failed(e) => write!(f, "{e}; no gateway is obeyed: restart, or flash the board anew"),
            Self::NoPartition => write!(f, "the flash has no partition nvs to keep them in, {INSTEAD}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pins::ESP32C3;
    use crate::record::tests::any_settings;
    use crate::settings::Key;
    use crate::store::tests::{Flash, START};

    fn found(flash: &mut Flash) -> Found<&mut Flash> {
        Found::open(flash, Some(START), &Settings::default(), &ESP32C3)
    }

    #[test]
    fn a_board_that_was_never_set_obeys_as_built_in() {
        let mut flash = Flash::new();
        assert_eq!(found(&mut flash).origin, Origin::BuiltIn);
        // Most boards come with the settings of some other firmware.
        flash.bytes.fill(0x5a);
        let found = found(&mut flash);
        assert_eq!(found.origin, Origin::BuiltInBeside(Broken::Foreign));
        let something = found.origin;
        assert!(something.may_obey(true) && found.store.is_some());
        let nowhere = Found::open(&mut flash, None, &Settings::default(), &ESP32C3);
        assert!(nowhere.origin.may_obey(true) && nowhere.store.is_none());
        // But for those that lack something that was to be in them.
        assert!(!something.may_obey(false) && !nowhere.origin.may_obey(false));
    }

    #[test]
    fn settings_of_another_version_are_not_replaced_by_others() {
        let mut flash = Flash::new();
        let mut limited = Settings::default();
        limited.set(Key::Limits, "V0=30", &ESP32C3).unwrap();
        found(&mut flash).store.unwrap().save(&limited).unwrap();
        assert_eq!(found(&mut flash).settings, limited);
        flash.bytes[4] = 2;
        // Something else in the first place does not hide it.
        let behind = flash.bytes[..64].to_vec();
        flash.bytes[4_096..4_160].copy_from_slice(&behind);
        flash.bytes[..64].fill(0);
        let mut found = found(&mut flash);
        assert_eq!(found.origin, Origin::Broken(Broken::Version(2)));
        assert!(!found.origin.may_obey(true));
        assert!(
            found.origin.to_string().contains("save, restart"),
            "{}",
            found.origin
        );
        found.store.as_mut().unwrap().save(&limited).unwrap();
        let again = Found::open(
            found.store.unwrap().into_flash(),
            Some(START),
            &Settings::default(),
            &ESP32C3,
        );
        assert!(again.origin.may_obey(false), "they were saved");
        assert_eq!(again.settings, limited);
    }

    proptest! {
        #[test]
        fn settings_that_were_damaged_are_not_replaced_by_others(
            settings in any_settings(),
            at: prop::sample::Index,
            with in 1_u8..,
        ) {
            let mut flash = Flash::new();
            found(&mut flash).store.unwrap().save(&settings).unwrap();
            let len = flash.bytes.iter().rposition(|byte| *byte != 0xff).unwrap();
            flash.bytes[at.index(len)] ^= with;
            let found = found(&mut flash);
            // Settings that demand TLS have a second copy.
            let is_copy = settings.fingerprint().is_some() && found.settings == settings;
            prop_assert!(is_copy || !found.origin.may_obey(true));
        }
    }
}
