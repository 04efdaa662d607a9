use std::vec;
use std::vec::Vec;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use proptest::prelude::*;

use super::*;
use crate::ota::image::IMAGE_ID_BYTES;
use crate::ota::image::tests::image;
use crate::pins::{ESP32C3, ESP32C6};

const SLOT_BYTES: u32 = 4 * SECTOR_BYTES;
const LAYOUT: Layout = Layout {
    table: 0,
    slots: [
        Slot {
            offset: 2 * SECTOR_BYTES,
            bytes: SLOT_BYTES,
        },
        Slot {
            offset: 2 * SECTOR_BYTES + SLOT_BYTES,
            bytes: SLOT_BYTES,
        },
    ],
    running: 0,
};

/// Flash whose power fails after so much work: a word written, or a sixteenth of a sector erased.
#[derive(Clone, Debug)]
pub(in crate::ota) struct Flash {
    pub(in crate::ota) bytes: Vec<u8>,
    pub(in crate::ota) left: usize,
    chance: u64,
}

impl Flash {
    /// As it is after `flash` over USB.
    pub(in crate::ota) fn with(first: &[u8]) -> Self {
        let mut bytes = vec![ERASED; (2 * SECTOR_BYTES + 2 * SLOT_BYTES) as usize];
        let at = LAYOUT.slots[0].offset as usize;
        bytes[at..at + first.len()].copy_from_slice(first);
        Self {
            bytes,
            left: usize::MAX,
            chance: 1,
        }
    }

    fn work(&mut self) -> Result<(), NorFlashErrorKind> {
        self.left = self.left.checked_sub(1).ok_or(NorFlashErrorKind::Other)?;
        Ok(())
    }

    /// Writing clears bits, and sets none.
    fn program(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.bytes[at..].iter_mut().zip(bytes) {
            *place &= byte;
        }
    }

    /// Which words of a write or an erasure that was cut short came through: no order is promised.
    fn came_through(&mut self, at: usize) -> bool {
        // Numbers that look random, and are the same in each run.
        self.chance = self
            .chance
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(at as u64 | 1);
        self.chance >> 62 == 1
    }

    pub(in crate::ota) fn slot(&self, slot: usize) -> &[u8] {
        let Slot { offset, bytes } = LAYOUT.slots[slot];
        &self.bytes[offset as usize..(offset + bytes) as usize]
    }

    /// What ESP-IDF's boot loader starts, as its documentation has it: the entry with the highest number that is whole
    /// and not marked as bad; else the first slot; and the other one if that slot holds nothing that starts.
    pub(in crate::ota) fn boot(&self) -> usize {
        let entries = [0, SECTOR_BYTES as usize].map(|at| {
            let word = |n: usize| {
                let at = at + 4 * n;
                u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
            };
            let (sequence, state, crc) = (word(0), word(6), word(7));
            let is_whole = sequence != u32::MAX && state != 3 && state != 4 && crc == crc32_le(sequence);
            is_whole.then_some(sequence)
        });
        let slot = entries
            .into_iter()
            .flatten()
            .max()
            .map_or(0, |sequence| (sequence as usize - 1) % 2);
        if self.slot(slot)[0] == 0xe9 {
            slot
        } else {
            1 - slot
        }
    }
}

