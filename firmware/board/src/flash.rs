//! One flash for several that use it: settings and images.

use core::cell::RefCell;

use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};

/// What flash erases at the least.
pub const SECTOR_BYTES: u32 = 4_096;

/// Flash that is borrowed for each access. No access waits for anything, so there is never more than one.
#[derive(Debug)]
pub struct SharedFlash<'a, F>(&'a RefCell<F>);

impl<'a, F> SharedFlash<'a, F> {
    /// A share of it.
    pub const fn new(flash: &'a RefCell<F>) -> Self {
        Self(flash)
    }
}

impl<F> Clone for SharedFlash<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for SharedFlash<'_, F> {}

impl<F: ErrorType> ErrorType for SharedFlash<'_, F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for SharedFlash<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl<F: NorFlash> NorFlash for SharedFlash<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.borrow_mut().write(offset, bytes)
    }
}

impl<F: MultiwriteNorFlash> MultiwriteNorFlash for SharedFlash<'_, F> {}
