//! The two slots for images, and the table that selects one of them.

use core::fmt;
use core::ops::Range;

use embedded_storage::nor_flash::MultiwriteNorFlash;
use sha2::{Digest, Sha256};

use super::entry::{CONFIRMED_AT, CRC_AT, ENTRY_BYTES, Entry, MARK, Marks, STARTED_AT};
use super::image::{HEAD_BYTES, ImageId, Unfit, check};
use super::wire::Reason;
use crate::flash::SECTOR_BYTES;
use crate::pins::Chip;
use crate::record::ERASED;

/// What is written at once: a sector. Drivers copy what is not aligned, on the stack.
#[derive(Debug)]
#[repr(align(4))]
pub(super) struct Piece(pub(super) [u8; SECTOR_BYTES as usize]);

impl Piece {
    pub(super) const EMPTY: Self = Self([ERASED; SECTOR_BYTES as usize]);
}

/// A piece of flash for one image, which flash can erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where it begins.
    pub offset: u32,
    /// How many bytes it has.
    pub bytes: u32,
}

/// Where images are, and which one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the table begins: two sectors, an entry in each.
    pub table: u32,
    /// `ota_0` and `ota_1`.
    pub slots: [Slot; 2],
    /// The slot that the boot loader started: 0 or 1.
    pub running: usize,
}

/// Why an image was not written, or a slot not selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotsError {
    /// The flash cannot be read, erased or written.
    Flash,
    /// What was written is not in the flash.
    Differs,
    /// It is not what was announced.
    Hash,
    /// The bytes are no image.
    NoImage,
    /// The image is for another chip.
    Chip,
    /// The image is of another firmware.
    Project,
}

impl fmt::Display for SlotsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash => "the flash cannot be written",
            Self::Differs => "the flash does not hold what was written to it",
            Self::Hash => "what came is not what was announced",
            Self::NoImage => "it is no image",
            Self::Chip => "the image is for another chip",
            Self::Project => "the image is of another firmware",
        })
    }
}

impl SlotsError {
    /// What it is for whoever sent the image.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Flash | Self::Differs => Reason::Flash,
            Self::Hash => Reason::Damaged,
            Self::NoImage | Self::Project => Reason::Foreign,
            Self::Chip => Reason::Chip,
        }
    }
}

impl From<Unfit> for SlotsError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoImage => Self::NoImage,
            Unfit::Chip => Self::Chip,
            Unfit::Project => Self::Project,
        }
    }
}

/// What the image that runs is, when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The one to run.
    Kept,
    /// A new one, for the first time.
    OnTrial,
    /// The boot loader did not start the new one, and has taken the one before it.
    Unusable,
    /// It ran before, and never reached the gateway. The one before it is selected: restart.
    GoBack,
}

/// The slots of a board.
#[derive(Debug)]
pub struct Slots<F> {
    flash: F,
    layout: Layout,
    on_trial: bool,
    /// Of the image that runs.
    image: Option<ImageId>,
}

impl<F: MultiwriteNorFlash> Slots<F> {
    /// Looks at what runs, once after each start, before an output moves, and notes that it did.
    ///
    /// # Errors
    /// [`SlotsError::Flash`]: nothing is known about what runs, and it cannot be replaced.
    pub fn open(flash: F, layout: Layout) -> Result<(Self, Start), SlotsError> {
        let mut slots = Self {
            flash,
            layout,
            on_trial: false,
            image: None,
        };
        let start = match slots.selected()? {
            Some((sector, entry)) if entry.slot() != layout.running => {
                slots.erase_entry(sector)?;
                Start::Unusable
            }
            Some((sector, entry)) if entry.marks == Marks::Started => {
                slots.erase_entry(sector)?;
                Start::GoBack
            }
            Some((sector, entry)) if entry.marks == Marks::New => {
                slots.mark(sector, STARTED_AT)?;
                slots.on_trial = true;
                Start::OnTrial
            }
            Some(_) | None => Start::Kept,
        };
        slots.image = match slots.selected()? {
            Some((_, entry)) if entry.slot() == layout.running => entry.image,
            _ => None,
        };
        Ok((slots, start))
    }

    /// Whether the image that runs is on trial.
    pub const fn is_on_trial(&self) -> bool {
        self.on_trial
    }

    /// Which image runs, if it came over the network.
    pub const fn image(&self) -> Option<ImageId> {
        self.image
    }

    /// The largest image that there is room for.
    pub const fn room(&self) -> u32 {
        self.target().bytes
    }

    /// The image that runs has passed its trial, and is kept.
    ///
    /// # Errors
    /// [`SlotsError::Flash`]: it is still on trial.
    pub fn confirm(&mut self) -> Result<(), SlotsError> {
        if self.on_trial {
            if let Some((sector, _)) = self.selected()? {
                self.mark(sector, CONFIRMED_AT)?;
            }
            self.on_trial = false;
        }
        Ok(())
    }

