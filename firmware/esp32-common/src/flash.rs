//! What is kept in the flash: settings in the partition `nvs`, which every usual partition table has and which nothing
//! else in this firmware uses; and two images, where the table has room for them.

use core::cell::RefCell;

use esp_bootloader_esp_idf::partitions::{
    self, AppPartitionSubType as App, DataPartitionSubType as Data, PARTITION_TABLE_MAX_LEN, PartitionEntry,
    PartitionTable, PartitionType,
};
use esp_hal::peripherals::FLASH;
use esp_storage::FlashStorage;
use static_cell::StaticCell;
use wsdm_device_board::ota::{Layout, Slot, Slots, SlotsError, Start};
use wsdm_device_board::{Found, SECTOR_BYTES, Settings, SharedFlash};

use crate::chip;

/// The flash, for settings and for images.
pub type Flash = SharedFlash<'static, FlashStorage<'static>>;

/// The images, and what the one that runs is.
pub type Images = Result<(Slots<Flash>, Start), SlotsError>;

/// Looks at the image that runs, and for settings in the flash. `None`: the partition table has room for one image only.
pub fn open(flash: FLASH<'static>, built_in: &Settings) -> (Found<Flash>, Option<Images>) {
    static SHARED: StaticCell<RefCell<FlashStorage<'static>>> = StaticCell::new();
    let mut storage = FlashStorage::new(flash);
    let mut table = [0; PARTITION_TABLE_MAX_LEN];
    let table = partitions::read_partition_table(&mut storage, &mut table).ok();
    let settings = table.as_ref().and_then(settings);
    let layout = table.as_ref().and_then(layout);
    let flash = SharedFlash::new(SHARED.init(RefCell::new(storage)));
    // First of all: an image that fails at what comes then has been noted as started.
    let images = layout.map(|layout| Slots::open(flash, layout));
    (Found::open(flash, settings, built_in, &chip::CHIP), images)
}

/// Where settings begin.
fn settings(table: &PartitionTable<'_>) -> Option<u32> {
    let nvs = find(table, PartitionType::Data(Data::Nvs))?;
    (nvs.len() >= 2 * SECTOR_BYTES).then(|| nvs.offset())
}

fn layout(table: &PartitionTable<'_>) -> Option<Layout> {
    let otadata = find(table, PartitionType::Data(Data::Ota))?;
    let first = find(table, PartitionType::App(App::Ota0))?;
    let second = find(table, PartitionType::App(App::Ota1))?;
    let running = table.booted_partition().ok()??;
    let slot = |partition: PartitionEntry| Slot {
        offset: partition.offset(),
        bytes: partition.len(),
    };
    let slots = [slot(first), slot(second)];
    Some(Layout {
        table: (otadata.len() >= 2 * SECTOR_BYTES).then(|| otadata.offset())?,
        slots,
        running: slots.iter().position(|slot| slot.offset == running.offset())?,
    })
}

fn find(table: &PartitionTable<'_>, partition: PartitionType) -> Option<PartitionEntry> {
    table.find_partition(partition).ok()?
}
