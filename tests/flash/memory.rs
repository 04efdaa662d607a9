//! The flash of a chip: a sector is erased to ones, and writing only clears bits.

use std::sync::{Arc, Mutex};

use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash};

pub const SECTOR: usize = 4_096;
const BYTES: usize = 4 * 1024 * 1024;

/// It survives the chip that it is plugged into.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<(Vec<u8>, Option<usize>)>>);

impl Memory {
    pub fn erased() -> Self {
        Self(Arc::new(Mutex::new((vec![0xff; BYTES], None))))
    }

    /// A bit of this byte stays as it is.
    pub fn stick(&self, at: usize) {
        self.0.lock().expect("whole").1 = Some(at);
    }

    pub fn read(&self, at: usize, bytes: usize) -> Vec<u8> {
        self.0.lock().expect("whole").0[at..at + bytes].to_vec()
    }

    pub fn erase(&self, at: usize, bytes: usize) {
        assert!(
            at.is_multiple_of(SECTOR) && bytes.is_multiple_of(SECTOR),
            "whole sectors"
        );
        self.0.lock().expect("whole").0[at..at + bytes].fill(0xff);
    }

    pub fn write(&self, at: usize, bytes: &[u8]) {
        let mut memory = self.0.lock().expect("whole");
        let stuck = memory.1;
        for (at, byte) in (at..).zip(bytes) {
            memory.0[at] &= byte;
            if stuck == Some(at) {
                memory.0[at] ^= 1;
            }
        }
    }

    /// Where anything is written outside these places.
    pub fn stray(&self, places: &[(usize, usize)]) -> Option<usize> {
        let memory = self.0.lock().expect("whole");
        let is_inside = |at: usize| {
            places
                .iter()
                .any(|(start, bytes)| (*start..start + bytes).contains(&at))
        };
        let mut written = memory.0.iter().enumerate().filter(|(_, byte)| **byte != 0xff);
        written.find(|(at, _)| !is_inside(*at)).map(|(at, _)| at)
    }
}

impl ErrorType for Memory {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&Memory::read(self, offset as usize, bytes.len()));
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        Memory::erase(self, from as usize, (to - from) as usize);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        Memory::write(self, offset as usize, bytes);
        Ok(())
    }
}

impl MultiwriteNorFlash for Memory {}