    /// Writes a piece of an image: a whole sector, or the last piece. The first one is looked at before it is written.
    /// Nothing is lost by writing: only [`Slots::select`] makes it the image that is started.
    ///
    /// # Errors
    /// It is not written.
    pub(super) fn write(
        &mut self,
        at: u32,
        piece: &mut Piece,
        len: usize,
        chip: &Chip,
    ) -> Result<(), SlotsError> {
        if at == 0 {
            let head = piece.0[..len].first_chunk().ok_or(SlotsError::NoImage)?;
            let mut running = [0; HEAD_BYTES];
            self.read(self.layout.slots[self.layout.running].offset, &mut running)?;
            check(head, &running, chip)?;
        }
        piece.0[len..].fill(ERASED);
        let from = self.target().offset + at;
        self.flash
            .erase(from, from + SECTOR_BYTES)
            .and_then(|()| self.flash.write(from, &piece.0))
            .map_err(|_| SlotsError::Flash)
    }

    /// Reads a piece of what was written.
    pub(super) fn read_back(
        &mut self,
        range: Range<u32>,
        piece: &mut Piece,
        hash: &mut Sha256,
    ) -> Result<(), SlotsError> {
        self.read(self.target().offset + range.start, &mut piece.0)?;
        hash.update(piece.0.get(..range.len()).ok_or(SlotsError::Differs)?);
        Ok(())
    }

    /// Has the boot loader start what was written, on trial.
    ///
    /// # Errors
    /// [`SlotsError::Flash`]: the image that runs stays.
    pub(super) fn select(&mut self, image: ImageId) -> Result<(), SlotsError> {
        let running = self.layout.running;
        let (sector, sequence) = match self.selected()? {
            Some((sector, entry)) if entry.slot() == running => (sector, entry.sequence),
            // What is gone back to has to be written down.
            other => {
                let (sector, sequence) =
                    other.map_or((0, 1), |(sector, entry)| (1 - sector, entry.sequence + 1));
                let kept = Entry::kept(sequence);
                let kept = if kept.slot() == running {
                    kept
                } else {
                    Entry::kept(sequence + 1)
                };
                self.write_entry(sector, &kept)?;
                (sector, kept.sequence)
            }
        };
        let new = Entry::new(sequence + 1, image);
        self.write_entry(1 - sector, &new)?;
        match self.selected()? {
            Some((_, entry)) if entry == new => Ok(()),
            _ => Err(SlotsError::Differs),
        }
    }

    const fn target(&self) -> Slot {
        self.layout.slots[1 - self.layout.running]
    }

    /// The entry that the boot loader goes by, and its sector.
    fn selected(&mut self) -> Result<Option<(u32, Entry)>, SlotsError> {
        let mut selected = None;
        for sector in [0, 1] {
            let mut bytes = [0; ENTRY_BYTES];
            self.read(self.layout.table + sector * SECTOR_BYTES, &mut bytes)?;
            if let Some(entry) = Entry::read(&bytes)
                && selected.is_none_or(|(_, other): (u32, Entry)| entry.sequence > other.sequence)
            {
                selected = Some((sector, entry));
            }
        }
        Ok(selected)
    }

    /// A sector that is half erased may have lost its marks and not its sequence: so that goes first.
    fn erase_entry(&mut self, sector: u32) -> Result<(), SlotsError> {
        let from = self.layout.table + sector * SECTOR_BYTES;
        self.flash
            .write(from + CRC_AT, &MARK)
            .and_then(|()| self.flash.erase(from, from + SECTOR_BYTES))
            .map_err(|_| SlotsError::Flash)
    }

    /// What makes it an entry comes last, when the rest of it is there.
    fn write_entry(&mut self, sector: u32, entry: &Entry) -> Result<(), SlotsError> {
        self.erase_entry(sector)?;
        let at = self.layout.table + sector * SECTOR_BYTES;
        let bytes = entry.bytes();
        let (rest, crc) = bytes.split_at(CRC_AT as usize);
        self.flash
            .write(at, rest)
            .and_then(|()| self.flash.write(at + CRC_AT, crc))
            .map_err(|_| SlotsError::Flash)
    }

    fn mark(&mut self, sector: u32, at: u32) -> Result<(), SlotsError> {
        let at = self.layout.table + sector * SECTOR_BYTES + at;
        self.flash.write(at, &MARK).map_err(|_| SlotsError::Flash)
    }

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), SlotsError> {
        self.flash.read(at, bytes).map_err(|_| SlotsError::Flash)
    }
}

#[cfg(test)]
#[path = "slots/tests.rs"]
pub(super) mod tests;