/// A bit at a time, as nobody would do it.
fn crc32_le(word: u32) -> u32 {
    let shifted = (0..32).fold(word, |crc, _| {
        (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
    });
    !shifted
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        assert!(
            bytes.len().is_multiple_of(4) && offset.is_multiple_of(4),
            "whole words"
        );
        bytes.copy_from_slice(&self.bytes[offset as usize..offset as usize + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        assert!(
            from.is_multiple_of(SECTOR_BYTES) && to.is_multiple_of(SECTOR_BYTES),
            "whole sectors"
        );
        for at in (from..to).step_by(SECTOR_BYTES as usize / 16) {
            if let Err(e) = self.work() {
                for word in (from..to).step_by(4).map(|word| word as usize) {
                    if self.came_through(word) {
                        self.bytes[word..word + 4].fill(ERASED);
                    }
                }
                return Err(e);
            }
            self.bytes[at as usize..at as usize + SECTOR_BYTES as usize / 16].fill(ERASED);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        assert!(
            bytes.len().is_multiple_of(4) && offset.is_multiple_of(4),
            "whole words"
        );
        let place = offset as usize;
        for (n, word) in bytes.chunks(4).enumerate() {
            if let Err(e) = self.work() {
                for (n, word) in bytes.chunks(4).enumerate() {
                    if self.came_through(n) {
                        self.program(place + 4 * n, word);
                    }
                }
                return Err(e);
            }
            self.program(place + 4 * n, word);
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for Flash {}

/// The board starts: the boot loader, then the image.
pub(in crate::ota) fn start(flash: &mut Flash) -> Result<(Slots<&mut Flash>, Start), SlotsError> {
    let running = flash.boot();
    Slots::open(flash, Layout { running, ..LAYOUT })
}

/// All that an update writes.
fn update(slots: &mut Slots<&mut Flash>, image: &[u8]) -> Result<(), SlotsError> {
    let mut piece = Piece::EMPTY;
    for (n, bytes) in image.chunks(piece.0.len()).enumerate() {
        piece.0[..bytes.len()].copy_from_slice(bytes);
        slots.write(n as u32 * SECTOR_BYTES, &mut piece, bytes.len(), &ESP32C3)?;
    }
    slots.select(ImageId([image[200]; IMAGE_ID_BYTES]))
}

fn version(n: u8) -> Vec<u8> {
    image(&ESP32C3, "wsdm", 5_000, n)
}

#[test]
fn an_image_that_reaches_nobody_is_given_up_at_the_second_start() {
    let (old, new) = (version(1), version(2));
    let mut flash = Flash::with(&old);
    let (mut slots, started) = start(&mut flash).unwrap();
    assert_eq!(
        (started, slots.image(), slots.is_on_trial()),
        (Start::Kept, None, false)
    );
    update(&mut slots, &new).unwrap();

    let (slots, started) = start(&mut flash).unwrap();
    assert_eq!((started, slots.is_on_trial()), (Start::OnTrial, true));
    assert_eq!(slots.image(), Some(ImageId([new[200]; IMAGE_ID_BYTES])));
    assert_eq!(flash.boot(), 1);

    assert_eq!(start(&mut flash).unwrap().1, Start::GoBack);
    assert_eq!(flash.boot(), 0);
    assert_eq!(start(&mut flash).unwrap().1, Start::Kept);
    assert!(flash.slot(0).starts_with(&old));
}

#[test]
fn images_that_reach_the_gateway_are_kept_one_after_the_other() {
    let mut flash = Flash::with(&version(0));
    for n in 1..9 {
        update(&mut start(&mut flash).unwrap().0, &version(n)).unwrap();
        let (mut slots, started) = start(&mut flash).unwrap();
        assert_eq!(started, Start::OnTrial, "{n}");
        slots.confirm().unwrap();
        assert!(!slots.is_on_trial());
        assert_eq!(start(&mut flash).unwrap().1, Start::Kept, "{n}");
        assert!(flash.slot(flash.boot()).starts_with(&version(n)), "{n}");
    }
}

#[test]
fn what_the_boot_loader_does_not_start_is_given_up() {
    let mut flash = Flash::with(&version(1));
    update(&mut start(&mut flash).unwrap().0, &version(2)).unwrap();
    flash.bytes[LAYOUT.slots[1].offset as usize] = 0;
    assert_eq!(start(&mut flash).unwrap().1, Start::Unusable);
    let (mut slots, started) = start(&mut flash).unwrap();
    assert_eq!(started, Start::Kept);
    update(&mut slots, &version(3)).unwrap();
    assert_eq!(start(&mut flash).unwrap().1, Start::OnTrial);
}

#[test]
fn what_is_no_image_of_this_firmware_touches_nothing() {
    let mut flash = Flash::with(&version(1));
    let before = flash.bytes.clone();
    for (image, wanted) in [
        (image(&ESP32C6, "wsdm", 5_000, 2), SlotsError::Chip),
        (image(&ESP32C3, "blink", 5_000, 2), SlotsError::Project),
        (vec![0; 5_000], SlotsError::NoImage),
        (version(2)[..100].to_vec(), SlotsError::NoImage),
    ] {
        let mut slots = start(&mut flash).unwrap().0;
        let mut piece = Piece::EMPTY;
        let len = image.len().min(piece.0.len());
        piece.0[..len].copy_from_slice(&image[..len]);
        assert_eq!(slots.write(0, &mut piece, len, &ESP32C3), Err(wanted));
    }
    assert_eq!(flash.bytes, before);
}

/// At every point of an update, of the start behind it, of its confirmation and of going back.
#[test]
fn a_power_failure_leaves_one_image_or_the_other() {
    let (old, new) = (version(1), version(2));
    for (is_confirmed, chance) in (0..4).map(|n| (n % 2 == 1, n)) {
        for left in 0.. {
            let mut flash = Flash::with(&old);
            (flash.left, flash.chance) = (left, chance);
            let mut steps = || {
                update(&mut start(&mut flash)?.0, &new)?;
                let (mut slots, _) = start(&mut flash)?;
                if is_confirmed {
                    slots.confirm()?;
                }
                start(&mut flash).map(|_| ())
            };
            let is_done = steps() == Ok(());
            flash.left = usize::MAX;
            // It comes back, and starts until nothing changes any more.
            let mut last = None;
            for _ in 0..4 {
                let (slots, started) = start(&mut flash).unwrap();
                let slot = slots.layout.running;
                last = Some((started, slot));
                let whole = if slot == 0 { &old } else { &new };
                assert!(
                    flash.slot(slot).starts_with(whole),
                    "{left}: slot {slot} is not whole"
                );
            }
            let (started, slot) = last.unwrap();
            assert_eq!(started, Start::Kept, "{left}");
            if is_done {
                assert_eq!(slot, usize::from(is_confirmed));
                break;
            }
            assert!(left < 100_000, "it never ends");
        }
    }
}

proptest! {
    /// Also with a table that other programs wrote, or that is no table.
    #[test]
    fn it_goes_forth_and_back_from_any_table(
        first in any_entry(), second in any_entry(), in_both: bool,
    ) {
        let mut flash = Flash::with(&version(1));
        if in_both {
            let (one, other) = (LAYOUT.slots[0].offset as usize, LAYOUT.slots[1].offset as usize);
            flash.bytes.copy_within(one..other, other);
        }
        flash.bytes[..ENTRY_BYTES].copy_from_slice(&first);
        flash.bytes[SECTOR_BYTES as usize..][..ENTRY_BYTES].copy_from_slice(&second);
        // Whatever is on trial there is given up or kept after a few starts.
        for _ in 0..4 {
            start(&mut flash).unwrap();
        }
        let (mut slots, started) = start(&mut flash).unwrap();
        prop_assert_eq!(started, Start::Kept);
        let running = slots.layout.running;
        update(&mut slots, &version(2)).unwrap();
        prop_assert_eq!(flash.boot(), 1 - running);
        prop_assert_eq!(start(&mut flash).unwrap().1, Start::OnTrial);
        prop_assert_eq!(start(&mut flash).unwrap().1, Start::GoBack);
        prop_assert_eq!(flash.boot(), running);
        prop_assert_eq!(start(&mut flash).unwrap().1, Start::Kept);
    }
}

fn any_entry() -> impl Strategy<Value = [u8; ENTRY_BYTES]> {
    let whole = (1_u32..9, any::<[u8; 20]>(), prop_oneof![0_u32..6, Just(u32::MAX)]).prop_map(
        |(sequence, label, state)| {
            let mut bytes = Entry::kept(sequence).bytes();
            bytes[4..24].copy_from_slice(&label);
            bytes[24..28].copy_from_slice(&state.to_le_bytes());
            bytes
        },
    );
    let ours = (1_u32..9, any::<[u8; IMAGE_ID_BYTES]>())
        .prop_map(|(sequence, image)| Entry::new(sequence, ImageId(image)).bytes());
    prop_oneof![
        Just([ERASED; ENTRY_BYTES]),
        any::<[u8; ENTRY_BYTES]>(),
        whole,
        ours
    ]
}
