//! Where in the flash settings are kept: in the partition `nvs`, which every usual partition table has, and which
//! nothing else in this firmware uses.

use core::fmt;

use esp_bootloader_esp_idf::partitions::{
    self, DataPartitionSubType, PARTITION_TABLE_MAX_LEN, PartitionType,
};
use esp_hal::peripherals::FLASH;
use esp_storage::FlashStorage;
use wsdm_device_board::{Broken, Loaded, SLOT_BYTES, Settings, Store, StoreError};

use crate::chip;

/// Settings, where they are kept, and how it went.
pub struct Found {
    pub settings: Settings,
    /// `None`: they cannot be kept.
    pub store: Option<Store<FlashStorage<'static>>>,
    pub told: Told,
}

/// What there is to say about the settings.
pub enum Told {
    Saved,
    SavedBeside(Broken),
    BuiltIn,
    Broken(Broken),
    Failed(StoreError),
    NoPartition,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INSTEAD: &str = "those that were built in are used instead";
        match self {
            Self::Saved => f.write_str("as saved"),
            Self::SavedBeside(e) => write!(f, "as saved; the other place in the flash cannot be used: {e}"),
            Self::BuiltIn => f.write_str("as built in, none are saved"),
            Self::Broken(e) => write!(f, "the saved ones are broken, {INSTEAD}: {e}"),
            Self::Failed(e) => write!(f, "{e}, {INSTEAD}"),
            Self::NoPartition => write!(f, "the flash has no partition nvs to keep them in, {INSTEAD}"),
        }
    }
}

/// Looks for settings in the flash.
pub fn open(flash: FLASH<'static>, built_in: &Settings) -> Found {
    let mut flash = FlashStorage::new(flash);
    let instead = |store, told| Found {
        settings: built_in.clone(),
        store,
        told,
    };
    let Some(start) = partition(&mut flash) else {
        return instead(None, Told::NoPartition);
    };
    match Store::open(flash, start, &chip::CHIP) {
        Ok((store, Loaded::Saved(settings, beside))) => Found {
            settings,
            store: Some(store),
            told: beside.map_or(Told::Saved, Told::SavedBeside),
        },
        Ok((store, Loaded::Erased)) => instead(Some(store), Told::BuiltIn),
        Ok((store, Loaded::Broken(e))) => instead(Some(store), Told::Broken(e)),
        Err(e) => instead(None, Told::Failed(e)),
    }
}

/// Where the partition begins.
fn partition(flash: &mut FlashStorage<'static>) -> Option<u32> {
    let mut table = [0; PARTITION_TABLE_MAX_LEN];
    let table = partitions::read_partition_table(flash, &mut table).ok()?;
    let nvs = table
        .find_partition(PartitionType::Data(DataPartitionSubType::Nvs))
        .ok()??;
    (nvs.len() >= 2 * SLOT_BYTES).then(|| nvs.offset())
}
