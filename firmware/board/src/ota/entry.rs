//! An entry of `otadata`: which slot the boot loader starts, and below it what this firmware notes of a trial.
//!
//! ```text
//!   sequence │ "WSDM"  started  confirmed  image │ state │ CRC-32 of the sequence
//!      4     │   4        4         4        8   │   4   │   4
//! ```
//!
//! The middle is a label that ESP-IDF's boot loader does not look at. Marks are set by clearing bits, which flash does
//! without being erased.

use crc::{Algorithm, Crc};

use super::image::{IMAGE_ID_BYTES, ImageId};
use crate::record::ERASED;

pub(super) const ENTRY_BYTES: usize = 32;
pub(super) const STARTED_AT: u32 = 8;
pub(super) const CONFIRMED_AT: u32 = 12;
pub(super) const CRC_AT: u32 = 28;
/// A mark that is set; as a checksum it is no sequence's.
pub(super) const MARK: [u8; 4] = [0; 4];

const UNMARKED: [u8; 4] = [ERASED; 4];
const OURS: [u8; 4] = *b"WSDM";
/// States of ESP-IDF that its boot loader does not start: invalid and aborted.
const REFUSED: [u32; 2] = [3, 4];
/// Erased flash is the highest number, and no board is updated so often.
const SEQUENCES: core::ops::Range<u32> = 1..u32::MAX / 2;
/// No opinion about the image, so that a boot loader with trials of its own leaves it alone.
const UNDEFINED: u32 = u32::MAX;

/// CRC-32 of the chip's ROM, as the boot loader calls it: it begins with zeros.
const CRC: Crc<u32> = Crc::<u32>::new(&Algorithm {
    width: 32,
    poly: 0x04c1_1db7,
    init: 0,
    refin: true,
    refout: true,
    xorout: 0xffff_ffff,
    check: 0xd202_d277,
    residue: 0xc704_dd7b,
});

/// How far an image is with its trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// It never ran.
    New,
    /// It ran once, and nobody knows how that ended.
    Started,
    /// It is kept.
    Kept,
}

/// A whole entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of [`SEQUENCES`], so it can be counted on.
    pub(super) sequence: u32,
    pub(super) marks: Marks,
    /// `None`: nobody noted it.
    pub(super) image: Option<ImageId>,
}

impl Entry {
    /// For an image that never ran.
    pub(super) const fn new(sequence: u32, image: ImageId) -> Self {
        Self {
            sequence,
            marks: Marks::New,
            image: Some(image),
        }
    }

    /// For an image that needs no trial.
    pub(super) const fn kept(sequence: u32) -> Self {
        Self {
            sequence,
            marks: Marks::Kept,
            image: None,
        }
    }

    /// Which of two slots it selects.
    pub(super) const fn slot(&self) -> usize {
        (self.sequence.wrapping_sub(1) % 2) as usize
    }

    /// The entry in these bytes, if the boot loader would go by it.
    pub(super) fn read(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let [sequence, ours, started, confirmed, first, second, state, crc] = words(bytes);
        let number = u32::from_le_bytes(sequence);
        if !SEQUENCES.contains(&number)
            || REFUSED.contains(&u32::from_le_bytes(state))
            || CRC.checksum(&sequence) != u32::from_le_bytes(crc)
        {
            return None;
        }
        let is_ours = ours == OURS;
        let marks = match (started, confirmed) {
            // Another program's entry is no trial of ours.
            _ if !is_ours => Marks::Kept,
            (_, MARK) => Marks::Kept,
            (UNMARKED, _) => Marks::New,
            // Half a mark is one: the image did run.
            _ => Marks::Started,
        };
        let mut image = [0; IMAGE_ID_BYTES];
        image[..4].copy_from_slice(&first);
        image[4..].copy_from_slice(&second);
        Some(Self {
            sequence: number,
            marks,
            image: (is_ours && image != [ERASED; IMAGE_ID_BYTES]).then_some(ImageId(image)),
        })
    }

    pub(super) fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let sequence = self.sequence.to_le_bytes();
        let image = self.image.map_or([ERASED; IMAGE_ID_BYTES], |image| image.0);
        let mark = |is_set| if is_set { MARK } else { UNMARKED };
        let mut bytes = [ERASED; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&sequence);
        bytes[4..8].copy_from_slice(&OURS);
        bytes[8..12].copy_from_slice(&mark(self.marks != Marks::New));
        bytes[12..16].copy_from_slice(&mark(self.marks == Marks::Kept));
        bytes[16..24].copy_from_slice(&image);
        bytes[24..28].copy_from_slice(&UNDEFINED.to_le_bytes());
        bytes[28..].copy_from_slice(&CRC.checksum(&sequence).to_le_bytes());
        bytes
    }
}

fn words(bytes: &[u8; ENTRY_BYTES]) -> [[u8; 4]; ENTRY_BYTES / 4] {
    let mut words = [[0; 4]; ENTRY_BYTES / 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        word.copy_from_slice(bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_checksum_that_is_cleared_is_no_sequences(sequence in SEQUENCES) {
            prop_assert!(Entry::kept(sequence).bytes()[CRC_AT as usize..] != MARK);
        }
    }

    /// What esptool and ESP-IDF write for these sequences.
    #[test]
    fn the_checksum_is_that_of_the_boot_loader() {
        for (sequence, crc) in [(1_u32, [154, 152, 67, 71]), (2, [116, 55, 246, 85])] {
            let bytes = Entry::kept(sequence).bytes();
            assert_eq!(bytes[28..], crc, "{sequence}");
            assert_eq!(Entry::read(&bytes).map(|entry| entry.sequence), Some(sequence));
        }
    }

    #[test]
    fn what_the_boot_loader_passes_over_is_no_entry() {
        assert_eq!(Entry::read(&[ERASED; ENTRY_BYTES]), None);
        assert_eq!(Entry::read(&[0; ENTRY_BYTES]), None);
        let mut bytes = Entry::kept(7).bytes();
        for state in REFUSED {
            bytes[24..28].copy_from_slice(&state.to_le_bytes());
            assert_eq!(Entry::read(&bytes), None);
        }
    }

    /// As ESP-IDF writes it: no label, and a state of its own.
    #[test]
    fn an_entry_of_another_program_is_no_trial() {
        let mut bytes = Entry::kept(2).bytes();
        bytes[4..24].fill(ERASED);
        bytes[24..28].copy_from_slice(&2_u32.to_le_bytes());
        let entry = Entry::read(&bytes).unwrap();
        assert_eq!((entry.marks, entry.image, entry.slot()), (Marks::Kept, None, 1));
    }

    proptest! {
        #[test]
        fn marks_are_set_without_erasing(sequence in SEQUENCES, image: [u8; IMAGE_ID_BYTES]) {
            let new = Entry::new(sequence, ImageId(image));
            let mut bytes = new.bytes();
            prop_assert_eq!(Entry::read(&bytes).map(|entry| entry.marks), Some(Marks::New));
            for (at, marks) in [(STARTED_AT, Marks::Started), (CONFIRMED_AT, Marks::Kept)] {
                for (byte, mark) in bytes[at as usize..].iter_mut().zip(MARK) {
                    *byte &= mark;
                }
                prop_assert_eq!(Entry::read(&bytes).map(|entry| entry.marks), Some(marks));
            }
        }

        #[test]
        fn no_bytes_break_it(bytes: [u8; ENTRY_BYTES]) {
            if let Some(entry) = Entry::read(&bytes) {
                prop_assert!(entry.slot() < 2);
            }
        }
    }
}
