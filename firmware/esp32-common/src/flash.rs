//! Where in the flash settings are kept: in the partition `nvs`, which every usual partition table has, and which
//! nothing else in this firmware uses.

use esp_bootloader_esp_idf::partitions::{
    self, DataPartitionSubType, PARTITION_TABLE_MAX_LEN, PartitionType,
};
use esp_hal::peripherals::FLASH;
use esp_storage::FlashStorage;
use wsdm_device_board::{Found, SLOT_BYTES, Settings};

use crate::chip;

/// Looks for settings in the flash.
pub fn open(flash: FLASH<'static>, built_in: &Settings) -> Found<FlashStorage<'static>> {
    let mut flash = FlashStorage::new(flash);
    let start = partition(&mut flash);
    Found::open(flash, start, built_in, &chip::CHIP)
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
